"""Peak memory of the recipes against the number of input frames, at full detector size.

    python benchmarks/memory.py                  # simulates one IFU (seeded): 3 and 11 frames of each type and lamp
    python benchmarks/memory.py --frames 3,5,20 --recipes flat,wavecal

Each recipe runs as a process of its own on the first n frames; printed are the peaks of the memory in use (shared pages
counted once) and their ratio to that of the fewest frames.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table
from runs import (
    CALIBRATIONS,
    NIGHT,
    OF_THE_FIELD,
    RAW_TAG,
    RECIPES,
    Side,
    both_pipelines,
    product_path,
    raw_frames,
    run_recipe,
)

from core.fitsfile.scan import scan_fits
from core.recipes.muse.arc_lamps import lamp_states
from core.simulator.night import NightPlan, simulate_night
from core.simulator.programme import SkyPlan
from core.simulator.statics import write_geometry_table
from core.staticcal.line_catalog import write_line_catalog

IFU = 12
SEED = 1
TOLERANCE = 1.01  # 1 %: the sampling of the peak


def main() -> int:
    """Run the comparison; the exit code is 1 if more frames cost more memory."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--frames", default="3,11", help="numbers of frames, per lamp for arcs [3,11]")
    parser.add_argument("--recipes", default=",".join(RECIPES), help="recipes, comma separated [all]")
    parser.add_argument("--work", help="working directory, kept afterwards")
    options = parser.parse_args()
    numbers = sorted(int(text) for text in options.frames.split(","))
    work = Path(options.work or tempfile.mkdtemp(prefix="cascade-memory-"))
    work.mkdir(parents=True, exist_ok=True)
    console = Console(width=None if sys.stdout.isatty() else 120)
    raws = _simulate(work, numbers[-1], console)
    statics = {
        "LINE_CATALOG": write_line_catalog(work / "line_catalog.fits"),
        "GEOMETRY_TABLE": write_geometry_table(work / "geometry_table.fits", SEED),
    }
    table = Table(title="Peak memory, one IFU [MiB]", title_justify="left")
    for heading in ("", *(f"{number} frames" for number in numbers), "most / fewest"):
        table.add_column(heading, justify="right" if heading else "left")
    failed = False
    for recipe in (name for name in RECIPES if name in options.recipes.split(",")):
        peaks = [_peak(recipe, number, raws, statics, work) for number in numbers]
        ratio = peaks[-1] / peaks[0]
        failed |= not ratio <= TOLERANCE
        table.add_row(f"muse_{recipe}", *(f"{peak:.0f}" for peak in peaks), f"{ratio:.3f}")
    console.print(table)
    if not options.work:
        shutil.rmtree(work, ignore_errors=True)
    return int(failed)


def _simulate(work: Path, number: int, console: Console) -> dict[str, list[list[Path]]]:
    """Raw frames of each type, in groups of which each gives as many frames as are asked for."""
    paths = sorted((work / "raw").glob("*.fits"))
    if not paths:
        console.print(f"simulating IFU {IFU}: {number} frames of each type, and arcs per lamp")
        sky = SkyPlan(n_skyflat=number, n_object=number)
        plan = NightPlan(n_bias=number, n_dark=number, n_flat=number, n_arc=number, n_illum=0, sky=sky)
        paths = simulate_night(work / "raw", NIGHT, [IFU], plan, seed=SEED)
    groups: dict[str, list[list[Path]]] = {}
    for tag, members in raw_frames(paths).items():
        lamps: dict[object, list[Path]] = {}
        for path in members:
            lamps.setdefault(lamp_states(scan_fits(path).primary) if tag == "ARC" else (), []).append(path)
        groups[tag] = list(lamps.values())
    return groups


def _peak(recipe: str, number: int, raws: dict[str, list[list[Path]]], statics: dict[str, Path], work: Path) -> float:
    """Peak of a recipe on the first frames [MiB]; NaN if it failed."""
    ours, _ = both_pipelines(work)
    side = Side(ours.name, ours.command, work / f"products-{number}")
    tag = RAW_TAG[recipe]
    frames = [(path, tag) for group in raws[tag] for path in group[:number]]
    for need in CALIBRATIONS[recipe]:
        frames.append((statics.get(need) or product_path(side.products, need, IFU), need))
    words = [] if recipe in OF_THE_FIELD else [f"--nifu={IFU}"]
    usage = run_recipe(side, recipe, frames, words, label=f"{recipe}-{number}")
    return usage.peak if usage.code == 0 else float("nan")


if __name__ == "__main__":
    sys.exit(main())
