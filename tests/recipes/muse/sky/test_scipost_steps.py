"""The single steps of muse_scipost make one pixel table of each exposure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from core.errors import MissingInputError, ParameterError
from core.fitsfile.header import Header
from core.fitsfile.keywords import get_key, has_key, set_key
from core.fitsfile.writer import FitsWriter
from core.formats.onsky_tables import EXTINCT_TABLE, STD_RESPONSE, STD_TELLURIC
from core.formats.pixtable_header import FLUX_UNIT
from core.formats.pixtable_origin import PREFIX
from core.formats.pixtable_read import PixelTable, open_pixtable
from core.formats.tables import MuseTable, TableFormat, write_table
from core.recipes.engine import run_recipe
from core.recipes.frames import Frame, FrameSet
from core.recipes.registry import get_recipe
from core.recipes.results import RecipeFailedError
from tests.recipes.muse.sky.exposures import FLUXES, opened, write

WAVE = np.arange(4150.0, 9801.0, 1.25)
POINTING = {
    "LST": 46000.0,
    "TEL.PARANG.START": 80.0,
    "TEL.PARANG.END": 82.0,
    "TEL.AIRM.START": 1.2,
    "TEL.AIRM.END": 1.3,
}


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two IFUs of two exposures."""
    folder = tmp_path_factory.mktemp("tables")
    paths = []
    for date in ("2026-11-01T01:00:00.000", "2026-11-01T02:00:00.001"):
        for ifu in (3, 5):
            path = write(folder, ifu, FLUXES[ifu], date=date)
            with fits.open(path, mode="update") as hdus:
                for key, value in POINTING.items():
                    hdus[0].header[f"HIERARCH ESO {key.replace('.', ' ')}" if "." in key else key] = value
            paths.append(path)
    return paths


def run(
    name: str, folder: Path, tables: list[Path], calibs: dict[str, Path] | None = None, **values: Any
) -> list[PixelTable]:
    recipe = get_recipe(f"muse_scipost_{name}")
    frames = [Frame(path, "PIXTABLE_OBJECT") for path in tables]
    frames += [Frame(path, tag) for tag, path in (calibs or {}).items()]
    result = run_recipe(recipe, FrameSet(tuple(frames)), recipe.Params(**values), folder)
    return [open_pixtable(product.path) for product in result.products]


def written(folder: Path, fmt: TableFormat, mode: str = "WFM-AO-N", **columns: np.ndarray) -> Path:
    header = Header()
    set_key(header, "INS.MODE", mode)
    set_key(header, "DRS.MUSE.FLUX.FFCORR", True)
    return write_table(folder / f"{fmt.name}.fits", fmt, MuseTable({"lambda": WAVE, **columns}, header))


def test_each_exposure_becomes_one_table(tables: list[Path], tmp_path: Path) -> None:
    found = run("correct_dar", tmp_path, tables)
    assert [table.path.name for table in found] == ["PIXTABLE_REDUCED_0001.fits", "PIXTABLE_REDUCED_0002.fits"]
    merged = opened(tables[:2])
    assert found[0].n_rows == merged.n_rows
    assert get_key(found[0].header, f"{PREFIX}.MERGED", int) == 2
    assert get_key(found[0].header, f"{PREFIX}.DAR.CORRECT", float) == 7000
    assert get_key(found[0].header, "PRO.SCIENCE", bool)
    before, after = (table.read(0, table.n_rows) for table in (merged, found[0]))
    for name in ("lambda", "data", "dq", "stat", "origin"):
        np.testing.assert_array_equal(before[name], after[name], err_msg=name)
    assert np.ptp(after["xpos"] - before["xpos"]) > 1


def test_wavelengths_are_cut(tables: list[Path], tmp_path: Path) -> None:
    (table,) = run("correct_dar", tmp_path, tables[:2], lambdamin=5000.0, lambdamax=6000.0)
    wave = table.read(0, table.n_rows, ("lambda",))["lambda"]
    assert 5000 <= wave.min() < wave.max() <= 6000
    with pytest.raises(ParameterError, match="lambdamax"):
        run("correct_dar", tmp_path, tables[:2], lambdamin=6000.0, lambdamax=5000.0)


def test_velocity(tables: list[Path], tmp_path: Path) -> None:
    (table,) = run("correct_rv", tmp_path, tables[:2], rvcorr="helio")
    ratio = table.read(0, 100, ("lambda",))["lambda"] / opened(tables[:2]).read(0, 100, ("lambda",))["lambda"]
    np.testing.assert_allclose(ratio - 1, get_key(table.header, f"{PREFIX}.RVCORR", float) / 299792.458, atol=2e-7)
    assert table.header["SPECSYS"] == "HELIOCEN"


def test_astrometry(tables: list[Path], tmp_path: Path) -> None:
    header = Header()
    for key, value in {
        "CD1_1": -5.5e-5,
        "CD1_2": 0.0,
        "CD2_1": 0.0,
        "CD2_2": 5.5e-5,
        "CRPIX1": 0.0,
        "CRPIX2": -1.2,
    }.items():
        header[key] = value
    with FitsWriter(tmp_path / "wcs.fits") as writer:
        writer.primary(header)
    (table,) = run("apply_astrometry", tmp_path, tables[:2], {"ASTROMETRY_WCS": tmp_path / "wcs.fits"})
    assert (table.units["xpos"], table.header["CTYPE1"]) == ("rad", "RA---TAN")
    with pytest.raises(MissingInputError, match="ASTROMETRY_WCS"):
        run("apply_astrometry", tmp_path, tables[:2])


def test_fluxes(tables: list[Path], tmp_path: Path) -> None:
    flat = np.full(WAVE.size, 41.5)
    calibs = {
        "STD_RESPONSE": written(tmp_path, STD_RESPONSE, response=flat, resperr=flat * 0),
        "EXTINCT_TABLE": written(tmp_path, EXTINCT_TABLE, extinction=flat * 0),
        "STD_TELLURIC": written(tmp_path, STD_TELLURIC, ftelluric=flat**0, ftellerr=flat * 0),
    }
    (table,) = run("calibrate_flux", tmp_path, tables[:2], calibs)
    assert table.units["data"] == FLUX_UNIT
    counts = opened(tables[:2]).read(0, 100, ("data",))["data"]
    found = table.read(0, 100, ("data",))["data"]
    np.testing.assert_allclose(found, counts / 100 / 1.25 * 10 ** (-0.4 * 41.5) * 1e20, rtol=1e-5)
    assert has_key(table.header, "PRO.REC1.CAL3.NAME")
    calibs["STD_RESPONSE"] = written(tmp_path, STD_RESPONSE, "NFM-AO-N", response=flat, resperr=flat * 0)
    with pytest.raises(RecipeFailedError, match="measured in the mode NFM-AO-N"):
        run("calibrate_flux", tmp_path, tables[:2], calibs)
