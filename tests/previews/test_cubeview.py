"""Views of cubes: means of boxes and bins, in one read; where they lie on the sky and in wavelength."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from hypothesis import given
from hypothesis import strategies as st

from core.errors import BadFitsError, ParameterError
from core.formats.cube import open_cube
from core.previews.cubeview import BUDGET, CubeView, ViewMaker, _Binning, open_cube_view

SHAPE = (2600, 7, 9)  # of the cube: three planes are one bin
WCS_CARDS = {
    "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CUNIT1": "deg", "CUNIT2": "deg", "CRVAL1": 0.001, "CRVAL2": -30.0,
    "CRPIX1": 4.5, "CRPIX2": 3.0, "CD1_1": -5.6e-5, "CD1_2": 1e-6, "CD2_1": 1e-6, "CD2_2": 5.6e-5,
    "CTYPE3": "AWAV", "CUNIT3": "Angstrom", "CRVAL3": 4750.0, "CRPIX3": 1.0, "CD3_3": 1.25,
}  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[CubeView, np.ndarray]:
    """A view of a small cube with a budget so small that two by two spaxels are a box; and the cube."""
    data = np.random.default_rng(1).normal(5, 1, SHAPE).astype(np.float32)
    data[:, 0, 0] = data[:, 0, 1] = data[:, 1, 0] = data[:, 1, 1] = np.nan  # a box without values
    data[300:303, 2:4, 2:4] = np.nan  # and a bin of another
    data[7, 6, 8] = 1000.0
    folder, wcs = tmp_path_factory.mktemp("view"), fits.Header({**WCS_CARDS, "BUNIT": "count"})
    parts = [fits.ImageHDU(array, wcs, name) for name, array in (("DATA", data), ("STAT", np.ones_like(data)))]
    fits.HDUList([fits.PrimaryHDU(), *parts]).writeto(folder / "CUBE.fits")
    maker = ViewMaker(open_cube(folder / "CUBE.fits"), budget=40_000).run()
    return open_cube_view(maker.write(folder / "CUBE-view.fits")), data


def test_a_spectrum_is_the_mean_of_its_box_in_bins_of_planes(made: tuple[CubeView, np.ndarray]) -> None:
    view, data = made
    assert (view.width, view.height, view.box, view.planes, view.unit) == (9, 7, 2, 3, "count")
    padded = np.full((2601, 8, 10), np.nan)
    padded[:2600, :7, :9] = data
    with pytest.warns(RuntimeWarning, match="empty slice"):
        expected = np.nanmean(padded.reshape(867, 3, 4, 2, 5, 2), axis=(1, 3, 5))
    for x, y in ((1, 1), (2, 3), (4, 4), (9, 7), (8, 5)):
        found = view.spectrum(x, y)
        want = expected[:, (y - 1) // 2, (x - 1) // 2]
        step = (np.nanmax(want) - np.nanmin(want)) / 65534 if np.isfinite(want).any() else 0.0
        np.testing.assert_allclose(found.values, want, atol=0.51 * step + 2e-5)
    assert view.spectrum(9, 7).x == (9, 9)  # boxes at the edge are smaller
    assert view.spectrum(3, 6).y == (5, 6)


def test_bins_lie_in_the_middle_of_their_planes(made: tuple[CubeView, np.ndarray]) -> None:
    wave = made[0].wave
    np.testing.assert_allclose(wave[:2], [4751.25, 4755.0])
    assert wave[-1] == 4750 + 1.25 * 2598.5  # of two planes
    assert not made[0].vacuum


def test_white_light_is_the_mean_of_all_planes_in_full_size(made: tuple[CubeView, np.ndarray]) -> None:
    view, data = made
    with fits.open(view.path) as hdus:
        assert hdus["WHITE"].header["BUNIT"] == "count"
        assert hdus[0].header["CUBE"] == "CUBE.fits"
        white = hdus["WHITE"].data
    assert np.isnan(white[:2, :2]).all()
    np.testing.assert_allclose(white[2:], np.nanmean(data[:, 2:].astype(np.float64), axis=0), rtol=1e-6)


def test_spaxels_lie_on_the_sky_where_the_cube_says(made: tuple[CubeView, np.ndarray]) -> None:
    wcs = WCS(fits.Header({name: value for name, value in WCS_CARDS.items() if "3" not in name}), naxis=2)
    for x, y in ((1, 1), (9, 2), (4.5, 3)):
        np.testing.assert_allclose(made[0].sky(x, y), wcs.all_pix2world(x, y, 1), atol=1e-9)


@given(nz=st.integers(1, 4000), ny=st.integers(1, 1500), nx=st.integers(1, 1500))
def test_a_view_never_exceeds_its_budget(nz: int, ny: int, nx: int) -> None:
    bins, height, width = _Binning.of((nz, ny, nx)).binned
    assert bins <= 1250
    assert height * width * (2 * bins + 8) <= BUDGET


def test_a_field_of_muse_is_seen_in_the_width_of_a_star() -> None:
    field = _Binning.of((3681, 301, 304))
    assert (field.box, field.planes) == (4, 3)


def test_what_is_no_spaxel_or_no_view_is_refused(made: tuple[CubeView, np.ndarray], tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"9 x 7 spaxels has none at \(10, 1\)"):
        made[0].spectrum(10, 1)
    fits.PrimaryHDU(np.zeros((3, 3))).writeto(tmp_path / "image.fits")
    with pytest.raises(BadFitsError, match="no view of a cube"):
        open_cube_view(tmp_path / "image.fits")
    cut = tmp_path / "cut.fits"
    cut.write_bytes(made[0].path.read_bytes()[:-20_000])
    with pytest.raises(BadFitsError, match="cut"):
        open_cube_view(cut).spectrum(9, 7)
