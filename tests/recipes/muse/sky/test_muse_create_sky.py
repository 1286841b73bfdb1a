"""muse_create_sky: lines and continuum of the night sky are recovered from an exposure with a star in it."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from core.formats.onsky_tables import EXTINCT_TABLE, SKY_LINES, STD_RESPONSE
from core.formats.pixtable_read import PixelTable, open_pixtable
from core.formats.tables import MuseTable, write_table
from core.onsky.fluxcal import Curve
from core.recipes.engine import run_recipe
from core.recipes.frames import Frame, FrameSet
from core.recipes.muse.sky_model import load_profiles
from core.recipes.muse.steps.sky import subtract_continuum, subtract_lines
from core.recipes.registry import get_recipe
from core.recipes.results import RecipeFailedError
from tests.recipes.muse.sky.night import GUESS, IFU, TRUE, continuum, write_exposure, write_lsf

LOG = logging.getLogger(__name__)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("sky")
    columns = {"name": TRUE.name, "group": TRUE.group, "lambda": TRUE.wave, "flux": GUESS, "dq": np.zeros(3, int)}
    return {
        "PIXTABLE_SKY": write_exposure(folder / "table.fits"),
        "SKY_LINES": write_table(folder / "lines.fits", SKY_LINES, MuseTable(columns), extension="LINES"),
        "LSF_PROFILE": write_lsf(folder / "lsf.fits"),
    }


def create(
    inputs: dict[str, Path], folder: Path, more: tuple[tuple[Path, str], ...] = (), **values: Any
) -> dict[str, Path]:
    recipe = get_recipe("muse_create_sky")
    frames = [Frame(path, tag) for tag, path in inputs.items()] + [Frame(path, tag) for path, tag in more]
    result = run_recipe(recipe, FrameSet(tuple(frames)), recipe.Params(**values), folder)
    return {product.tag: product.path for product in result.products}


def test_lines_and_continuum_are_recovered(inputs: dict[str, Path], tmp_path: Path) -> None:
    made = create(inputs, tmp_path, fraction=0.6)
    with fits.open(made["SKY_LINES"]) as hdus:
        table = {row["name"]: row for row in hdus["LINES"].data}
        assert hdus[0].header["ESO QC SKY LINE1 NAME"] == "[OI]6300"
        assert hdus[0].header["ESO QC SKY LINE1 FLUX"] == pytest.approx(4000, rel=0.01)
    for name, wave, flux in zip(TRUE.name.tolist(), TRUE.wave.tolist(), TRUE.flux.tolist(), strict=True):
        assert table[name]["flux"] == pytest.approx(flux, rel=0.02), name
        assert table[name]["lambda"] == pytest.approx(wave, abs=0.02), name
    with fits.open(made["SKY_CONTINUUM"]) as hdus:
        found = hdus["CONTINUUM"].data
        away = np.abs(found["lambda"][:, None] - TRUE.wave).min(axis=1) > 6
        np.testing.assert_allclose(found["flux"][away], continuum(found["lambda"][away]), rtol=0.08)
    spectrum = fits.getdata(made["SKY_SPECTRUM"], 1)
    assert np.median(spectrum["stat"]) == pytest.approx(9)


def test_the_star_is_no_sky(inputs: dict[str, Path], tmp_path: Path) -> None:
    made = create(inputs, tmp_path, fraction=0.6)
    with fits.open(made["SKY_MASK"]) as hdus:
        mask, header = hdus[0].data, hdus[0].header
    image = fits.getdata(made["SKY_IMAGE"], 1)
    assert mask.shape == image.shape
    assert mask[2, 4] == 0 < mask.sum()
    assert header["ESO QC SKY LOWLIMIT"] < image[mask == 1].min()
    assert image[mask == 1].max() < header["ESO QC SKY THRESHOLD"]


def test_a_mask_says_where_to_look(inputs: dict[str, Path], tmp_path: Path) -> None:
    first = create(inputs, tmp_path, fraction=0.6)
    mask = first["SKY_MASK"].rename(tmp_path / "mine.fits")
    with fits.open(mask, mode="update") as hdus:
        hdus[0].data[:, 8:] = 0
        n = int(hdus[0].data.sum())
    again = create(inputs, tmp_path, ((mask, "SKY_MASK"),), fraction=1.0, ignore=0.0)
    made = fits.getdata(again["SKY_MASK"])
    assert 0 < made.sum() <= n + 16  # drizzled pixels reach beyond the edge of the mask
    assert not made[:, 10:].any()


def test_a_continuum_that_is_given_is_kept(inputs: dict[str, Path], tmp_path: Path) -> None:
    path = create(inputs, tmp_path, fraction=0.6)["SKY_CONTINUUM"].rename(tmp_path / "mine.fits")
    made = create(inputs, tmp_path, ((path, "SKY_CONTINUUM"),), fraction=0.6)
    np.testing.assert_array_equal(fits.getdata(made["SKY_CONTINUUM"], 1)["flux"], fits.getdata(path, 1)["flux"])


def test_nothing_is_left_when_the_model_is_subtracted(inputs: dict[str, Path]) -> None:
    wave = np.arange(6200.0, 6600.0, 0.5)
    table: PixelTable = open_pixtable(inputs["PIXTABLE_SKY"])
    table = subtract_continuum(table, Curve.of(wave, continuum(wave)), LOG)
    profiles = load_profiles([Frame(inputs["LSF_PROFILE"], "LSF_PROFILE")], LOG)
    rows = subtract_lines(table, TRUE, profiles, LOG).read(0, table.n_rows)
    plain = (rows["dq"] == 0) & (rows["xpos"] > 11)
    assert abs(rows["data"][plain].mean()) < 0.5
    assert rows["data"][plain].std() == pytest.approx(3, rel=0.1)


def test_a_table_is_cut_to_the_spectrum(inputs: dict[str, Path]) -> None:
    wave = np.arange(6300.0, 6400.0, 1.0)
    table = subtract_continuum(open_pixtable(inputs["PIXTABLE_SKY"]), Curve.of(wave, wave * 0), LOG)
    found = table.read(0, table.n_rows, ("lambda", "data"))
    assert 6300 <= found["lambda"].min() < found["lambda"].max() <= 6399
    assert np.isfinite(found["data"]).all()


def test_slices_without_a_profile_are_told(inputs: dict[str, Path], caplog: pytest.LogCaptureFixture) -> None:
    table = open_pixtable(inputs["PIXTABLE_SKY"])
    profiles = load_profiles([Frame(inputs["LSF_PROFILE"], "LSF_PROFILE")], LOG)
    found = subtract_lines(table, TRUE, {(IFU, 1): profiles[IFU, 1]}, LOG)
    assert "7 slices without a line-spread function" in caplog.text
    before, after = (item.read(0, item.n_rows, ("data", "ypos")) for item in (table, found))
    changed = before["data"] != after["data"]
    assert set(before["ypos"][changed]) == {1.0}


def test_fluxes_need_no_response(inputs: dict[str, Path], tmp_path: Path) -> None:
    wave = np.arange(4000.0, 9900.0, 10.0)
    tables = {
        fmt.name: write_table(
            tmp_path / f"{fmt.name}.fits",
            fmt,
            MuseTable({column.name: wave if column.name == "lambda" else wave * 0 + 41 for column in fmt.columns[:3]}),
        )
        for fmt in (STD_RESPONSE, EXTINCT_TABLE)
    }
    with pytest.raises(RecipeFailedError, match="has fluxes"):
        create(inputs, tmp_path, tuple((path, tag) for tag, path in tables.items()))


def test_the_sky_of_one_exposure_is_wanted(inputs: dict[str, Path], tmp_path: Path) -> None:
    other = write_exposure(tmp_path / "other.fits", "2026-11-01T02:00:00.000")
    with pytest.raises(RecipeFailedError, match="2 exposures"):
        create(inputs, tmp_path, ((other, "PIXTABLE_SKY"),))
