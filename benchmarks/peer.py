"""Cascade and ESO's pipeline side by side, on the same raw frames, with the same number of threads.

    python benchmarks/peer.py                         # simulates two IFUs at full size (seeded) and runs all recipes
    python benchmarks/peer.py --recipes bias,flat --ifus 12 --frames 11 --repeat 3
    python benchmarks/peer.py --data /archive/night   # your own raw frames (no truth then)

Prints, per recipe, wall and CPU time per IFU, peak memory and their ratios, and the agreement of the products: pixels,
QC parameters, evaluated traces and wavelengths, and residuals to the simulated truth. All 24 IFUs are one process
(--nifu=-1); of fewer, each is a process of its own. Each pipeline feeds on its own products, so the agreement is that
of whole chains. Without esorex it says so and ends.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import agreement
from processes import Usage, median_usage, run_measured
from rich.console import Console
from rich.table import Table

from core.classify import classify
from core.fitsfile.cards import parse_cards
from core.fitsfile.scan import scan_fits
from core.fitsfile.sof import format_sof
from core.instrument import N_IFU
from core.simulator.night import NightPlan, simulate_night
from core.simulator.truth import InstrumentTruth, truth_for
from core.staticcal.line_catalog import write_line_catalog

NIGHT = "2026-11-01"
RECIPES = ("bias", "dark", "flat", "wavecal", "lsf")
RAW_TAG = {"bias": "BIAS", "dark": "DARK", "flat": "FLAT", "wavecal": "ARC", "lsf": "ARC"}
NEEDS = {
    "bias": (),
    "dark": ("MASTER_BIAS",),
    "flat": ("MASTER_BIAS",),
    "wavecal": ("MASTER_BIAS", "TRACE_TABLE", "LINE_CATALOG"),
    "lsf": ("MASTER_BIAS", "TRACE_TABLE", "WAVECAL_TABLE", "LINE_CATALOG"),
}
TARGET = {"bias": 8.0, "dark": 8.0, "flat": 8.0, "wavecal": 5.0, "lsf": 5.0}
OPTIONS = {"flat": ["--samples=true"], "wavecal": ["--residuals=true"]}


@dataclass
class Side:
    """One pipeline: how it is called and where its products are."""

    name: str
    command: list[str]
    products: Path
    usages: dict[str, Usage] = field(default_factory=dict)


def main() -> int:
    """Run the comparison; the exit code is 1 if a target was missed or a recipe failed."""
    options = _options()
    console = Console(width=None if sys.stdout.isatty() else 160)
    if not shutil.which("esorex"):
        console.print("esorex is not installed: nothing to compare with (Debian: apt install esorex cpl-plugin-muse)")
        return 0
    work = Path(options.work) if options.work else Path(tempfile.mkdtemp(prefix="cascade-peer-"))
    work.mkdir(parents=True, exist_ok=True)
    ifus = list(range(1, N_IFU + 1)) if options.ifus == "all" else [int(text) for text in options.ifus.split(",")]
    recipes = [name for name in RECIPES if name in options.recipes.split(",")]
    raws, truths = _raw_frames(options, work, ifus, console)
    catalog = write_line_catalog(work / "line_catalog.fits")
    sides = [
        Side("cascade", [sys.executable, "-m", "core.recipes.muserex", "--msg-level=warning"], work / "cascade"),
        Side("esorex", ["esorex", "--log-level=off", "--msg-level=warning"], work / "esorex"),
    ]
    failed = False
    for recipe in recipes:
        failed |= _run_recipe(recipe, sides, raws, catalog, ifus, options, work)
        _print_speed(console, recipe, sides, len(ifus), options.threads)
        for ifu in ifus:
            lines = list(_agreement(recipe, sides, ifu, truths.get(ifu)))
            _print_agreement(console, recipe, ifu, lines)
            failed |= any(line.ok is False for line in lines)
    if not options.work:
        shutil.rmtree(work, ignore_errors=True)
    return int(failed)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--ifus", default="1,12", help="IFUs, comma separated, or all [1,12]")
    parser.add_argument("--recipes", default=",".join(RECIPES), help="recipes, comma separated [all]")
    parser.add_argument("--frames", type=int, default=5, help="bias, dark and flat frames [5]")
    parser.add_argument("--arcs", type=int, default=1, help="arc frames per lamp [1]")
    parser.add_argument("--repeat", type=int, default=1, help="measured runs after one warm-up; the median counts [1]")
    parser.add_argument("--threads", type=int, default=2, help="OMP_NUM_THREADS of both [2]")
    parser.add_argument("--seed", type=int, default=1, help="seed of the simulation [1]")
    parser.add_argument("--mode", default="WFM-NOAO-N", help="INS.MODE of the simulation [WFM-NOAO-N]")
    parser.add_argument("--data", help="directory with raw frames, instead of a simulation")
    parser.add_argument("--work", help="working directory, kept afterwards")
    return parser.parse_args()


def _raw_frames(
    options: argparse.Namespace, work: Path, ifus: list[int], console: Console
) -> tuple[dict[str, list[Path]], dict[int, InstrumentTruth]]:
    truths: dict[int, InstrumentTruth] = {}
    if options.data:
        paths = sorted(Path(options.data).glob("*.fits*"))
    else:
        console.print(
            f"simulating IFU {options.ifus}: {options.frames} bias, dark, flat, {options.arcs} arc(s) per lamp"
        )
        plan = NightPlan(
            n_bias=options.frames, n_dark=options.frames, n_flat=options.frames, n_arc=options.arcs, n_illum=0
        )
        paths = simulate_night(work / "raw", NIGHT, ifus, plan, mode=options.mode, seed=options.seed)
        truths = {ifu: truth_for(ifu, options.mode, options.seed) for ifu in ifus}
    raws: dict[str, list[Path]] = {}
    for path in paths:
        raws.setdefault(classify(parse_cards(scan_fits(path).hdus[0].header_bytes)).tag, []).append(path)
    return raws, truths


def _run_recipe(
    recipe: str,
    sides: list[Side],
    raws: dict[str, list[Path]],
    catalog: Path,
    ifus: list[int],
    options: argparse.Namespace,
    work: Path,
) -> bool:
    """Run a recipe on all IFUs with both pipelines, in turn; True if one failed."""
    runs: dict[str, list[Usage]] = {side.name: [] for side in sides}
    for turn in range(options.repeat + 1):
        for side in sides:
            side.products.mkdir(exist_ok=True)
            sof = work / f"{recipe}-{side.name}.sof"
            frames: list[tuple[Path, str]] = [(path, RAW_TAG[recipe]) for path in raws[RAW_TAG[recipe]]]
            for tag in NEEDS[recipe]:
                masters = [catalog] if tag == "LINE_CATALOG" else [_product(side, tag, ifu) for ifu in ifus]
                frames += [(path, tag) for path in masters]
            sof.write_text(format_sof(frames))
            # esorex takes the IFUs that a frame lacks for failures: a subset is run one IFU a process by both.
            usages = []
            for nifu in [-1] if len(ifus) == N_IFU else ifus:
                command = [
                    *side.command,
                    f"--output-dir={side.products}",
                    f"muse_{recipe}",
                    f"--nifu={nifu}",
                    *OPTIONS.get(recipe, []),
                    str(sof),
                ]
                log = work / f"{recipe}-{side.name}.log"
                usages.append(run_measured(command, side.products, log, {"OMP_NUM_THREADS": str(options.threads)}))
            total = Usage(
                sum(usage.wall for usage in usages) / len(ifus),
                sum(usage.cpu for usage in usages) / len(ifus),
                max(usage.peak for usage in usages),
                max(abs(usage.code) for usage in usages),
            )
            if turn or not options.repeat:  # the first turn warms caches
                runs[side.name].append(total)
    for side in sides:
        side.usages[recipe] = median_usage(runs[side.name])
    return any(side.usages[recipe].code for side in sides)


def _product(side: Side, tag: str, ifu: int) -> Path:
    return side.products / f"{tag}-{ifu:02d}.fits"


def _agreement(recipe: str, sides: list[Side], ifu: int, truth: InstrumentTruth | None) -> Iterator[agreement.Line]:
    ours, theirs = sides

    def both(tag: str) -> tuple[Path, Path]:
        return _product(ours, tag, ifu), _product(theirs, tag, ifu)

    missing = [path.name for tag in _TAGS[recipe] for path in both(tag) if not path.exists()]
    if missing:
        yield agreement.Line("products missing", ", ".join(missing), "none", False)
        return
    if recipe == "bias":
        yield from agreement.compare_images(*both("MASTER_BIAS"), ifu, 0.05, "adu")
        yield from agreement.compare_qc(*both("MASTER_BIAS"), ifu)
    elif recipe == "dark":
        yield from agreement.compare_images(*both("MASTER_DARK"), ifu, 0.2, "count")
        yield from agreement.compare_qc(*both("MASTER_DARK"), ifu)
    elif recipe == "flat":
        yield from agreement.compare_images(*both("MASTER_FLAT"), ifu, 1e-4, "of the mean")
        yield from agreement.compare_qc(*both("MASTER_FLAT"), ifu)
        ny = 4112
        yield from agreement.compare_traces(*both("TRACE_TABLE"), ifu, ny, truth)
        yield from agreement.compare_qc(*both("TRACE_TABLE"), ifu)
    elif recipe == "wavecal":
        yield from agreement.compare_wavelengths(
            *both("WAVECAL_TABLE"), _product(ours, "TRACE_TABLE", ifu), ifu, 4112, truth
        )
        yield from agreement.compare_qc(*both("WAVECAL_TABLE"), ifu)
    else:
        yield from agreement.compare_lsf(*both("LSF_PROFILE"), ifu)
        yield from agreement.compare_qc(*both("LSF_PROFILE"), ifu)


_TAGS = {
    "bias": ("MASTER_BIAS",),
    "dark": ("MASTER_DARK",),
    "flat": ("MASTER_FLAT", "TRACE_TABLE"),
    "wavecal": ("WAVECAL_TABLE",),
    "lsf": ("LSF_PROFILE",),
}


def _print_speed(console: Console, recipe: str, sides: list[Side], n_ifus: int, threads: int) -> None:
    shape = f"one process of {n_ifus} IFUs" if n_ifus == N_IFU else "one IFU a process"
    title = f"muse_{recipe}: per IFU, {shape}, {threads} threads, caches warm"
    table = Table(title=title, title_justify="left")
    for heading in ("", "wall [s]", "CPU [s]", "peak memory [MiB]", "exit"):
        table.add_column(heading, justify="left" if not heading else "right")
    ours, theirs = (side.usages[recipe] for side in sides)
    for side, usage in zip(sides, (ours, theirs), strict=True):
        table.add_row(side.name, f"{usage.wall:.2f}", f"{usage.cpu:.2f}", f"{usage.peak:.0f}", str(usage.code))
    faster = theirs.wall / ours.wall
    verdict = "met" if faster >= TARGET[recipe] else "missed"
    table.add_row(
        "ratio",
        f"{faster:.1f}x faster (target {TARGET[recipe]:g}x: {verdict})",
        f"{theirs.cpu / ours.cpu:.1f}x less",
        f"{ours.peak / theirs.peak:.2f} (target 0.5: {'met' if ours.peak <= 0.5 * theirs.peak else 'missed'})",
        "",
    )
    console.print(table)


def _print_agreement(console: Console, recipe: str, ifu: int, lines: list[agreement.Line]) -> None:
    table = Table(title=f"muse_{recipe}, IFU {ifu}: agreement", title_justify="left")
    for heading in ("what", "measured", "asked", ""):
        table.add_column(heading, overflow="fold")
    for line in lines:
        mark = {True: "ok", False: "MISSED", None: ""}[line.ok]
        table.add_row(line.what, line.value, line.limit, mark)
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
