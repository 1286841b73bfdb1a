"""Cascade and ESO's pipeline side by side, on the same raw frames, with the same number of threads.

    python benchmarks/peer.py                         # simulates two IFUs at full size (seeded) and runs all recipes
    python benchmarks/peer.py --recipes bias,flat --ifus 12 --frames 11 --repeat 3
    python benchmarks/peer.py --recipes bias,flat,wavecal,geometry --ifus 12,13 --threads 1 --repeat 0
    python benchmarks/peer.py --data /archive/night --geometry table.fits      # your own raw frames (no truth then)

Prints, per recipe, wall and CPU time per IFU, peak memory and their ratios, and the agreement of the products: pixels,
QC parameters, evaluated traces and wavelengths, positions, cubes, and residuals to the simulated truth. All 24 IFUs are
one process (--nifu=-1); of fewer, each is a process of its own, but for recipes that see the whole field (muse_geometry
measures the spots of each IFU by itself, and puts them together at the end, which is not counted). Each pipeline
feeds on its own products, so the agreement is that of whole chains (benchmarks/options.py compares recipe by recipe, on
the same calibrations). Recipes from pixel tables to cubes have benchmarks/peer_science.py, on a field small enough for
the reference. Without esorex it says so and ends.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Literal

from comparisons import compare_products
from processes import Usage, median_usage, seconds_to_write
from rich.console import Console
from rich.table import Table
from runs import (
    CALIBRATIONS,
    HEAVY,
    NIGHT,
    OF_THE_FIELD,
    RAW_TAG,
    RECIPES,
    Side,
    both_pipelines,
    print_lines,
    product_path,
    raw_frames,
    run_recipe,
)

from core.instruments.muse.facts import N_IFU
from core.simulator.night import NightPlan, scenes_of_night, simulate_night
from core.simulator.onsky import OnSkyScene
from core.simulator.programme import SkyPlan
from core.simulator.statics import write_geometry_table
from core.simulator.truth import InstrumentTruth, truth_for
from core.staticcal.line_catalog import write_line_catalog


@dataclass(frozen=True)
class Target:
    """What is asked of a recipe.

    Attributes
    ----------
    times : float
        Time of the reference over ours.
    of : {'wall', 'cpu'}
        Which time.
    memory : float
        Peak memory, ours over the reference's.
    """

    times: float
    of: Literal["wall", "cpu"] = "wall"
    memory: float = 0.5


TARGETS = {
    "bias": Target(8.0),
    "dark": Target(8.0),
    "flat": Target(8.0),
    "wavecal": Target(5.0),
    "lsf": Target(5.0),
    "twilight": Target(8.0, "cpu", 0.25),
    "scibasic": Target(8.0, "cpu", 0.25),
    "geometry": Target(8.0, "cpu", 0.25),
}
OPTIONS = {"flat": ["--samples=true"], "wavecal": ["--residuals=true"]}
PRODUCTS = {
    "bias": ("MASTER_BIAS",),
    "dark": ("MASTER_DARK",),
    "flat": ("MASTER_FLAT", "TRACE_TABLE", "TRACE_SAMPLES"),
    "wavecal": ("WAVECAL_TABLE",),
    "lsf": ("LSF_PROFILE",),
    "twilight": ("DATACUBE_SKYFLAT", "TWILIGHT_CUBE"),
    "scibasic": ("OBJECT_RED", "PIXTABLE_OBJECT"),
    "geometry": ("MASK_COMBINED", "SPOTS_TABLE"),
}
TOGETHER = {"geometry": ("GEOMETRY_UNSMOOTHED", "GEOMETRY_TABLE", "GEOMETRY_CUBE")}
"""Products of all IFUs beside those of each."""

DROPPED = {"geometry": "MASK_REDUCED"}
"""Products without which there is room on the disk."""

BESIDE = {"twilight": ("ILLUM",), "scibasic": ("ILLUM", "TWILIGHT_CUBE")}
"""What the recipes take if it is there."""


@dataclass(frozen=True)
class Scene:
    """What both pipelines work on.

    Attributes
    ----------
    raws : dict of str to list of pathlib.Path
        Raw frames by tag.
    statics : dict of str to pathlib.Path
        Calibrations that no recipe of this run makes, by tag.
    truths : dict of int to InstrumentTruth
        By IFU; empty for frames that are not simulated.
    flexure : dict of str to float
        Shift of the wavelengths of exposures by the names of their files [Angstrom].
    """

    raws: dict[str, list[Path]]
    statics: dict[str, Path]
    truths: dict[int, InstrumentTruth] = field(default_factory=dict)
    flexure: dict[str, float] = field(default_factory=dict)


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
    recipes = [name for name in (*RECIPES, *HEAVY) if name in options.recipes.split(",")]
    scene = _scene(options, work, ifus, console)
    sides = both_pipelines(work)
    failed = False
    for recipe in recipes:
        failed |= _run_recipe(recipe, sides, scene, ifus, options)
        _print_speed(console, recipe, sides, len(ifus), options.threads)
        ours, theirs = (side.products for side in sides)
        for what, ifu, tags in _compared(recipe, scene, ifus):
            lines = list(
                compare_products(
                    ours, theirs, ifu, scene.truths.get(ifu), tags=tags, alone=len(ifus) < N_IFU,
                    same_masters=False, flexure=scene.flexure,
                )
            )  # fmt: skip
            print_lines(console, f"muse_{recipe}, {what}", lines)
            failed |= any(line.ok is False for line in lines)
    if not options.work:
        shutil.rmtree(work, ignore_errors=True)
    return int(failed)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--ifus", default="1,12", help="IFUs, comma separated, or all [1,12]")
    parser.add_argument(
        "--recipes", default=",".join(RECIPES), help=f"recipes, comma separated [all but {', '.join(HEAVY)}]"
    )
    parser.add_argument("--frames", type=int, default=5, help="bias, dark, flat and twilight frames [5]")
    parser.add_argument("--arcs", type=int, default=1, help="arc frames per lamp [1]")
    parser.add_argument("--exposures", type=int, default=1, help="exposures of the sky [1]")
    parser.add_argument("--repeat", type=int, default=1, help="measured runs after one warm-up; the median counts [1]")
    parser.add_argument("--threads", type=int, default=2, help="OMP_NUM_THREADS of both [2]")
    parser.add_argument("--seed", type=int, default=1, help="seed of the simulation [1]")
    parser.add_argument("--mode", default="WFM-NOAO-N", help="INS.MODE of the simulation [WFM-NOAO-N]")
    parser.add_argument("--data", help="directory with raw frames, instead of a simulation")
    parser.add_argument("--geometry", help="GEOMETRY_TABLE of these frames")
    parser.add_argument("--work", help="working directory, kept afterwards")
    return parser.parse_args()


def _scene(options: argparse.Namespace, work: Path, ifus: list[int], console: Console) -> Scene:
    masks = 52 if "geometry" in options.recipes.split(",") else 0
    statics = {"LINE_CATALOG": write_line_catalog(work / "line_catalog.fits")}
    if options.data:
        if options.geometry:
            statics["GEOMETRY_TABLE"] = Path(options.geometry)
        return Scene(raw_frames(sorted(Path(options.data).glob("*.fits*"))), statics)
    statics["GEOMETRY_TABLE"] = write_geometry_table(work / "geometry_table.fits", options.seed)
    n = options.frames
    console.print(
        f"simulating IFU {options.ifus}: {n} bias, dark, flat, twilight, {options.arcs} arc(s) per lamp, "
        f"{options.exposures} of the sky, {masks} of the mask"
    )
    sky = SkyPlan(n_skyflat=n, n_object=options.exposures)
    plan = NightPlan(n_bias=n, n_dark=n, n_flat=n, n_arc=options.arcs, n_illum=1, n_mask=masks, sky=sky)
    paths = simulate_night(work / "raw", NIGHT, ifus, plan, mode=options.mode, seed=options.seed)
    scenes = scenes_of_night(date.fromisoformat(NIGHT), plan, mode=options.mode, seed=options.seed)
    return Scene(
        raw_frames(paths),
        statics,
        {ifu: truth_for(ifu, options.mode, options.seed) for ifu in ifus},
        {name: scene.flexure for name, scene in scenes.items() if isinstance(scene, OnSkyScene)},
    )


def _compared(recipe: str, scene: Scene, ifus: list[int]) -> Iterator[tuple[str, int, tuple[str, ...]]]:
    """What is compared together: a title, the IFU, and tags of products."""
    if recipe in OF_THE_FIELD:
        yield "agreement", ifus[0], _tags(recipe, scene)
        return
    for ifu in ifus:
        yield f"IFU {ifu}: agreement", ifu, _tags(recipe, scene)
    if recipe in TOGETHER:
        yield "agreement", ifus[0], TOGETHER[recipe]


def _tags(recipe: str, scene: Scene) -> tuple[str, ...]:
    """Products that are compared; those of several exposures are numbered."""
    count = len(scene.raws[RAW_TAG[recipe]])
    if recipe != "scibasic" or count == 1:
        return PRODUCTS[recipe]
    return tuple(f"{tag}_{number:04d}" for tag in PRODUCTS[recipe] for number in range(1, count + 1))


def _run_recipe(
    recipe: str, sides: tuple[Side, Side], scene: Scene, ifus: list[int], options: argparse.Namespace
) -> bool:
    """Run a recipe on all IFUs with both pipelines, in turn; True if one failed."""
    runs: dict[str, list[Usage]] = {side.name: [] for side in sides}
    for turn in range(options.repeat + 1):
        for side in sides:
            frames = _frames(recipe, side, scene, ifus)
            usages = []
            side.dropped[recipe] = 0
            for words in _processes(recipe, ifus):
                words = [*words, *OPTIONS.get(recipe, [])]
                usages.append(run_recipe(side, recipe, frames, words, label=recipe, threads=options.threads))
                side.dropped[recipe] += _drop(recipe, side.products)
            if recipe in TOGETHER:
                reuse = {"MUSE_GEOMETRY_SKIP": "2"}
                run_recipe(side, recipe, frames, _from_to(ifus), label=recipe, threads=1, variables=reuse)
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


def _processes(recipe: str, ifus: list[int]) -> list[list[str]]:
    """IFUs of each process, as options."""
    if recipe in OF_THE_FIELD:
        return [[]]
    if recipe in TOGETHER:
        return [_from_to([ifu]) for ifu in ifus]
    # esorex takes the IFUs that a frame lacks for failures: a subset is run one IFU a process by both.
    return [[f"--nifu={nifu}"] for nifu in ([-1] if len(ifus) == N_IFU else ifus)]


def _from_to(ifus: list[int]) -> list[str]:
    return [f"--ifu1={min(ifus)}", f"--ifu2={max(ifus)}"]


def _drop(recipe: str, products: Path) -> int:
    """Remove what there is no room for, but for the first, which the reference wants again; the bytes that it had."""
    paths = list(products.glob(f"{DROPPED[recipe]}_*.fits")) if recipe in DROPPED else []
    total = sum(path.stat().st_size for path in paths)
    for path in paths:
        if "_0001" not in path.name:
            path.unlink()
    return total


def _frames(recipe: str, side: Side, scene: Scene, ifus: list[int]) -> list[tuple[Path, str]]:
    """Raw frames, and calibrations of the pipeline itself where it has made them."""
    found = [(path, RAW_TAG[recipe]) for path in scene.raws[RAW_TAG[recipe]]]
    for tag in (*CALIBRATIONS[recipe], *BESIDE.get(recipe, ())):
        own = dict.fromkeys(product_path(side.products, tag, ifu) for ifu in ifus)
        made = [path for path in own if path.exists()]
        given = [scene.statics[tag]] if tag in scene.statics else scene.raws.get(tag, [])
        if not made and not given and tag in CALIBRATIONS[recipe]:
            raise SystemExit(f"muse_{recipe} needs {tag}, which {side.name} has not made")
        found += [(path, tag) for path in made or given]
    return found


def _print_speed(console: Console, recipe: str, sides: tuple[Side, Side], n_ifus: int, threads: int) -> None:
    shape = f"one process of {n_ifus} IFUs" if n_ifus == N_IFU else "one IFU a process"
    title = f"muse_{recipe}: per IFU, {shape}, {threads} threads, caches warm"
    table = Table(title=title, title_justify="left")
    for heading in ("", "wall [s]", "CPU [s]", "peak memory [MiB]", "exit"):
        table.add_column(heading, justify="left" if not heading else "right")
    target = TARGETS[recipe]
    ours, theirs = (side.usages[recipe] for side in sides)
    for side, usage in zip(sides, (ours, theirs), strict=True):
        table.add_row(side.name, f"{usage.wall:.2f}", f"{usage.cpu:.2f}", f"{usage.peak:.0f}", str(usage.code))
    times = {"wall": theirs.wall / ours.wall, "cpu": theirs.cpu / ours.cpu}
    asked = f" (target {target.times:g}x: {_verdict(times[target.of] >= target.times)})"
    memory = _verdict(ours.peak <= target.memory * theirs.peak)
    table.add_row(
        "ratio",
        f"{times['wall']:.1f}x faster{asked if target.of == 'wall' else ''}",
        f"{times['cpu']:.1f}x less{asked if target.of == 'cpu' else ''}",
        f"{ours.peak / theirs.peak:.2f} (target {target.memory:g}: {memory})",
        "",
    )
    console.print(table)
    kept = (path for tag in PRODUCTS[recipe] for path in sides[0].products.glob(f"{tag}[-_.]*"))
    written = (sides[0].dropped[recipe] + sum(path.stat().st_size for path in kept)) / n_ifus
    alone = seconds_to_write(sides[0].products / "written.tmp", round(written))
    console.print(f"products of an IFU: {written / 1e6:.0f} MB; writing as many bytes and no more takes {alone:.2f} s")


def _verdict(met: bool) -> str:
    return "met" if met else "missed"


if __name__ == "__main__":
    sys.exit(main())
