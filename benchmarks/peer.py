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
from pathlib import Path

from processes import Usage, median_usage
from rich.console import Console
from rich.table import Table
from runs import (
    CALIBRATIONS,
    NIGHT,
    RAW_TAG,
    RECIPES,
    Side,
    both_pipelines,
    compare_products,
    print_lines,
    raw_frames,
    run_recipe,
)

from core.instruments.muse.facts import N_IFU
from core.simulator.night import NightPlan, simulate_night
from core.simulator.truth import InstrumentTruth, truth_for
from core.staticcal.line_catalog import write_line_catalog

TARGET = {"bias": 8.0, "dark": 8.0, "flat": 8.0, "wavecal": 5.0, "lsf": 5.0}
OPTIONS = {"flat": ["--samples=true"], "wavecal": ["--residuals=true"]}
PRODUCTS = {
    "bias": ("MASTER_BIAS",),
    "dark": ("MASTER_DARK",),
    "flat": ("MASTER_FLAT", "TRACE_TABLE", "TRACE_SAMPLES"),
    "wavecal": ("WAVECAL_TABLE",),
    "lsf": ("LSF_PROFILE",),
}


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
    sides = both_pipelines(work)
    failed = False
    for recipe in recipes:
        failed |= _run_recipe(recipe, sides, raws, catalog, ifus, options)
        _print_speed(console, recipe, sides, len(ifus), options.threads)
        for ifu in ifus:
            ours, theirs = (side.products for side in sides)
            alone = len(ifus) < N_IFU
            lines = list(compare_products(ours, theirs, ifu, truths.get(ifu), tags=PRODUCTS[recipe], alone=alone))
            print_lines(console, f"muse_{recipe}, IFU {ifu}: agreement", lines)
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
    if options.data:
        return raw_frames(sorted(Path(options.data).glob("*.fits*"))), {}
    console.print(f"simulating IFU {options.ifus}: {options.frames} bias, dark, flat, {options.arcs} arc(s) per lamp")
    plan = NightPlan(n_bias=options.frames, n_dark=options.frames, n_flat=options.frames, n_arc=options.arcs, n_illum=0)
    paths = simulate_night(work / "raw", NIGHT, ifus, plan, mode=options.mode, seed=options.seed)
    return raw_frames(paths), {ifu: truth_for(ifu, options.mode, options.seed) for ifu in ifus}


def _run_recipe(
    recipe: str,
    sides: tuple[Side, Side],
    raws: dict[str, list[Path]],
    catalog: Path,
    ifus: list[int],
    options: argparse.Namespace,
) -> bool:
    """Run a recipe on all IFUs with both pipelines, in turn; True if one failed."""
    runs: dict[str, list[Usage]] = {side.name: [] for side in sides}
    for turn in range(options.repeat + 1):
        for side in sides:
            frames: list[tuple[Path, str]] = [(path, RAW_TAG[recipe]) for path in raws[RAW_TAG[recipe]]]
            for tag in CALIBRATIONS[recipe]:
                masters = [catalog] if tag == "LINE_CATALOG" else [_product(side, tag, ifu) for ifu in ifus]
                frames += [(path, tag) for path in masters]
            # esorex takes the IFUs that a frame lacks for failures: a subset is run one IFU a process by both.
            usages = []
            for nifu in [-1] if len(ifus) == N_IFU else ifus:
                words = [f"--nifu={nifu}", *OPTIONS.get(recipe, [])]
                usages.append(run_recipe(side, recipe, frames, words, label=recipe, threads=options.threads))
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


def _print_speed(console: Console, recipe: str, sides: tuple[Side, Side], n_ifus: int, threads: int) -> None:
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


if __name__ == "__main__":
    sys.exit(main())
