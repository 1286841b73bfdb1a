"""muse_astrometry finds how pixels lie on the sky."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from core.cubes.projection import plane_to_sky
from core.errors import ParameterError
from core.fitsfile.scan import scan_fits
from core.formats.pixtable_read import open_pixtable
from core.recipes.engine import run_recipe
from core.recipes.frames import Frame, FrameSet
from core.recipes.muse.steps.astrometry import Astrometry, position, project
from core.recipes.registry import get_recipe
from core.recipes.results import RecipeFailedError
from tests.recipes.muse.sky.starfield import DEC, RA, StarField, star_field

LOG = logging.getLogger(__name__)
HALF = 60


@pytest.fixture(scope="module")
def field() -> StarField:
    return star_field(HALF, 60, apart=2.6)


@pytest.fixture(scope="module")
def inputs(field: StarField, tmp_path_factory: pytest.TempPathFactory) -> list[Frame]:
    folder = tmp_path_factory.mktemp("astrometry")
    return [
        Frame(field.write(folder / "table.fits"), "PIXTABLE_ASTROMETRY"),
        Frame(field.write_catalogue(folder / "reference.fits"), "ASTROMETRY_REFERENCE"),
    ]


def solve(inputs: list[Frame], folder: Path, **values: Any) -> dict[str, Path]:
    recipe = get_recipe("muse_astrometry")
    folder.mkdir(exist_ok=True)
    result = run_recipe(recipe, FrameSet(tuple(inputs)), recipe.Params(**values), folder)
    return {product.path.name: product.path for product in result.products}


@pytest.fixture(scope="module")
def made(inputs: list[Frame], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return solve(inputs, tmp_path_factory.mktemp("made"))


def true_places(field: StarField, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Right ascension and declination of positions of the table at the reference wavelength, refraction undone."""
    view = field.view
    east, north = view.offsets(x, y)
    lifted = float(view.lifted(np.array(7000.0)))
    ra, dec = plane_to_sky(
        (east - view.zenith[0] * lifted) / 3600, (north - view.zenith[1] * lifted) / 3600, (view.ra, view.dec)
    )
    return np.stack((ra + view.ra, dec), axis=1)


def arcsec(places: np.ndarray, others: np.ndarray) -> np.ndarray:
    return np.asarray((places - others) * (3600 * np.cos(np.radians(DEC)), 3600))


def test_pixels_get_their_true_places(made: dict[str, Path], inputs: list[Frame], field: StarField) -> None:
    """Through the steps of muse_scipost: but for the error of the pointing, which no solution tells, all is right."""
    table = open_pixtable(inputs[0].path)
    calibration = Astrometry.of(scan_fits(made["ASTROMETRY_WCS_0001.fits"]).primary)
    placed = position(project(table, calibration, LOG)).read(0, (2 * HALF + 1) ** 2, ("xpos", "ypos"))
    rows = table.read(0, (2 * HALF + 1) ** 2, ("xpos", "ypos"))
    found = np.stack((placed["xpos"].astype(float) + RA, placed["ypos"].astype(float) + DEC), axis=1)
    off = arcsec(found, true_places(field, rows["xpos"].astype(float), rows["ypos"].astype(float)))
    assert np.abs(off - off.mean(axis=0)).max() < 0.02
    np.testing.assert_allclose(off.mean(axis=0), -np.array(field.pointing.error), atol=0.5)  # and of the axis


def test_the_solution_is_that_of_the_plate(made: dict[str, Path], field: StarField) -> None:
    header = fits.getheader(made["ASTROMETRY_WCS_0001.fits"])
    cd = np.array([[header[f"CD{k}_{n}"] for n in (1, 2)] for k in (1, 2)]) * 3600
    np.testing.assert_allclose(cd @ [HALF, HALF], field.view.plate @ [HALF, HALF], atol=0.02)
    assert (header["CRPIX1"], header["CRPIX2"]) == (-0.01, -1.2)
    assert header["CTYPE1"] == "RA---TAN"
    assert header["OBJECT"] == "Astrometric calibration (field)"
    assert header["ESO QC ASTRO SCALE X"] == pytest.approx(0.199, abs=1e-3)
    assert header["ESO QC ASTRO ANGLE X"] == pytest.approx(0.64, abs=0.05)
    assert header["ESO QC ASTRO MEDRES X"] < 0.01
    assert "ESO QC ASTRO NDET" not in header


def test_stars_are_identified(made: dict[str, Path], field: StarField) -> None:
    path = made["ASTROMETRY_WCS_0001.fits"]
    stars = fits.getdata(path, "ASTROMETRY_SOURCES")
    known = np.isfinite(stars["RA"])
    assert known.sum() == fits.getheader(path)["ESO QC ASTRO NSTARS"] > 8
    assert {star.ra for star in field.stars} >= set(stars["RA"][known].tolist())
    assert np.all(np.diff(stars["FLUX"]) <= 0)


