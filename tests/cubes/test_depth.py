"""How deep a cube is."""

from __future__ import annotations

import numpy as np
import pytest

from core.cubes.depth import VarianceMode, limiting_magnitude
from core.errors import DataError

RNG = np.random.default_rng(3)
WAVES = (4750.0, 9350.0)


def test_the_most_frequent_variance_is_that_of_the_sky() -> None:
    stat = np.concatenate([RNG.normal(3.0, 0.1, 20000), RNG.uniform(0, 25, 5000), [np.nan, -1.0]]).astype(np.float32)
    mode = VarianceMode(stat)
    for part in np.array_split(stat, 3):
        mode.add(part)
    assert mode.value == pytest.approx(3.0, abs=0.1)
    assert mode.value / 0.04 % 1 == pytest.approx(0.5)  # the centre of a bin


def test_variances_of_shallow_cubes_are_counted_too() -> None:
    stat = RNG.normal(4000.0, 50.0, 20000).astype(np.float32)
    mode = VarianceMode(stat)
    mode.add(stat)
    assert mode.value == pytest.approx(4000.0, rel=0.02)
    assert np.isnan(VarianceMode(stat).value)


def test_the_limit_is_that_of_white_noise() -> None:
    sigma, fwhm = 0.5, 4.0
    image = RNG.normal(2.0, sigma, (120, 120)).astype(np.float32)
    image[40:44, 40:44] += 500  # a source does not matter
    image[:5] = np.nan
    smoothed = sigma / np.sqrt(4 * np.pi) / (fwhm / 2.3548)  # of white noise folded with a Gaussian
    zero = -2.5 * np.log10(3.34e4 * WAVES[0] * WAVES[1] / 3631) + 50
    expected = zero - 2.5 * np.log10(5 * smoothed * 4 * np.pi * (fwhm / 2.3548) ** 2)
    # Half of a Gaussian about its median: the reference's factor is a little off, 0.1 mag.
    assert limiting_magnitude(image, fwhm, WAVES) == pytest.approx(expected, abs=0.25)
    deeper = limiting_magnitude(image / 10, fwhm, WAVES) - limiting_magnitude(image, fwhm, WAVES)
    assert deeper == pytest.approx(2.5, abs=0.02)


@pytest.mark.parametrize("image", [np.full((20, 20), np.nan), np.ones((20, 20))])
def test_an_image_without_scatter_has_no_limit(image: np.ndarray) -> None:
    with pytest.raises(DataError):
        limiting_magnitude(image.astype(np.float32), 4.0, WAVES)
