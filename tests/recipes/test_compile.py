"""One command compiles the kernels of all recipes (full size: left to the benchmarks)."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import core.recipes.compile as compiling
from core.fitsfile.cards import parse_cards
from core.fitsfile.scan import scan_fits
from core.fitsfile.sof import format_sof
from core.instruments.classification import classify
from core.recipes.declaration import Recipe
from core.recipes.frames import Frame, FrameSet
from core.recipes.registry import all_recipes, get_recipe, recipe_names
from core.recipes.results import RunResult, WrittenProduct
from core.simulator.night import NightPlan, simulate_night
from core.simulator.programme import SkyPlan
from core.simulator.statics import write_geometry_table
from core.staticcal.line_catalog import write_line_catalog

# What a compiled installation is asked for next: other methods, other inputs.
LATER = (
    ("muse_bias", "--combine=median", "--overscan=offset", "--ovscreject=fit", "--merge"),
    ("muse_dark", "--combine=minmax", "--overscan=none"),
    ("muse_flat", "--combine=average", "--merge"),
    ("muse_wavecal", "--fitweighting=scatter", "--combine=median"),
    ("muse_wavecal", "--lampwise=false", "--resample", "--wavemap"),
    ("muse_lsf", "--method=interpolate", "--lsf_oversample=5"),
    ("muse_lsf", "--method=hermit", "--save_subtracted"),
    ("muse_twilight", "--crtype=iraf", "--resample=renka"),
    ("muse_scibasic", "--skylines=none", "--saveimage=false"),
    ("muse_scibasic", "--combine=none", "--compact=true"),
)
NO_UNITS = ("muse_twilight",)  # recipes that take all IFUs there are

# They copy, compare, project, put tables one after the other; and what they have of kernels others have.
WITHOUT_KERNELS = {
    "muse_illum",
    "muse_lingain",
    "muse_qi_mask",
    "muse_exp_align",
    "muse_scipost_apply_astrometry",
    "muse_scipost_subtract_sky_simple",
    "muse_scipost_combine_pixtables",
    "muse_scipost_make_cube",
}
# They need frames that nothing simulated has: a star, a response, extinction, lines; exposures in native angles.
COMPILED_AT_FIRST_USE = {
    "muse_ampl",
    "muse_standard",
    "muse_astrometry",
    "muse_create_sky",
    "muse_scipost",
    "muse_exp_combine",
    "muse_scipost_calibrate_flux",
    "muse_scipost_subtract_sky",
    "muse_scipost_raman",
}


@pytest.mark.heavy
def test_one_command_compiles_all_that_recipes_need(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache)}

    def muserex(*words: str) -> str:
        command = [sys.executable, "-m", "core.recipes.muserex", *words]
        run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stderr
        return run.stdout

    told = muserex("--compile")
    assert all(f"compiling {name}" in told for name in set(recipe_names()) - WITHOUT_KERNELS)
    compiled = {path.name for path in cache.rglob("*.nbc")}
    assert compiled

    plan = NightPlan(5, 3, 3, 1, 1, sky=SkyPlan(n_skyflat=3, n_object=1))
    paths = simulate_night(tmp_path / "raw", "2026-11-01", [1], plan)
    frames = [(path, classify(parse_cards(scan_fits(path).hdus[0].header_bytes)).tag) for path in paths]
    frames.append((write_line_catalog(tmp_path / "line_catalog.fits"), "LINE_CATALOG"))
    frames.append((write_geometry_table(tmp_path / "geometry_table.fits"), "GEOMETRY_TABLE"))
    for recipe, *options in LATER:
        paths = [*tmp_path.glob("*-01.fits"), *tmp_path.glob("TWILIGHT_CUBE.fits")]
        products = [(path, path.stem.partition("-")[0]) for path in paths]
        (tmp_path / "all.sof").write_text(format_sof([*frames, *products]))
        units = () if recipe in NO_UNITS else ("--nifu=1",)
        muserex("--msg-level=warning", recipe, *units, *options, "all.sof")
        assert {path.name for path in cache.rglob("*.nbc")} == compiled, (recipe, options)


def test_each_recipe_is_run_as_it_declares_on_what_those_before_it_made(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[str, dict[str, Any], set[str]]] = []

    def run(recipe: Recipe, values: Mapping[str, Any], frames: list[Frame], work: Path) -> RunResult:
        recipe.Params.parse(dict(values))
        made.append((recipe.name, dict(values), {frame.tag for frame in frames}))
        return RunResult(products=tuple(WrittenProduct(spec.tag, work, 1, None) for spec in recipe.products))

    monkeypatch.setattr(compiling, "_run", run)
    monkeypatch.setattr(compiling, "simulate_night", lambda *_: [])
    monkeypatch.setattr(compiling.compileall, "compile_dir", lambda *_, **__: True)
    compiling.compile_kernels(lambda _: None)
    assert [(name, values) for name, values, _ in made] == [
        (recipe.name, values) for recipe in all_recipes() for values in recipe.compiled_by
    ]
    assert {name for name, _, _ in made} == set(recipe_names()) - WITHOUT_KERNELS - COMPILED_AT_FIRST_USE
    assert {"MASTER_BIAS", "TRACE_TABLE", "WAVECAL_TABLE", "LINE_CATALOG"} <= made[-1][2]


def test_frames_are_repeated_until_a_recipe_has_enough(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    taken: list[FrameSet] = []
    monkeypatch.setattr(compiling, "run_recipe", lambda recipe, frames, *_: taken.append(frames) or RunResult())
    recipe = get_recipe("muse_geometry")
    few = [Frame(tmp_path / f"{number}.fits", "MASK") for number in range(14)]
    for frame in few:
        frame.path.touch()
    others = [Frame(tmp_path / "a.fits", "TRACE_TABLE"), Frame(tmp_path / "b.fits", "BIAS")]
    compiling._run(recipe, {}, [*few, *others], tmp_path)
    masks = {frame.path.resolve() for frame in taken[0].tagged("MASK")}
    assert len(masks) == 50
    assert all(path.is_file() for path in masks)
    assert [frame.tag for frame in taken[0] if frame.tag != "MASK"] == ["TRACE_TABLE"]
