"""Every option that both pipelines have, side by side: how far apart are the products?

    python benchmarks/options.py                            # all cases, on one simulated IFU of full size (seeded),
                                                            # with IFU 1 where the field is seen as a whole
    python benchmarks/options.py --recipes bias,dark --cases sigclip
    python benchmarks/options.py --rows 514                 # the central quarter of the detector: quicker
    python benchmarks/options.py --work /data/options       # keeps frames and calibrations for the next time

Both pipelines get the same raw frames and the same calibrations (made by the reference with its default options), so
that a difference is one of the recipe and its option, not of the chain. The limits are those of the default options;
a case that differs by intent names its entry in docs/differences.md. Exit code 1 if another one differs.
"""

from __future__ import annotations

import argparse
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import agreement
from cases_arcs import ARC_CASES
from cases_science import SCIENCE_CASES
from cases_sky import SKY_CASES
from comparisons import compare_products
from option_cases import CASES, Case
from rich.console import Console
from rich.table import Table
from runs import CALIBRATIONS, OF_THE_FIELD, RECIPES, SCIENCE, both_pipelines, run_recipe
from scene import Scene

from core.instruments.muse.facts import PORT_NY
from core.recipes.registry import get_recipe

AGREES, INTENT, DIFFERS, UNPROVOKED = "agrees", "by intent", "DIFFERS", "within the limits, though declared"
HEADINGS = ("case", *agreement.COLUMNS, "verdict")


@dataclass(frozen=True)
class Outcome:
    """One case that ran: what the table shows of it."""

    case: Case
    cells: tuple[str, ...]
    verdict: str

    @property
    def row(self) -> tuple[str, ...]:
        """Texts under `HEADINGS`."""
        verdict = f"{self.verdict}: {self.case.intent}" if self.case.intent else self.verdict
        return (self.case.name, *self.cells, verdict)


def main() -> int:
    """Run the cases and print the table; the exit code is 1 if one differs that should not."""
    options = _options()
    console = Console(width=None if sys.stdout.isatty() else 200)
    if not shutil.which("esorex"):
        console.print("esorex is not installed: nothing to compare with (Debian: apt install esorex cpl-plugin-muse)")
        return 0
    known = (*CASES, *ARC_CASES, *SKY_CASES, *SCIENCE_CASES)
    cases = [
        case for case in known if case.recipe in options.recipes.split(",") and re.search(options.cases, case.name)
    ]
    if options.rows < PORT_NY:  # the reference has some rows of the full detector built in
        cases = [case for case in cases if not case.full_size]
    for case in cases:
        _check_declared(case)
    work = Path(options.work or tempfile.mkdtemp(prefix="cascade-options-")).absolute()
    work.mkdir(parents=True, exist_ok=True)
    scene = Scene(work, options.ifu, options.seed, options.mode, options.rows)
    outcomes = []
    for number, case in enumerate(cases, start=1):
        outcomes.append(_run(case, scene, keep=options.keep))
        console.print(f"{number}/{len(cases)}", " | ".join(outcomes[-1].row), highlight=False, soft_wrap=True)
    _print(console, outcomes)
    if options.markdown:
        Path(options.markdown).write_text("\n".join(_markdown(outcomes)) + "\n", encoding="utf-8")
    if not options.work:
        shutil.rmtree(work, ignore_errors=True)
    return int(any(outcome.verdict == DIFFERS for outcome in outcomes))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--recipes", default=",".join((*RECIPES, *SCIENCE)), help="recipes, comma separated [all]")
    parser.add_argument("--cases", default="", help="only cases whose name matches this regular expression")
    parser.add_argument("--ifu", type=int, default=12, help="IFU [12]")
    parser.add_argument("--seed", type=int, default=1, help="seed of the simulation [1]")
    parser.add_argument("--mode", default="WFM-NOAO-N", help="INS.MODE of the simulation [WFM-NOAO-N]")
    parser.add_argument(
        "--rows", type=int, default=PORT_NY, help=f"rows of a detector port [{PORT_NY}]: less is quicker"
    )
    parser.add_argument("--work", help="working directory: its frames and calibrations are used again")
    parser.add_argument("--keep", action="store_true", help="keep the products of the cases in the working directory")
    parser.add_argument("--markdown", help="also write the table to this file")
    return parser.parse_args()


def _check_declared(case: Case) -> None:
    """A case that differs by intent must name an entry of the table of differences."""
    entries = [difference.where for difference in get_recipe(f"muse_{case.recipe}").differences]
    if case.intent and case.intent not in entries:
        raise SystemExit(f"{case.name}: muse_{case.recipe} declares no difference {case.intent!r}")


def _run(case: Case, scene: Scene, *, keep: bool) -> Outcome:
    directory = scene.work / "cases" / case.slug
    shutil.rmtree(directory, ignore_errors=True)
    frames = case.frames(scene)
    words = shlex.split(case.options)
    if case.recipe not in OF_THE_FIELD and not case.options.startswith("--nifu"):
        words.insert(0, f"--nifu={scene.ifu}")
    sides = both_pipelines(directory)
    variables = case.environment(scene)
    codes = [run_recipe(side, case.recipe, frames, words, label="run", variables=variables).code for side in sides]
    lines: list[agreement.Line] = []
    if case.fails or any(codes):
        ends = ", ".join(f"{side.name} {'fails' if code else 'runs'}" for side, code in zip(sides, codes, strict=True))
        agreed = case.fails and all(codes)
        lines.append(agreement.Line("exit", ends, "both fail" if case.fails else "both run", agreed, "pixels", ends))
    if not any(codes):
        traces = scene.calibration("TRACE_TABLE") if "TRACE_TABLE" in CALIBRATIONS[case.recipe] else None
        ours, theirs = (side.products for side in sides)
        lines += compare_products(ours, theirs, scene.ifu, height=scene.height, traces=traces)
    if not keep:
        shutil.rmtree(directory)
    return Outcome(case, tuple(_cell(lines, column) for column in agreement.COLUMNS), _verdict(case, lines))


def _cell(lines: Sequence[agreement.Line], column: str) -> str:
    return "; ".join(line.brief for line in lines if line.column == column and line.brief)


def _verdict(case: Case, lines: Sequence[agreement.Line]) -> str:
    if all(line.ok is not False for line in lines):
        return UNPROVOKED if case.intent else AGREES
    return INTENT if case.intent else DIFFERS


def _print(console: Console, outcomes: Sequence[Outcome]) -> None:
    table = Table(title="options of both pipelines: agreement", title_justify="left", show_lines=True)
    for heading in HEADINGS:
        table.add_column(heading, overflow="fold")
    for outcome in outcomes:
        table.add_row(*outcome.row)
    console.print(table)


def _markdown(outcomes: Sequence[Outcome]) -> Iterator[str]:
    yield "| " + " | ".join(HEADINGS) + " |"
    yield "|" + "---|" * len(HEADINGS)
    for outcome in outcomes:
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in outcome.row) + " |"


if __name__ == "__main__":
    sys.exit(main())
