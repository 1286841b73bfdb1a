"""A picture of all spectra of a table: slices side by side."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from core.formats.pixtable_read import open_pixtable
from core.recipes.engine import run_recipe
from core.recipes.frames import Frame, FrameSet
from core.recipes.muse import stacked
from core.recipes.registry import get_recipe
from tests.recipes.muse.sky.night import SAMPLING, SLICES, write_exposure

RANGE = {"lambdamin": 6320.0, "lambdamax": 6400.0}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_exposure(tmp_path_factory.mktemp("stacked") / "PIXTABLE_OBJECT.fits")


def picture(table: Path, folder: Path) -> fits.ImageHDU:
    recipe = get_recipe("muse_scipost_make_cube")
    folder.mkdir(exist_ok=True)
    frames = FrameSet((Frame(table, "PIXTABLE_OBJECT"),))
    made = run_recipe(recipe, frames, recipe.Params(stacked=True, **RANGE), folder).products
    (path,) = [product.path for product in made if product.tag == "OBJECT_RESAMPLED"]
    with fits.open(path, checksum=True) as hdus:
        return hdus["DATA"].copy()


def test_each_slice_has_its_columns(table: Path, tmp_path: Path) -> None:
    found = picture(table, tmp_path)
    rows = open_pixtable(table).read(0, open_pixtable(table).n_rows)
    used = (rows["lambda"] >= RANGE["lambdamin"]) & (rows["lambda"] <= RANGE["lambdamax"])
    rows = {name: cells[used] for name, cells in rows.items()}
    width = int(np.ptp(rows["xpos"])) + 1
    assert found.shape == (int(np.ceil(np.ptp(rows["lambda"]) / SAMPLING)) + 1, SLICES * width)
    assert found.header["CRVAL2"] == rows["lambda"].min()
    # The line at 6363.8 Angstrom is a row of light in all slices; the star of slice 3 is a column.
    image = found.data
    line = np.nanmedian(image, axis=1).argmax()
    assert found.header["CRVAL2"] + line * SAMPLING == pytest.approx(6363.776, abs=SAMPLING)
    columns = np.nanmedian(image, axis=0).reshape(SLICES, width)
    assert np.unravel_index(columns.argmax(), columns.shape) == (2, 5 - int(rows["xpos"].min()))


def test_slabs_change_nothing(table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = picture(table, tmp_path / "whole").data
    monkeypatch.setattr(stacked, "_LINES", 7)
    np.testing.assert_array_equal(picture(table, tmp_path / "slabs").data, whole)
