"""Stars are found by a filter of their shape."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from core.errors import DataError
from core.onsky.daofind import StarFilter

STARS = [(20, 30, 1000, 2.1, 2.1), (50.3, 40.7, 500, 2.1, 2.1), (35.5, 15.25, 800, 2.5, 1.8)]
# x, y, height, sharpness, roundness by the reference pipeline, which counts pixels from 0.
FOUND = [
    (34.52336, 14.24975, 767.91279, 0.45908, -0.57529),
    (19.0, 29.0, 1010.31579, 0.45446, 0),
    (49.30440, 39.69560, 490.27425, 0.45271, 0),
]


def field(stars: Sequence[tuple[float, float, float, float, float]], shape: tuple[int, int] = (70, 80)) -> np.ndarray:
    y, x = np.mgrid[1 : shape[0] + 1, 1 : shape[1] + 1]
    image = np.full(shape, 10.0)
    for x0, y0, amplitude, sx, sy in stars:
        image += amplitude * np.exp(-((x - x0) ** 2) / 2 / sx**2 - (y - y0) ** 2 / 2 / sy**2)
    return image


def test_stars_are_those_of_the_reference() -> None:
    found = StarFilter(5.0).find(field(STARS), 5.0)
    rows = np.array([found.x - 1, found.y - 1, found.flux, found.sharpness, found.roundness]).T
    np.testing.assert_allclose(rows, FOUND, atol=2e-5, rtol=1e-6)


def test_what_is_too_long_is_no_star() -> None:
    assert len(StarFilter(5.0, roundness=(-0.5, 0.5)).find(field(STARS), 5.0)) == 2
    assert len(StarFilter(5.0, sharpness=(0.455, 1.0)).find(field(STARS), 5.0)) == 1


def test_faint_stars_are_below_the_threshold() -> None:
    assert StarFilter(5.0).find(field(STARS), 500.0).flux.min() > 700


def test_noise_moves_stars_little() -> None:
    image = field(STARS) + np.random.default_rng(2).normal(0, 5, (70, 80))
    found = StarFilter(5.0).find(image, 100.0)
    np.testing.assert_allclose(found.x, [35.5, 20, 50.3], atol=0.06)


def test_a_flat_image_has_no_stars() -> None:
    assert len(StarFilter(5.0).find(np.ones((40, 40)), 0.1)) == 0


def test_stars_at_the_edge_are_left_out() -> None:
    assert len(StarFilter(5.0).find(field([(2, 30, 1000, 2.1, 2.1)]), 5.0)) == 0


def test_small_images_are_refused() -> None:
    with pytest.raises(DataError, match="too small"):
        StarFilter(5.0).find(np.ones((5, 40)), 1.0)
