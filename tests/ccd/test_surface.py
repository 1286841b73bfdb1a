"""Smooth surfaces: polynomials through good pixels, smoothing with gaps, and the dark model built of them."""

from __future__ import annotations

import numpy as np
import pytest

from core.ccd.darkmodel import model_dark
from core.ccd.geometry import Detector
from core.ccd.surface import fit_surface, smooth
from core.errors import DataError


def grid(ny, nx):
    return np.mgrid[:ny, :nx].astype(float)


def test_polynomial_surface_is_recovered_through_gaps():
    y, x = grid(150, 90)
    truth = 3 + 0.02 * x - 0.01 * y + 1e-4 * x * y + 2e-6 * x**2 * y
    data = truth.astype(np.float32)
    good = np.ones(data.shape, bool)
    good[40:60, 20:50] = False
    data[40:60, 20:50] = 1e6
    fitted = fit_surface(data, good, (2, 1)).rows(0, 150)
    assert np.allclose(fitted, truth, rtol=1e-5)  # float32 pixels
    assert np.allclose(fit_surface(data, good, (2, 1)).rows(70, 80), truth[70:80], rtol=1e-5)


@pytest.mark.parametrize(("order", "limit"), [(0, 5.04), (1, 5.13), (2, 5.30), (3, 5.43)])
def test_fit_of_noise_stays_near_the_noise(order, limit):
    data = np.random.default_rng(order).uniform(-5, 5, (100, 100)).astype(np.float32)
    fitted = fit_surface(data, np.ones(data.shape, bool), (order, order)).rows(0, 100)
    assert np.abs(data - fitted).max() < limit


def test_too_few_pixels_for_a_surface():
    good = np.zeros((10, 10), bool)
    good[3, 3:6] = True
    with pytest.raises(DataError, match="3 good pixels"):
        fit_surface(np.ones((10, 10), np.float32), good, (1, 1))


def test_smoothing_is_a_weighted_mean_of_good_pixels():
    rng = np.random.default_rng(3)
    data = rng.normal(0, 1, (40, 50)).astype(np.float32)
    good = rng.random(data.shape) < 0.6
    good[:30, :25] = False
    half = 3
    sigma = half / 2.3548200450309493
    expected = np.zeros(data.shape)
    for y in range(40):
        for x in range(50):
            rows = slice(max(y - half, 0), y + half + 1)
            cols = slice(max(x - half, 0), x + half + 1)
            yy, xx = np.mgrid[rows, cols][:, : 40 - rows.start, : 50 - cols.start]
            weight = np.exp(-((yy - y) ** 2 + (xx - x) ** 2) / (2 * sigma**2)) * good[rows, cols]
            if weight.sum() > 0:
                expected[y, x] = (weight * data[rows, cols]).sum() / weight.sum()
    smoothed = smooth(data, good, half)
    assert np.allclose(smoothed, expected, atol=1e-6)
    assert smoothed[0, 0] == 0
    assert np.array_equal(smooth(data, good, half, 10, 20), smoothed[10:20])


def test_dark_model_is_plane_plus_corners_and_finds_odd_pixels():
    detector = Detector(nx=256, ny=257)
    ny, nx = detector.trimmed_shape
    y, x = grid(ny, nx)
    factor = ny / 4112
    radius = np.hypot(y, x) / factor  # lower left corner, in pixels of the full size
    plane = 2 + 2e-4 * x + 1e-4 * y
    glow = np.where(radius < 750, 3 * (1 - (radius / 750) ** 2) ** 2, 0)
    rng = np.random.default_rng(9)
    noise = 0.1
    data = (plane + glow + rng.normal(0, noise, (ny, nx))).astype(np.float32)
    data[300, 200] += 5
    data[310, 210] -= 2
    dq = np.zeros(data.shape, np.int32)
    dq[5, 5] = 8192
    stat = np.full(data.shape, noise**2, np.float32)
    before = data.copy(), dq.copy(), stat.copy()
    model, flags, variance = model_dark(data, dq, stat, detector)
    for array, copy in zip((data, dq, stat), before, strict=True):
        assert np.array_equal(array, copy)
    # The stripes take what the slope of the plane leaves in their rows (clipped at 0): half of the noise at most.
    deviation = np.abs(model - plane - glow)
    assert deviation.mean() < noise / 2
    assert deviation.max() < 3 * noise
    # The polynomial follows the glow of 3 count.
    assert np.corrcoef(model[:90, :90].ravel(), (plane + glow)[:90, :90].ravel())[0, 1] > 0.99
    assert flags[300, 200] & 256
    assert flags[310, 210] & 8192
    assert flags[5, 5] & 8192
    # 5 mean deviations are 4 sigma of normal noise: 6e-5 of the pixels, three neighbours rarely deviate together
    assert np.count_nonzero(flags) < 0.002 * flags.size
    assert np.all(variance >= stat)
    assert np.median(variance - stat) < noise**2 / 50  # mean of about 200 pixels, squared


def test_dark_of_another_size_is_refused():
    with pytest.raises(DataError, match="shape"):
        model_dark(
            np.zeros((4, 4), np.float32),
            np.zeros((4, 4), np.int32),
            np.zeros((4, 4), np.float32),
            Detector(nx=8, ny=8),
        )
