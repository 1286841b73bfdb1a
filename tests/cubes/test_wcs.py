"""The grid of a cube."""

from __future__ import annotations

import numpy as np
import pytest

from core.cubes.projection import sky_to_plane
from core.cubes.wcs import LOG_SAMPLING, OutputWcs, Steps, WaveAxis, air_to_vacuum, output_grid
from core.errors import DataError

FIELD = {"x": (-150.25, 149.75), "y": (-140.0, 160.4), "wave": (4750.0, 4760.5)}
ARCSEC = 1 / 3600


def test_a_cube_in_pixels_starts_at_the_lowest_position() -> None:
    grid = output_grid(**FIELD, steps=Steps(1, 1))
    assert grid.shape == (10, 301, 301)  # 10.5 / 1.25 = 8.4 planes need one more, and the one at the start
    assert (grid.spatial.crval, grid.spatial.crpix) == ((-150.25, -140.0), (1.0, 1.0))
    assert grid.spectral == WaveAxis(4750.0, 1.0, 1.25)
    x, y = grid.spatial.centres(grid.nx, 0, grid.ny)
    assert (x[0, 0], x[0, -1], y[0, 0], y[-1, 0]) == (-150.25, 149.75, -140.0, 160.0)


def test_half_a_pixel_is_rounded_away_from_zero() -> None:
    assert output_grid((0.0, 2.5), (0.0, 3.5), (5000.0, 5000.0), Steps(1, 1)).shape == (1, 5, 4)


def test_a_cube_on_the_sky_has_north_up_and_its_lowest_pixel_is_1() -> None:
    centre = (150.0, -30.0)
    ra, dec = (149.99, 150.01), (-30.008, -29.992)
    grid = output_grid(ra, dec, (5000.0, 6000.0), Steps(0.2 * ARCSEC, 0.2 * ARCSEC), centre=centre)
    assert grid.spatial.cd == ((-0.2 * ARCSEC, 0.0), (0.0, 0.2 * ARCSEC))
    x, y = sky_to_plane(ra, dec, centre)
    pixels = np.array([-x, y]) / (0.2 * ARCSEC) + np.array(grid.spatial.crpix)[:, None]
    np.testing.assert_allclose(pixels.min(axis=1), 1, atol=1e-6)
    # The corners are 0.02 deg cos(30) = 62.354" and 57.6" apart.
    assert grid.shape == (801, 289, 313)


def test_a_field_across_right_ascension_zero_is_small() -> None:
    grid = output_grid((359.99, 0.01), (0.0, 0.01), (5000.0, 5001.0), Steps(ARCSEC, ARCSEC), centre=(0.0, 0.0))
    assert grid.shape == (2, 37, 73)


def test_a_logarithmic_axis_has_steps_that_grow() -> None:
    wanted = OutputWcs(wave=WaveAxis(6495.0, 1.0, LOG_SAMPLING, log=True))
    grid = output_grid((0.0, 1.0), (0.0, 1.0), (6495.0, 6505.0), Steps(1, 1), output=wanted)
    assert grid.nz == 14  # ceil(6495 / 0.78125 ln(6505 / 6495)) + 1
    wave = grid.spectral.wave(np.arange(14))
    assert wave[0] == 6495.0
    np.testing.assert_allclose(np.diff(np.log(wave)), 0.78125 / 6495, rtol=1e-9)
    assert grid.spectral.ctype == "AWAV-LOG"


def test_what_is_wanted_of_a_grid_stands_above_the_data() -> None:
    centre = (150.0, -30.0)
    sky = {"x": (149.99, 150.01), "y": (-30.01, -29.99), "wave": (5000.0, 6000.0), "centre": centre}
    steps = Steps(0.2 * ARCSEC, 0.2 * ARCSEC)
    turned = ((-1e-4, 1e-5), (1e-5, 1e-4))
    wanted = OutputWcs((10, 0, 20), (150.001, -30.001), (5.5, 6.5), turned, WaveAxis(5100.0, 1.0, 2.0))
    grid = output_grid(**sky, steps=steps, output=wanted)
    own = output_grid(**sky, steps=steps)
    assert grid.shape == (20, own.ny, 10)
    assert (grid.spatial.crval, grid.spatial.crpix, grid.spatial.cd) == ((150.001, -30.001), (5.5, 6.5), turned)
    assert grid.spatial.rotated
    assert grid.spectral == wanted.wave
    singular = OutputWcs(crval=(150.0, -30.0), cd=((1e-4, 1e-4), (1e-4, 1e-4)))
    grid = output_grid(**sky, steps=steps, output=singular)
    assert (grid.spatial.cd, grid.spatial.crpix) == (own.spatial.cd, (0.0, 0.0))


def test_wavelengths_in_vacuum() -> None:
    # H alpha, [O III], Ca II (Ciddor 1996 by way of the tables of vacuum and air wavelengths of the SDSS).
    air = np.array([6562.801, 5006.843, 8662.140])
    np.testing.assert_allclose(air_to_vacuum(air), [6564.614, 5008.240, 8664.520], atol=2e-3)
    assert air_to_vacuum(np.float32(5000)).dtype == np.float32
    found = air_to_vacuum(np.array([4000, 4650, 5500, 7000, 9300], np.float32))
    np.testing.assert_allclose(found, [4001.1311, 4651.3022, 5501.5283, 7001.9307, 9302.5518], rtol=0, atol=5e-4)


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("vacuum", [False, True])
def test_the_reach_of_planes_holds_all_their_wavelengths(log: bool, vacuum: bool) -> None:
    axis = WaveAxis(4750.0, 1.0, 1.25, log=log, vacuum=vacuum)
    low, high = axis.reach(3, 7, 2)
    edges = axis.wave([0.5, 8.5])
    found = air_to_vacuum(np.array([low, high])) if vacuum else np.array([low, high])
    assert found[0] < edges[0]
    assert found[1] > edges[1]
    np.testing.assert_allclose(found, edges, atol=0.02)


def test_no_numbers_make_no_grid() -> None:
    with pytest.raises(DataError, match="make no grid"):
        output_grid((0.0, float("nan")), (0.0, 1.0), (5000.0, 6000.0), Steps(1, 1))
    with pytest.raises(DataError, match="voxels is none"):
        output_grid((0.0, 1.0), (0.0, 1.0), (6000.0, 5000.0), Steps(1, 1))
