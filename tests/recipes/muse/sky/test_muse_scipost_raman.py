"""The light of the guide-star lasers is taken out of an exposure, by muse_scipost_raman and by muse_scipost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from core.errors import MissingInputError, ParameterError
from core.fitsfile.header import Header
from core.fitsfile.keywords import get_key, set_key
from core.formats.pixtable_origin import PREFIX, encode_origin, set_offset
from core.formats.pixtable_read import PixelTable, open_pixtable
from core.formats.sky_lines import read_sky_lines
from core.onsky.raman import RamanFit
from core.onsky.skylines import LineLight
from core.recipes.engine import run_recipe
from core.recipes.frames import Frame, FrameSet
from core.recipes.muse.sky_model import load_profiles
from core.recipes.registry import get_recipe
from core.recipes.results import RecipeFailedError
from core.staticcal.night_sky import RAMAN_FLUX, write_raman_lines
from tests.recipes.muse.sky.night import IFU, LOG, write_fluxes, write_lsf

SHAPE = np.array([-5e-4, 3e-4, 4e-4, 8e-3, -6e-3])
FACTOR = 0.5
NX, SLICES, NY = 40, 24, 420


def write_exposure(path: Path, folder: Path, mode: str = "WFM-AO-N", first: float = 6400.0) -> Path:
    """A field with a star, a sloping sky and the light of the lasers, around the origin of positions."""
    rng = np.random.default_rng(3)
    header = Header()
    for key, value in {
        "INSTRUME": "MUSE", "RA": 150.0, "DEC": -30.0, "DATE-OBS": "2026-11-01T01:00:00.000", "MJD-OBS": 61345.0,
        "EXPTIME": 600.0, "EXTNAME": f"CHAN{IFU:02d}", "INS.MODE": mode, "INS.DROT.POSANG": 0.0,
        "INS.DROT.MODE": "SKY", f"{PREFIX}.TYPE": "GEOFULL", f"{PREFIX}.DAR.CORRECT": 7000.0,
    }.items():  # fmt: skip
        set_key(header, key, value)
    profiles = load_profiles([Frame(write_lsf(folder / "lsf.fits"), "")], LOG)
    light = LineLight.of(read_sky_lines(write_raman_lines(folder / "raman.fits")), profiles[IFU, 1])
    y, x = (axis.ravel() for axis in np.mgrid[1 : NY + 1, 1 : NX + 1])
    parts = []
    for number in range(1, SLICES + 1):
        set_offset(header, 0, IFU, number, 0)
        wave = (first + 1.25 * (y - 1) + rng.uniform(0, 1.25, NX + 1)[x]).astype(np.float32)
        xpos, ypos = (x - NX / 2).astype(np.float32), np.full(x.size, number - SLICES / 2, np.float32)
        star = 900 * np.exp(-((xpos - 8) ** 2 + (ypos + 4) ** 2) / 6)
        glow = FACTOR * light.at(wave) * RamanFit(SHAPE, {}).at(xpos, ypos)
        columns: dict[str, np.ndarray] = {"xpos": xpos, "ypos": ypos, "lambda": wave}
        columns["data"] = (50 + star + glow + rng.normal(0, 3, x.size)).astype(np.float32)
        columns |= {"dq": np.zeros(x.size, np.int32), "stat": np.full(x.size, 9, np.float32)}
        parts.append(columns | {"origin": encode_origin(x, y, IFU, number, 0)})
    return write_fluxes(path, header, parts)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("raman")
    table = write_exposure(folder / "table.fits", folder)
    return {"PIXTABLE_OBJECT": table, "RAMAN_LINES": folder / "raman.fits", "LSF_PROFILE": folder / "lsf.fits"}


def run(name: str, inputs: dict[str, Path], folder: Path, **values: Any) -> dict[str, Path]:
    recipe = get_recipe(name)
    folder.mkdir(exist_ok=True)
    frames = FrameSet(tuple(Frame(path, tag) for tag, path in inputs.items()))
    result = run_recipe(recipe, frames, recipe.Params.parse(values), folder)
    return {product.tag: product.path for product in result.products}


def rows(table: PixelTable) -> dict[str, np.ndarray]:
    return table.read(0, table.n_rows)


def test_nothing_of_the_lasers_is_left(inputs: dict[str, Path], tmp_path: Path) -> None:
    found = rows(open_pixtable(run("muse_scipost_raman", inputs, tmp_path)["PIXTABLE_REDUCED"]))
    assert found["data"].size == NX * NY * SLICES - len(range(0, NX * NY * SLICES, 97))
    plain = np.hypot(found["xpos"] - 8, found["ypos"] + 4) > 12
    for centre in (6484.39, 6826.85):
        near = plain & (np.abs(found["lambda"] - centre) < 3)
        assert found["data"][near].mean() == pytest.approx(50, abs=0.3)
        assert found["data"][near].std() == pytest.approx(3, rel=0.05)


def test_the_images_show_the_light(inputs: dict[str, Path], tmp_path: Path) -> None:
    path = run("muse_scipost_raman", inputs, tmp_path)["RAMAN_IMAGES"]
    with fits.open(path) as hdus:
        assert [hdu.name for hdu in hdus][1:] == [
            "DATA", "RAMAN_IMAGE_O2", "SKY_MASK_O2", "RAMAN_IMAGE_N2", "SKY_MASK_N2", "RAMAN_FIT_O2", "RAMAN_FIT_N2",
        ]  # fmt: skip
        header, shape = hdus[0].header, hdus["DATA"].data
        expected = dict(zip(("XX", "XY", "YY", "X", "Y"), SHAPE.tolist(), strict=True))
        for name, value in expected.items():
            assert header[f"ESO QC SCIPOST RAMAN SPATIAL {name}"] == pytest.approx(value, rel=0.2), name
        for name, flux in zip(("O2", "N2"), RAMAN_FLUX, strict=True):
            assert header[f"ESO QC SCIPOST RAMAN FLUX {name}"] == pytest.approx(FACTOR * flux, rel=0.01)
            flux_image = hdus[f"RAMAN_FIT_{name}"].data
            np.testing.assert_allclose(flux_image, shape * FACTOR * flux * 1e20, rtol=0.01)
            mask = hdus[f"SKY_MASK_{name}"].data
            assert mask[SLICES // 2 - 5, NX // 2 + 7] == 0 < mask.sum()
    assert shape[SLICES // 2 - 1, NX // 2 - 1] == pytest.approx(1, abs=0.01)


def test_a_mask_says_where_there_is_sky(inputs: dict[str, Path], tmp_path: Path) -> None:
    first = run("muse_scipost_raman", inputs, tmp_path / "first")["RAMAN_IMAGES"]
    path = tmp_path / "mask.fits"
    with fits.open(first) as hdus:
        mask = np.ones_like(hdus["SKY_MASK_O2"].data)
        mask[:, : NX // 2] = 0
        fits.PrimaryHDU(mask, hdus["SKY_MASK_O2"].header).writeto(path)
    masked = run("muse_scipost_raman", {**inputs, "SKY_MASK": path}, tmp_path / "masked")["RAMAN_IMAGES"]
    one, other = (fits.getheader(file)["ESO QC SCIPOST RAMAN SPATIAL XX"] for file in (first, masked))
    assert one != other == pytest.approx(SHAPE[0], rel=0.6)


def test_a_table_without_the_bands_stays_as_it_is(inputs: dict[str, Path], tmp_path: Path) -> None:
    made = run("muse_scipost_raman", inputs, tmp_path, lambdamax=6470)
    assert set(made) == {"PIXTABLE_REDUCED"}
    found = rows(open_pixtable(made["PIXTABLE_REDUCED"]))
    before = rows(open_pixtable(inputs["PIXTABLE_OBJECT"]))
    kept = (before["lambda"] <= 6470) & (before["dq"] == 0)
    np.testing.assert_array_equal(found["data"], before["data"][kept])


def test_one_band_is_enough(inputs: dict[str, Path], tmp_path: Path) -> None:
    header = fits.getheader(run("muse_scipost_raman", inputs, tmp_path, lambdamin=6600)["RAMAN_IMAGES"])
    assert header["ESO QC SCIPOST RAMAN FLUX N2"] == pytest.approx(FACTOR * RAMAN_FLUX[1], rel=0.02)
    assert "ESO QC SCIPOST RAMAN FLUX O2" not in header


@pytest.mark.parametrize(("recipe", "name"), [("muse_scipost_raman", "width"), ("muse_scipost", "raman_width")])
def test_a_band_narrower_than_a_slit_is_refused(
    inputs: dict[str, Path], tmp_path: Path, recipe: str, name: str
) -> None:
    with pytest.raises(ParameterError, match=f"{name}=2.5 is not accepted: a band is at least 2.61 Angstrom wide"):
        run(recipe, inputs, tmp_path, **{name: 2.5})


def test_a_list_without_the_group_of_a_band_is_refused(inputs: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "one.fits"
    with fits.open(inputs["RAMAN_LINES"]) as hdus:
        hdus["LINES"].data["group"][:] = 0
        hdus.writeto(path)
    with pytest.raises(RecipeFailedError, match="no line of N2, group 1"):
        run("muse_scipost_raman", {**inputs, "RAMAN_LINES": path}, tmp_path)


def scipost(inputs: dict[str, Path], folder: Path, **values: Any) -> dict[str, Path]:
    options = {"skymethod": "none", "save": "raman,individual", "rvcorr": "none", "skymodel_fraction": 0.75}
    return run("muse_scipost", inputs, folder, **(options | values))


def test_scipost_takes_it_out_before_the_sky(inputs: dict[str, Path], tmp_path: Path) -> None:
    made = scipost(inputs, tmp_path / "with", astrometry=False)
    assert set(made) == {"RAMAN_IMAGES", "PIXTABLE_REDUCED"}
    found, before = (rows(open_pixtable(path)) for path in (made["PIXTABLE_REDUCED"], inputs["PIXTABLE_OBJECT"]))
    alone = rows(open_pixtable(run("muse_scipost_raman", inputs, tmp_path / "alone")["PIXTABLE_REDUCED"]))
    np.testing.assert_array_equal(found["data"][before["dq"] == 0], alone["data"])


def test_scipost_leaves_exposures_without_adaptive_optics(inputs: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "noao").mkdir()
    table = write_exposure(tmp_path / "noao.fits", tmp_path / "noao", "WFM-NOAO-N")
    made = scipost({**inputs, "PIXTABLE_OBJECT": table}, tmp_path / "out")
    assert set(made) == {"PIXTABLE_REDUCED"}
    found = open_pixtable(made["PIXTABLE_REDUCED"])
    assert get_key(found.header, "INS.MODE", str) == "WFM-NOAO-N"
    np.testing.assert_array_equal(rows(found)["data"], rows(open_pixtable(table))["data"])


def test_scipost_needs_a_line_spread_function_for_them(inputs: dict[str, Path], tmp_path: Path) -> None:
    frames = {tag: path for tag, path in inputs.items() if tag != "LSF_PROFILE"}
    with pytest.raises((MissingInputError, RecipeFailedError), match="RAMAN_LINES need an LSF_PROFILE"):
        scipost(frames, tmp_path)