def test_the_image_of_the_stars_has_the_solution(made: dict[str, Path]) -> None:
    stars = fits.getdata(made["ASTROMETRY_WCS_0001.fits"], 1)
    with fits.open(made["DATACUBE_ASTROMETRY_0001.fits"]) as hdus:
        names = [hdu.header["EXTNAME"] for hdu in hdus[1:]]
        assert names == ["DATA", "STAT", "white", "ASTROMETRY_DETECTION", "ASTROMETRY_DETECTION_STAT"]
        assert hdus[1].header["CD3_3"] == 50
        assert hdus[0].header["ESO QC ASTRO NDET"] > 5
        assert hdus[0].header["ESO QC ASTRO LAMBDA"] == 7000
        np.testing.assert_array_equal(hdus[4].data, np.median(hdus[1].data[3:6], axis=0))
        ra, dec = WCS(hdus[4].header, key="S").all_pix2world(stars["XPOS"], stars["YPOS"], 1)
    off = arcsec(np.stack((ra, dec), axis=1), np.stack((stars["RA"], stars["DEC"]), axis=1))
    assert np.nanmedian(np.abs(off)) < 0.01


@pytest.mark.parametrize(
    "values", [{"faccuracy": 5.0, "radius": 5.0}, {"centroid": "gaussian"}, {"centroid": "box", "detsigma": 3.0}]
)
def test_other_ways_lead_to_the_same(
    values: dict[str, Any], inputs: list[Frame], made: dict[str, Path], tmp_path: Path
) -> None:
    ours, other = (
        fits.getheader(paths["ASTROMETRY_WCS_0001.fits"]) for paths in (made, solve(inputs, tmp_path, **values))
    )
    for key in ("CD1_1", "CD1_2", "CD2_1", "CD2_2"):
        assert other[key] * 3600 * HALF == pytest.approx(ours[key] * 3600 * HALF, abs=0.02)
    assert ("ESO DRS MUSE WCS ACCURACY" in other) == ("faccuracy" in values)


def test_the_best_level_of_detection_is_looked_for(inputs: list[Frame], tmp_path: Path) -> None:
    made = {
        sigma: fits.getheader(solve(inputs, tmp_path / str(sigma), detsigma=sigma)["ASTROMETRY_WCS_0001.fits"])
        for sigma in (-1.3, 1.0, 1.1, 1.2, 1.3)
    }
    best = made.pop(-1.3)
    least = [min(header[f"ESO QC ASTRO MEDRES {axis}"] for header in made.values()) for axis in "XY"]
    score = {
        sigma: header["ESO QC ASTRO NSTARS"]
        * np.prod([low / header[f"ESO QC ASTRO MEDRES {axis}"] for low, axis in zip(least, "XY", strict=True)])
        for sigma, header in made.items()
    }
    assert best["ESO DRS MUSE WCS DETSIGMA"] == max(score, key=lambda sigma: score[sigma])


def test_each_exposure_has_its_solution(inputs: list[Frame], field: StarField, tmp_path: Path) -> None:
    second = Frame(field.write(tmp_path / "second.fits", 2), "PIXTABLE_ASTROMETRY")
    made = solve([*inputs, second], tmp_path)
    tags = ("ASTROMETRY_WCS", "DATACUBE_ASTROMETRY")
    assert sorted(made) == [f"{tag}_000{number}.fits" for tag in tags for number in (1, 2)]
    for number in (1, 2):
        assert fits.getheader(made[f"ASTROMETRY_WCS_000{number}.fits"])["DATE-OBS"].startswith(f"2026-02-01T0{number}")


def test_stars_of_another_field_are_told_and_nothing_is_left(inputs: list[Frame], tmp_path: Path) -> None:
    with fits.open(inputs[1].path) as hdus:
        hdus[1].data["RA"] = RA + np.random.default_rng(1).uniform(-9, 9, len(hdus[1].data)) / 3600
        hdus.writeto(tmp_path / "other.fits")
    frames = [inputs[0], Frame(tmp_path / "other.fits", "ASTROMETRY_REFERENCE")]
    with pytest.raises(RecipeFailedError, match="not found again"):
        solve(frames, tmp_path / "out")
    assert not list((tmp_path / "out").glob("*.fits"))


@pytest.mark.parametrize("text", ["1", "a,b", "1,2,3", "nan,1"])
def test_the_centre_of_rotation_is_two_numbers(text: str) -> None:
    with pytest.raises(ParameterError, match="rotcenter"):
        get_recipe("muse_astrometry").Params.parse({"rotcenter": text})
