"""Compile all there is to compile once: ``muserex --compile``.

Numba keeps compiled kernels in a cache beside the modules (or in the user's cache directory where these are not
writable), but compiles each at its first use. Reducing a small simulated set of calibrations with every recipe uses
them all, so that afterwards each recipe starts without delay. Run it once after installation, as the container image
does. The modules of the package are compiled too, also where Python is told not to keep what it
compiles.
"""

from __future__ import annotations

import compileall
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import core
from core.errors import NonRetriableError
from core.fitsfile.cards import parse_cards
from core.fitsfile.scan import scan_fits
from core.recipes.engine import run_recipe
from core.recipes.frames import Frame, FrameSet
from core.recipes.registry import get_recipe
from core.recipes.results import RunResult
from core.simulator.night import NightPlan, simulate_night
from core.staticcal.line_catalog import write_line_catalog

__all__ = ["compile_kernels"]

_TAGS = {"BIAS": "BIAS", "DARK": "DARK", "FLAT,LAMP": "FLAT", "WAVE": "ARC"}
_PLAN = NightPlan(n_bias=5, n_dark=3, n_flat=3, n_arc=1, n_illum=0)
# Between them these runs use all kernels; the products of the first run of a recipe go into the recipes after it.
_RUNS: Final[dict[str, tuple[dict[str, Any], ...]]] = {
    "muse_bias": ({},),
    "muse_dark": ({"model": True},),
    "muse_flat": ({"samples": True},),
    "muse_wavecal": ({"residuals": True}, {"lampwise": False, "resample": True, "wavemap": True}),
    "muse_lsf": ({"save_subtracted": True}, {"method": "hermit"}),
}


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
            Frame(path, _TAGS[str(parse_cards(scan_fits(path).hdus[0].header_bytes)["DPR.TYPE"])])
            for path in simulate_night(work / "raw", "2026-11-01", (1,), _PLAN)
        ]
        frames.append(Frame(write_line_catalog(work / "line_catalog.fits"), "LINE_CATALOG"))
        for recipe_name in _RUNS:
            tell(f"compiling {recipe_name}")
            products: list[Frame] = []
            for values in _RUNS[recipe_name]:
                result = _run(recipe_name, values, frames, work)
                products = products or [Frame(product.path, product.tag) for product in result.products]
            frames += products


def _run(recipe_name: str, values: dict[str, Any], frames: list[Frame], work: Path) -> RunResult:
    recipe = get_recipe(recipe_name)
    wanted = {spec.tag for spec in recipe.inputs if spec.kind == "raw" or spec.min}
    chosen = FrameSet(tuple(frame for frame in frames if frame.tag in wanted))
    result = run_recipe(recipe, chosen, recipe.Params.parse({"nifu": 1, **values}), work)
    if not result.ok:
        raise NonRetriableError(f"{recipe_name} failed: {result.failures[0].message}", recipe=recipe_name)
    return result
