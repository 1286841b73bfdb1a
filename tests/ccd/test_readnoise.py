"""The read-out noise of raw biases, slab by slab."""

from __future__ import annotations

import numpy as np
import pytest

from core.ccd.geometry import Detector
from core.ccd.readnoise import ReadNoiseSampler, variance_of_bias
from core.errors import DataError


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
