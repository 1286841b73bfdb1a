"""Random windows, read-out noise, bad columns and hot pixels."""

from __future__ import annotations

import ctypes
import sys

import numpy as np
import pytest

from core.ccd.badcolumns import flag_bad_columns
from core.ccd.geometry import Detector
from core.ccd.hotpixels import flag_hot_pixels, measure_dark_current
from core.ccd.readnoise import ReadNoiseSampler, variance_of_bias
from core.ccd.windows import random_integers, random_windows
from core.errors import DataError


@pytest.mark.skipif(sys.platform != "linux", reason="compares with the C library of Linux")
@pytest.mark.parametrize("seed", [1, 101, 401, 2**31 - 2])
def test_random_sequence_is_that_of_the_c_library(seed):
    libc = ctypes.CDLL("libc.so.6")
    libc.srand(seed)
    assert random_integers(seed, 500).tolist() == [libc.rand() for _ in range(500)]


def test_windows_lie_inside_and_apart():
    corners = random_windows(1, 320, 401, 800, 100, 1)
    assert corners.shape == (100, 2)
    assert corners[:, 0].min() >= 0
    assert corners[:, 0].max() + 19 <= 320
    assert corners[:, 1].min() >= 400
    assert corners[:, 1].max() + 19 <= 800
    distance = np.hypot(*(corners[:, None] - corners[None, :]).transpose(2, 0, 1)) + 1e9 * np.eye(100)
    # squared distance at least W H / (sqrt(2) 102), less the rounding of the corners
    assert distance.min() > np.sqrt(299 * 379 / (np.sqrt(2) * 102)) - 1.5
    with pytest.raises(DataError):
        random_windows(1, 19, 1, 100, 10, 1)


def test_read_noise_of_uniform_noise():
    detector = Detector(nx=160, ny=150, gain=(0.5, 1.0, 1.5, 2.0))
    rng = np.random.default_rng(4)
    n = 4
    raw = (1000 + rng.integers(-5, 6, (n, *detector.raw_shape))).astype(np.uint16)
    sampler = ReadNoiseSampler(detector, n)
    for y0 in range(0, 300, 50):
        start = detector.raw_row(y0)
        slab = np.ascontiguousarray(raw[:, start : start + 50])
        sampler.add_rows(slab, np.full((n, 2, 50), 1000.0), y0, y0 >= 150)
    sigma = np.sqrt((11**2 - 1) / 12)  # of 11 equally likely integers
    for port, gain in enumerate(detector.gain, start=1):
        noise = sampler.noise(port, [gain] * (n - 1))
        # 100 windows of 361 pixels in 3 pairs: 0.2 % for the median, 3 % allowed
        assert noise.ron == pytest.approx(gain * sigma, rel=0.03)
        assert 0 < noise.error < 0.1 * noise.ron
        assert variance_of_bias(noise, gain) == pytest.approx(sigma**2, rel=0.06)
    with pytest.raises(DataError):
        ReadNoiseSampler(detector, 1)


def test_read_noise_does_not_depend_on_the_slabs():
    detector = Detector(nx=100, ny=100)
    raw = (1000 + np.random.default_rng(4).integers(-9, 9, (2, *detector.raw_shape))).astype(np.uint16)
    results = []
    for height in (100, 7):
        sampler = ReadNoiseSampler(detector, 2)
        for half in (0, 100):
            for y0 in range(half, half + 100, height):
                h = min(height, half + 100 - y0)
                start = detector.raw_row(y0)
                slab = np.ascontiguousarray(raw[:, start : start + h])
                sampler.add_rows(slab, np.zeros((2, 2, h)), y0, half > 0)
        results.append([sampler.noise(port, [1.0]).ron for port in range(1, 5)])
    assert results[0] == pytest.approx(results[1], rel=1e-12)


# -- bad columns -------------------------------------------------------------------------------------------------------
def bias_port(seed=2):
    return np.random.default_rng(seed).normal(0, 1.4, (500, 200)).astype(np.float32)


def test_bright_piece_of_a_column_is_flagged_from_end_to_end():
    data = bias_port()
    data[:, 50] = 0
    data[100:301, 50] = 300
    dq = np.zeros(data.shape, np.int32)
    assert flag_bad_columns(data, dq, 3.0, 30.0, 3.0) == 201
    assert np.all(dq[100:301, 50] == 8192)
    assert np.count_nonzero(dq) == 201


def test_dark_column_needs_losigma_and_quiet_bright_column_is_none():
    data = bias_port()
    data[:, 20] -= 5
    data[:, 30] += 5  # bright, but its scatter stays below the noise
    dq = np.zeros(data.shape, np.int32)
    flagged = flag_bad_columns(data, dq, 3.0, 30.0, 3.0)
    assert set(np.flatnonzero(dq.any(axis=0))) == {20}
    # Noise of 1.4 about -5, limit near -1.5: all but a few rows at the ends lie beyond it.
    assert 480 <= flagged <= 500
    assert flag_bad_columns(data, np.zeros_like(dq), 3.0, 300.0, 3.0) == 0


def test_flags_are_added_and_counted_again():
    data = bias_port()
    data[:, 50] = -400
    dq = np.full(data.shape, 256, np.int32)
    assert flag_bad_columns(data, dq, 3.0, 30.0, 3.0) == 500
    assert np.all(dq[:, 50] == 256 | 8192)


# -- hot pixels --------------------------------------------------------------------------------------------------------
def test_hot_pixels_are_flagged_and_low_ones_only_if_flagged_before():
    rng = np.random.default_rng(6)
    data = rng.uniform(9, 11, (100, 100)).astype(np.float32)
    data[3, 4] = 40
    data[5, 6] = -20  # the lowest good pixel is the limit
    data[7, 8] = -90
    dq = np.zeros(data.shape, np.int32)
    dq[7, 8] = 1
    assert flag_hot_pixels(data, dq, 5.0) == (1, 1)
    assert (dq[3, 4], dq[5, 6], dq[7, 8]) == (256, 0, 8193)
    dq[:] = 0
    assert flag_hot_pixels(data, dq, 5.0, 5.0) == (2, 1)
    assert (dq[5, 6], dq[7, 8]) == (8192, 8192)
    assert flag_hot_pixels(data, dq, 0.0) == (0, 0)


def test_dark_current_is_per_hour_and_ignores_flagged_pixels():
    data = np.full((300, 400), 2.0, np.float32)
    dq = np.zeros(data.shape, np.int32)
    data[:, 100:110] = 5000
    dq[:, 100:110] = 256
    result = measure_dark_current(data, dq, 900.0)
    assert (result.current, result.error) == pytest.approx((8.0, 0.0))
    with pytest.raises(DataError, match="0 s"):
        measure_dark_current(data, dq, 0.0)
    with pytest.raises(DataError, match="no good pixels"):
        measure_dark_current(data, np.ones_like(dq), 900.0)
