"""muse_exp_combine: exposures of a field become one table, and one cube."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from core.errors import DataError, ParameterError
from core.fitsfile.header import Header
from core.fitsfile.keywords import get_key
from core.fitsfile.writer import FitsWriter
from core.formats.onsky_tables import OFFSET_LIST
from core.formats.pixtable_origin import PREFIX, decode_origin, exposure_of, exposure_ranges, read_offsets
from core.formats.pixtable_read import PixelTable, open_pixtable
from core.formats.tables import MuseTable, write_table
from core.recipes.engine import finish_run, prepare_run, run_part, run_recipe
from core.recipes.frames import Frame, FrameSet
from core.recipes.muse import cube_work
from core.recipes.registry import get_recipe
from tests.recipes.muse.sky.exposures import FLUXES, write

DATES = ("2026-11-01T01:00:00.000", "2026-11-01T02:00:00.001")
WCS = {
    "CTYPE1": "RA---TAN",
    "CTYPE2": "DEC--TAN",
    "CD1_1": -0.2 / 3600,
    "CD1_2": 0.0,
    "CD2_1": 0.0,
    "CD2_2": 0.2 / 3600,
}


@pytest.fixture(scope="module")
def reduced(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two exposures in native angles; the second is 2 arcsec to the north, and twice as long."""
    folder = tmp_path_factory.mktemp("reduced")
    header = Header()
    for key, value in {**WCS, "CRPIX1": 0.0, "CRPIX2": 0.0}.items():
        header[key] = value
    with FitsWriter(folder / "wcs.fits") as writer:
        writer.primary(header)
    tables = [write(folder, ifu, FLUXES[ifu], date=date) for date in DATES for ifu in (3, 5)]
    for path in tables[2:]:
        with fits.open(path, mode="update") as hdus:
            hdus[0].header["DEC"] += 2.0 / 3600
            hdus[0].header["EXPTIME"] *= 2
    recipe = get_recipe("muse_scipost_apply_astrometry")
    frames = [Frame(path, "PIXTABLE_OBJECT") for path in tables]
    frames.append(Frame(folder / "wcs.fits", "ASTROMETRY_WCS"))
    result = run_recipe(recipe, FrameSet(tuple(frames)), recipe.Params(), folder)
    return [product.path for product in result.products]


def combine(
    tables: list[Path], folder: Path, others: dict[str, Path] | None = None, **values: Any
) -> dict[str, list[Path]]:
    recipe = get_recipe("muse_exp_combine")
    frames = [Frame(path, "PIXTABLE_REDUCED") for path in tables]
    frames += [Frame(path, tag) for tag, path in (others or {}).items()]
    found: dict[str, list[Path]] = {}
    for product in run_recipe(recipe, FrameSet(tuple(frames)), recipe.Params(**values), folder).products:
        found.setdefault(product.tag, []).append(product.path)
    return found


def offset_list(path: Path, ra: float, dec: float, scale: float = np.nan) -> Path:
    columns = {
        "DATE_OBS": np.array(DATES),
        "MJD_OBS": np.zeros(2),
        "RA_OFFSET": np.array([0.0, ra]),
        "DEC_OFFSET": np.array([0.0, dec]),
        "FLUX_SCALE": np.array([np.nan, scale]),
    }
    return write_table(path, OFFSET_LIST, MuseTable(columns, Header()))


def everything(table: PixelTable) -> dict[str, np.ndarray]:
    return table.read(0, table.n_rows)


def test_rows_follow_each_other_on_one_sky(reduced: list[Path], tmp_path: Path) -> None:
    made = combine(reduced, tmp_path, save="combined")
    assert list(made) == ["PIXTABLE_COMBINED"]
    table = open_pixtable(made["PIXTABLE_COMBINED"][0])
    rows = everything(table)
    ranges = exposure_ranges(table.header)
    assert [last - first + 1 for first, last in ranges.tolist()] == [open_pixtable(path).n_rows for path in reduced]
    first, second = (slice(low, high + 1) for low, high in ranges.tolist())
    np.testing.assert_allclose(rows["ypos"][second] - rows["ypos"][first], 2 / 3600, atol=1e-9)
    assert set(rows["weight"][first]) == {1.0}
    assert set(rows["weight"][second]) == {2.0}
    assert (table.header["CRVAL1"], table.header["CRVAL2"]) == (10.0, -20.0)
    assert get_key(table.header, f"{PREFIX}.COMBINED", int) == 2


def test_places_on_the_detector_are_kept(reduced: list[Path], tmp_path: Path) -> None:
    table = open_pixtable(combine(reduced, tmp_path, save="combined")["PIXTABLE_COMBINED"][0])
    origin, exposures = everything(table)["origin"], exposure_of(np.arange(table.n_rows), exposure_ranges(table.header))
    found = decode_origin(origin, read_offsets(table.header), exposures)
    single = open_pixtable(reduced[1])
    expected = decode_origin(everything(single)["origin"], read_offsets(single.header))
    np.testing.assert_array_equal(found.x[exposures == 2], expected.x)


