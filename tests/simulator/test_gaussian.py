"""Tables of the normal distribution are as good as the functions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtr

from core.simulator.gaussian import below, covered, ramp, slit_fraction

PLACES = np.linspace(-9.0, 9.0, 1009)


def _ramp(u: np.ndarray, sigma: float) -> np.ndarray:
    z = u / sigma
    return u * ndtr(z) + sigma * np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)


def test_distribution_function() -> None:
    np.testing.assert_allclose([below(z) for z in PLACES], ndtr(PLACES), rtol=0, atol=2e-10)


@pytest.mark.parametrize("sigma", [0.4, 0.68, 3.0])
def test_its_integral(sigma: float) -> None:
    np.testing.assert_allclose([ramp(u, sigma) for u in PLACES], _ramp(PLACES, sigma), rtol=0, atol=2e-10 * sigma)


def test_part_of_a_slit() -> None:
    half, sigma = 1.305, 0.5
    expected = (_ramp(PLACES + half, sigma) - _ramp(PLACES - half, sigma)) / (2 * half)
    np.testing.assert_allclose([slit_fraction(u, half, sigma) for u in PLACES], expected, rtol=0, atol=1e-9)


def test_pixels_cover_the_width_of_a_slice() -> None:
    left, right = 9.83, 86.12
    total = sum(covered(float(x), left, right, 0.68) for x in range(1, 110))
    assert total == pytest.approx(right - left, abs=1e-9)
    assert covered(50.0, left, right, 0.68) == pytest.approx(1.0, abs=1e-9)
    assert covered(left, left, right, 0.68) == pytest.approx(0.5, abs=1e-9)
