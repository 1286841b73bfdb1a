"""muse_exp_align finds how far exposures are off each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from core.errors import MissingInputError, ParameterError
from core.recipes.engine import run_recipe
from core.recipes.frames import Frame, FrameSet
from core.recipes.registry import get_recipe
from core.recipes.results import RecipeFailedError

RA, DEC = 150.0, -30.0
SHRINK = np.cos(np.radians(DEC))
OFFSETS = [(0.0, 0.0), (1.3, -0.7), (-2.1, 0.4)]  # [arcsec]
POINTINGS = [(0.0, 0.0), (3.0, -2.0), (-4.0, 1.0)]


def write_images(folder: Path, n_stars: int = 15, far: float = 0.0) -> list[Path]:
    """Images of one field, 100 pix wide, whose headers are off; the last one may be of another field [deg]."""
    rng = np.random.default_rng(5)
    stars = rng.uniform(-9, 9, (n_stars, 2))
    heights = 10 ** rng.uniform(2.2, 3.5, n_stars)
    paths = []
    for number, ((off_x, off_y), (x0, y0)) in enumerate(zip(OFFSETS, POINTINGS, strict=True), start=1):
        y, x = np.mgrid[1:121, 1:121]
        image = 10 + rng.normal(0, 1, x.shape)
        for (east, north), height in zip(stars, heights, strict=True):
            px, py = 60.3 - (east - x0) / 0.2, 60.7 + (north - y0) / 0.2
            image += height * np.exp(-((x - px) ** 2 + (y - py) ** 2) / 2 / 2.0**2)
        image[:5] = np.nan
        primary, hdu = fits.PrimaryHDU(), fits.ImageHDU(image.astype(np.float32), name="DATA")
        ra = RA + (x0 / SHRINK + off_x) / 3600 + far * (number == len(OFFSETS))
        dec = DEC + (y0 + off_y) / 3600
        for key, value in {
            "INSTRUME": "MUSE", "DATE-OBS": f"2026-11-01T0{number}:00:00.000", "MJD-OBS": 61345.0 + number,
            "EXPTIME": 100.0, "RA": ra, "DEC": dec,
        }.items():  # fmt: skip
            primary.header[key] = value
        for key, value in {
            "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRPIX1": 60.3, "CRPIX2": 60.7, "CRVAL1": ra, "CRVAL2": dec,
            "CD1_1": -0.2 / 3600, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": 0.2 / 3600,
        }.items():  # fmt: skip
            hdu.header[key] = value
        paths.append(folder / f"IMAGE_FOV_{number:04d}.fits")
        fits.HDUList([primary, hdu]).writeto(paths[-1])
    return paths


def align(images: list[Path], folder: Path, lists: tuple[Path, ...] = (), **values: Any) -> dict[str, list[Path]]:
    recipe = get_recipe("muse_exp_align")
    frames = [Frame(path, "IMAGE_FOV") for path in images] + [Frame(path, "SOURCE_LIST") for path in lists]
    result = run_recipe(recipe, FrameSet(tuple(frames)), recipe.Params(**values), folder)
    found: dict[str, list[Path]] = {}
    for product in result.products:
        found.setdefault(product.tag, []).append(product.path)
    return found


def offsets_of(path: Path) -> np.ndarray:
    table = fits.getdata(path, 1)
    return np.array([table["RA_OFFSET"], table["DEC_OFFSET"]]).T * 3600


def test_offsets_are_found(tmp_path: Path) -> None:
    made = align(write_images(tmp_path), tmp_path, expmap=True)
    (path,) = made["OFFSET_LIST"]
    np.testing.assert_allclose(offsets_of(path), OFFSETS, atol=0.005)
    with fits.open(path) as hdus:
        assert hdus[1].data["DATE_OBS"].tolist() == [f"2026-11-01T0{n}:00:00.000" for n in (1, 2, 3)]
        assert np.isnan(hdus[1].data["FLUX_SCALE"]).all()
        assert hdus[0].header["ESO QC EXPALIGN NOMATCH"] == 0
        assert hdus[0].header["ESO QC EXPALIGN OFFSET RA MAX"] == pytest.approx(1.3, abs=0.005)
    assert len(made["SOURCE_LIST"]) == 3


def test_sources_lie_where_the_image_says_and_where_they_are(tmp_path: Path) -> None:
    images = write_images(tmp_path)
    lists = align(images, tmp_path)["SOURCE_LIST"]
    corrected = []
    for image, path in zip(images, lists, strict=True):
        table = fits.getdata(path, 1)
        sky = WCS(fits.getheader(image, 1)).all_pix2world(table["X"], table["Y"], 1)
        np.testing.assert_allclose(sky, [table["RA"], table["DEC"]], atol=1e-9)
        corrected.append(np.array([table["RA_CORR"], table["DEC_CORR"]]).T)
    for star in corrected[1]:
        assert np.abs(corrected[0] - star).max(axis=1).min() * 3600 < 0.05


def test_the_preview_has_each_star_once(tmp_path: Path) -> None:
    made = align(write_images(tmp_path), tmp_path, expmap=True)
    with fits.open(made["PREVIEW_FOV"][0]) as hdus, fits.open(made["EXPOSURE_MAP"][0]) as times:
        assert set(np.unique(times[1].data[np.isfinite(times[1].data)])) == {100, 200, 300}
        star = max(fits.getdata(made["SOURCE_LIST"][0], 1), key=lambda row: row["Flux"])
        x, y = WCS(hdus[1].header).all_world2pix(star["RA"], star["DEC"], 0)
        around = hdus[1].data[int(y) - 3 : int(y) + 5, int(x) - 3 : int(x) + 5]
    rows, columns = np.indices(around.shape)
    light = np.clip(around - 0.2 * np.nanmax(around), 0, None)
    middle = (columns * light).sum() / light.sum() + int(x) - 3, (rows * light).sum() / light.sum() + int(y) - 3
    np.testing.assert_allclose(middle, (x, y), atol=0.4)
    assert np.nanmax(around) > 2.5 * star["Flux"]


def test_another_field_gets_no_offset(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made = align(write_images(tmp_path, far=0.8), tmp_path)
    np.testing.assert_allclose(offsets_of(made["OFFSET_LIST"][0])[2], 0, atol=1e-9)
    assert "image 3 has no sources in common" in caplog.text
    assert "image 3 is 0.80 deg away" in caplog.text


def test_sources_may_be_given(tmp_path: Path) -> None:
    images = write_images(tmp_path)
    lists = align(images, tmp_path)["SOURCE_LIST"]
    kept = [path.rename(tmp_path / f"mine-{path.name}") for path in lists]
    made = align(images, tmp_path, tuple(kept), override_detection=True)
    np.testing.assert_allclose(offsets_of(made["OFFSET_LIST"][0]), OFFSETS, atol=0.005)
    assert fits.getheader(made["SOURCE_LIST"][0])["ESO QC EXPALIGN SRC POSITIONS"] == "catalog"
    with pytest.raises(MissingInputError, match="3 images and 1 lists"):
        align(images, tmp_path, tuple(kept[:1]), override_detection=True)


def test_too_many_sources_raise_the_threshold(tmp_path: Path) -> None:
    made = align(write_images(tmp_path), tmp_path, srcmax=8)
    header = fits.getheader(made["SOURCE_LIST"][0])
    assert header["ESO QC EXPALIGN NDET"] <= 8
    assert header["ESO QC EXPALIGN THRESHOLD"] > 15


@pytest.mark.parametrize(
    "values", [{"rsearch": "30,x"}, {"rsearch": "0"}, {"srcmin": 9, "srcmax": 5}, {"sharpmin": 2.0}]
)
def test_what_makes_no_sense_is_refused(tmp_path: Path, values: dict[str, Any]) -> None:
    recipe = get_recipe("muse_exp_align")
    with pytest.raises(ParameterError):
        recipe.check_parameters(FrameSet(()), recipe.Params.parse(values))


def test_an_image_without_sky_is_told(tmp_path: Path) -> None:
    images = write_images(tmp_path)
    with fits.open(images[1], mode="update") as hdus:
        hdus[1].data[:] = np.nan
    with pytest.raises(RecipeFailedError, match="IMAGE_FOV_0002"):
        align(images, tmp_path)