def test_offsets_and_scales_are_taken_from_the_list(reduced: list[Path], tmp_path: Path) -> None:
    path = offset_list(tmp_path / "offsets.fits", 0.0, 2.0 / 3600, 1.5)
    table = open_pixtable(combine(reduced, tmp_path, {"OFFSET_LIST": path}, save="combined")["PIXTABLE_COMBINED"][0])
    rows = everything(table)
    first, second = (slice(low, high + 1) for low, high in exposure_ranges(table.header).tolist())
    np.testing.assert_allclose(rows["ypos"][second], rows["ypos"][first], atol=1e-9)
    plain = everything(open_pixtable(reduced[1]))
    np.testing.assert_allclose(rows["data"][second], plain["data"] * 1.5, rtol=1e-6)
    np.testing.assert_allclose(rows["stat"][second], plain["stat"] * 2.25, rtol=1e-6)
    assert get_key(table.header, "DRS.MUSE.OFFSET2.DDEC", float) == pytest.approx(2 / 3600)
    assert get_key(table.header, "DRS.MUSE.FLUX.SCALE2", float) == 1.5


def test_the_cube_of_two_is_that_of_their_table(reduced: list[Path], tmp_path: Path) -> None:
    made = combine(reduced, tmp_path, lambdamin=6000.0, lambdamax=6100.0, save="cube,combined")
    with fits.open(made["DATACUBE_FINAL"][0], checksum=True) as hdus, fits.open(made["IMAGE_FOV"][0]) as image:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "DATA", "STAT"]
        assert hdus[1].header["CTYPE1"] == "RA---TAN"
        assert hdus[0].header["ESO QC EXPCOMB NDET"] == 0
        assert image[1].shape == hdus[1].shape[1:]
        assert np.isfinite(hdus[1].data).any()
    extended = combine(reduced, tmp_path, lambdamin=6000.0, lambdamax=6100.0, format="xCube", filter="white,nothing")
    assert list(extended) == ["DATACUBE_FINAL"]
    with fits.open(extended["DATACUBE_FINAL"][0]) as hdus:
        assert [hdu.name.lower() for hdu in hdus][3:] == ["white"]


def test_slabs_that_others_fill_in_any_order_make_the_same_cube(
    reduced: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cube_work, "_PIXELS", 0)
    values: dict[str, Any] = {"lambdamin": 5950.0, "lambdamax": 6200.0}
    folders = [tmp_path / name for name in ("one", "many")]
    for folder in folders:
        folder.mkdir()
    alone = combine(reduced, folders[0], **values)
    recipe = get_recipe("muse_exp_combine")
    frames = FrameSet(tuple(Frame(path, "PIXTABLE_REDUCED") for path in reduced))
    run = prepare_run(recipe, frames, recipe.Params(**values), folders[1])
    assert [part.label for part in run.parts] == ["5950-6050 Angstrom", "6050-6150 Angstrom", "6150-6200 Angstrom"]
    outcomes = [run_part(pickle.loads(pickle.dumps(run)), part) for part in (*reversed(run.parts), run.parts[1])]
    result = finish_run(pickle.loads(pickle.dumps(run)), outcomes[:3])
    for product in result.products:
        with fits.open(product.path, checksum=True) as hdus, fits.open(folders[0] / product.path.name) as expected:
            for hdu, other in zip(hdus[1:], expected[1:], strict=True):
                np.testing.assert_array_equal(hdu.data, other.data)
    assert {product.tag for product in result.products} == set(alone)


def test_few_pixels_are_not_divided(reduced: list[Path]) -> None:
    recipe = get_recipe("muse_exp_combine")
    frames = FrameSet(tuple(Frame(path, "PIXTABLE_REDUCED") for path in reduced))
    assert len(recipe.list_parts(frames, recipe.Params())) == 1


def test_one_exposure_is_no_combination(reduced: list[Path], tmp_path: Path) -> None:
    copied = Path(shutil.copy(reduced[0], tmp_path / "copy.fits"))
    with pytest.raises(DataError, match="nothing to combine"):
        combine([reduced[0], copied], tmp_path)


@pytest.mark.parametrize("values", [{"save": "cube,all"}, {"pixfrac": "0.6,x"}, {"pixfrac": "0"}, {"lambdamax": 10.0}])
def test_what_makes_no_sense_is_refused(values: dict[str, Any]) -> None:
    recipe = get_recipe("muse_exp_combine")
    with pytest.raises(ParameterError):
        recipe.check_parameters(FrameSet(()), recipe.Params.parse(values))
