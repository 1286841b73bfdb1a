"""Pinholes are found on the average image and measured in single exposures."""

from __future__ import annotations

import numpy as np
import pytest

from core.ccd.trace_model import Trace
from core.errors import DataError
from core.spatial.spots import SpotPlaces, find_spots, measure_spots
from core.spectral.dispersion import Dispersion

FWHM = 2.3548200450309493
SHAPE = (120, 100)
HOLES = ((24.3, 60.2), (50.1, 60.4), (75.8, 60.6))  # (x, y), FITS pixels
SIGMA = (0.9, 1.1, 0.3)  # in x, in y, and their correlation


def spot_image(flux: float = 20000.0, noise: float = 0.0, level: float = 3.0) -> np.ndarray:
    rng = np.random.default_rng(1)
    yy, xx = np.mgrid[1.0 : SHAPE[0] + 1, 1.0 : SHAPE[1] + 1]
    image = np.full(SHAPE, level) + rng.normal(0.0, noise, SHAPE)
    sx, sy, rho = SIGMA
    for x, y in HOLES:
        u, v = (xx - x) / sx, (yy - y) / sy
        shape = np.exp(-0.5 * (u**2 - 2 * rho * u * v + v**2) / (1 - rho**2))
        image += flux * shape / (2 * np.pi * sx * sy * np.sqrt(1 - rho**2))
    return image.astype(np.float32)


def trace() -> Trace:
    left, right = np.array([[12.0, 0.0]]), np.array([[89.0, 0.0]])
    return Trace.from_polynomials([1], 0.5 * (left + right), left, right)


def dispersion() -> Dispersion:
    coefficients = np.zeros((1, 1, 2))
    coefficients[0, 0] = 5000.0, 1.25
    return Dispersion(np.array([1], np.int32), coefficients, np.zeros(1))


LINE = np.array([5000.0 + 1.25 * 60.4])


def places() -> SpotPlaces:
    x, y = np.array(HOLES).T
    return SpotPlaces(np.ones(3, np.int32), np.repeat(LINE, 3), np.arange(1, 4, dtype=np.int32), x + 0.4, y - 0.3)


def test_three_spots_are_found_from_left_to_right():
    found = find_spots(spot_image(noise=2.0), trace(), dispersion(), LINE, sigma=2.2)
    assert found.number.tolist() == [1, 2, 3]
    assert np.allclose(np.stack((found.x, found.y), 1), HOLES, atol=0.15)  # where to measure, no measurement yet


@pytest.mark.parametrize("line", [4999.0, 5000.0 + 1.25 * 5, 5000.0 + 1.25 * 117, 5200.0])
def test_a_line_that_the_slice_does_not_hold_wholly_is_left_out(line):
    image = spot_image()
    lines = np.array([LINE[0], line])
    assert len(find_spots(image, trace(), dispersion(), lines, sigma=2.2)) == 3


def test_two_or_four_spots_are_no_row_of_pinholes():
    image = spot_image()
    image[55:66, 70:82] = 3.0
    with pytest.raises(DataError, match="three pinholes"):
        find_spots(image, trace(), dispersion(), LINE, sigma=2.2)


def test_a_gaussian_is_measured_as_it_is():
    measured = measure_spots(spot_image(), np.zeros(SHAPE, bool), places())
    assert np.allclose(measured[:, :2], HOLES, atol=1e-4)
    assert np.allclose(measured[:, 2:4], [FWHM * SIGMA[0], FWHM * SIGMA[1]], rtol=1e-4)
    assert measured[:, 4] == pytest.approx(20000.0, rel=1e-4)
    assert measured[:, 5] == pytest.approx(3.0, abs=1e-3)


def test_noise_moves_a_spot_by_what_photons_allow():
    # 0.9 pix / sqrt(20000 / gain) with a read noise of 3 count in some 20 pixels: 0.01 pix is generous
    measured = measure_spots(spot_image(noise=3.0), np.zeros(SHAPE, bool), places())
    assert np.allclose(measured[:, :2], HOLES, atol=0.01)


def test_barycentres_need_no_fit():
    measured = measure_spots(spot_image(), np.zeros(SHAPE, bool), places(), gaussian=False)
    assert np.allclose(measured[:, :2], HOLES, atol=1e-3)
    assert np.allclose(measured[:, 2:4], [FWHM * SIGMA[0], FWHM * SIGMA[1]], rtol=0.15)  # of a pixelated peak


def test_a_flagged_pixel_does_not_count():
    image, bad = spot_image(), np.zeros(SHAPE, bool)
    image[59, 50], bad[59, 50] = 60000.0, True
    measured = measure_spots(image, bad, places())
    assert np.allclose(measured[:, :2], HOLES, atol=1e-4)


def test_without_light_a_spot_stays_where_it_was_found():
    measured = measure_spots(spot_image(flux=0.0, noise=3.0), np.zeros(SHAPE, bool), places())
    assert np.array_equal(measured[:, 0], places().x)
    assert not measured[:, 2:4].any()
    assert (measured[:, 4] >= 0).all()


def test_a_spot_at_the_edge_of_the_detector_is_measured_from_what_is_there():
    image = np.zeros((40, 40), np.float32)
    yy, xx = np.mgrid[1.0:41.0, 1.0:41.0]
    image += (1000.0 * np.exp(-0.5 * ((xx - 3.2) ** 2 + (yy - 20.0) ** 2))).astype(np.float32)
    place = SpotPlaces(np.ones(1, np.int32), LINE, np.ones(1, np.int32), np.array([3.0]), np.array([20.0]))
    measured = measure_spots(image, np.zeros(image.shape, bool), place)
    assert measured[0, :2] == pytest.approx((3.2, 20.0), abs=1e-3)
