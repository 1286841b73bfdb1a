"""Compile all there is to compile once: ``muserex --compile``.

Numba keeps compiled kernels in a cache beside the modules (or in the user's cache directory where these are not
writable), but compiles each at its first use. Reducing a small simulated set of calibrations with every recipe, as its
declaration says (`Recipe.compiled_by`), uses them all, so that afterwards each recipe starts without delay. Run it once
after installation, as the container image does. The modules of the package are compiled too, also where Python is told
not to keep what it compiles.
"""

from __future__ import annotations

import compileall
import itertools
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import core
from core.errors import NonRetriableError
from core.fitsfile.cards import parse_cards
from core.fitsfile.scan import scan_fits
from core.instruments.classification import classify
from core.recipes.declaration import Recipe
from core.recipes.engine import run_recipe
from core.recipes.frames import Frame, FrameSet
from core.recipes.registry import all_recipes
from core.recipes.results import RunResult
from core.simulator.night import NightPlan, simulate_night
from core.simulator.programme import SkyPlan
from core.staticcal.line_catalog import write_line_catalog

__all__ = ["compile_kernels"]

# A sequence of the mask may be short, since frames are repeated; with fewer the pinholes have no peaks.
_PLAN = NightPlan(n_bias=5, n_dark=3, n_flat=3, n_arc=1, n_illum=1, n_mask=14, sky=SkyPlan(n_skyflat=1, n_object=1))


def compile_kernels(tell: Callable[[str], None]) -> None:
    """Compile the modules of the package, and the kernels of all recipes (and of the simulator) into the cache.

    Parameters
    ----------
    tell : callable
        Told what is being done, a line at a time.

    Raises
    ------
    NonRetriableError
        If a recipe fails on the simulated frames.
    """
    compileall.compile_dir(Path(core.__file__).parent, quiet=2)
    with tempfile.TemporaryDirectory(prefix="cascade-compile-") as name:
        work = Path(name)
        tell("simulating one IFU")
        frames = [
            Frame(path, classify(parse_cards(scan_fits(path).hdus[0].header_bytes)).tag)
            for path in simulate_night(work / "raw", "2026-11-01", (1,), _PLAN)
        ]
        frames.append(Frame(write_line_catalog(work / "line_catalog.fits"), "LINE_CATALOG"))
        for recipe in all_recipes():
            products: list[Frame] = []  # of the first run of a recipe: they go into the recipes after it
            for values in recipe.compiled_by:
                tell(f"compiling {recipe.name}")
                result = _run(recipe, values, frames, work)
                products = products or [Frame(product.path, product.tag) for product in result.products]
            frames += products


def _run(recipe: Recipe, values: Mapping[str, Any], frames: list[Frame], work: Path) -> RunResult:
    chosen: list[Frame] = []
    for spec in recipe.inputs:
        found = [frame for frame in frames if frame.tag == spec.tag]
        chosen += [*found, *_again(found, spec.min - len(found), work)]
    result = run_recipe(recipe, FrameSet(tuple(chosen)), recipe.Params.parse(dict(values)), work)
    if not result.ok:
        raise NonRetriableError(f"{recipe.name} failed: {result.failures[0].message}", recipe=recipe.name)
    return result


def _again(frames: list[Frame], count: int, work: Path) -> list[Frame]:
    """So many more frames, if there are any: the same under other names, since a recipe takes a file once."""
    more = []
    for number, frame in zip(range(count), itertools.cycle(frames), strict=False):
        path = work / f"again-{number:03d}-{frame.path.name}"
        if not path.exists():
            os.link(frame.path, path)
        more.append(Frame(path, frame.tag))
    return more
