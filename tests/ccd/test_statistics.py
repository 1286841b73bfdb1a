"""Statistics of images: exact medians without sorting, moments, deviations and slopes."""

from __future__ import annotations

import numpy as np
import pytest

from core.ccd.statistics import (
    adev,
    image_median,
    image_median_and_adev,
    image_statistics,
    line_slope,
    slopes,
)
from core.errors import DataError


@pytest.mark.parametrize(
    ("values", "median", "deviation"),
    [
        ((1, 2, 3, 4, 5), 3, 1.2),
        ((-8, -2, 11, 1, 10, 4), 2.5, 34 / 6),
    ],
)
def test_adev_is_the_mean_deviation_about_the_median(values, median, deviation):
    assert adev(np.array(values, float)) == pytest.approx((median, deviation))
    image = np.array([values], np.float32)
    assert image_median_and_adev(image) == pytest.approx((median, deviation))


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (31, 17), (40, 50)])
@pytest.mark.parametrize("offset", [-1000.0, 0.0, 1e-30, 5e4])
def test_median_is_exact(shape, offset):
    rng = np.random.default_rng(7)
    data = (rng.normal(0, 3, shape) + offset).astype(np.float32)
    assert image_median(data) == float(np.median(data.astype(float)))


def test_median_of_signed_zeros_and_extremes():
    data = np.array([[0.0, -0.0, -3e38, 3e38, 1e-45]], np.float32)
    assert image_median(data) == 0.0
    assert image_median(data[:, 2:]) == float(np.float32(1e-45))


def test_flagged_pixels_are_left_out():
    rng = np.random.default_rng(1)
    data = rng.normal(100, 5, (30, 40)).astype(np.float32)
    dq = (rng.random(data.shape) < 0.3).astype(np.int32) * 256
    good = data[dq == 0].astype(float)
    found = image_statistics(data, dq)
    assert found.median == np.median(good)
    assert found.mean == pytest.approx(good.mean(), rel=1e-12)
    assert found.stdev == pytest.approx(good.std(ddof=1), rel=1e-12)
    assert (found.minimum, found.maximum, found.count) == (good.min(), good.max(), good.size)
    assert found.flux == pytest.approx(good.sum(), rel=1e-12)
    assert image_median_and_adev(data, dq)[1] == pytest.approx(np.abs(good - np.median(good)).mean(), rel=1e-12)


def test_statistics_of_a_window_need_no_copy():
    data = np.arange(600, dtype=np.float32).reshape(20, 30)
    window = data[3:11, 4:9]
    found = image_statistics(window)
    assert (found.median, found.mean, found.count) == (np.median(window), window.mean(dtype=float), 40)


def test_nothing_to_measure_is_an_error():
    data = np.ones((2, 2), np.float32)
    with pytest.raises(DataError):
        image_median(data, np.ones((2, 2), np.int32))
    with pytest.raises(DataError):
        adev(np.zeros(0))
    with pytest.raises(DataError):
        line_slope(np.zeros(1))
    with pytest.raises(DataError):
        image_median(data, np.zeros((1, 2), np.int32))


def test_slopes_of_a_tilted_plane():
    assert slopes(np.array([[1, 1.5, 2], [2, 2.5, 3]], np.float32)) == pytest.approx((0.5, 1.0))
    y, x = np.mgrid[:50, :70]
    assert slopes((1000 + 0.25 * x - 0.5 * y).astype(np.float32)) == pytest.approx((0.25, -0.5))
