"""Widths of sources, and which are not relied upon."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from core.onsky.profiles import FWHM_OF_SIGMA
from core.onsky.widths import find_widths


def field(*stars: tuple[float, float, float, float, float]) -> npt.NDArray[np.float64]:
    """Gaussians (height, x, y, width along x and y) on a background, 60 x 40 pixels."""
    y, x = np.mgrid[1:41, 1:61]
    data = 10 + 0.01 * ((7 * x + 13 * y) % 11 - 5)
    for height, x0, y0, sx, sy in stars:
        data = data + height * np.exp(-(((x - x0) / sx) ** 2) / 2 - ((y - y0) / sy) ** 2 / 2)
    return data


def test_the_first_threshold_with_a_source_counts() -> None:
    sources, sigma = find_widths(field((0.3, 30, 20, 2, 2)), (50.0, 8.0, 5.0))
    assert (len(sources), sigma) == (1, 8.0)
    assert find_widths(field(), (50.0, 8.0)) == ([], 8.0)
    assert find_widths(np.full((9, 9), np.nan), (5.0,)) == ([], 5.0)


def test_both_widths_are_those_of_the_star() -> None:
    (source,), _ = find_widths(field((100, 30.25, 20.1, 2.5, 1.5)), (20.0,))
    assert source.fault == ""
    np.testing.assert_allclose(source.gaussian, np.array([2.5, 1.5]) * FWHM_OF_SIGMA, rtol=1e-3)
    np.testing.assert_allclose(source.direct, source.gaussian, rtol=0.05)


@pytest.mark.parametrize(
    ("star", "fault"),
    [((100.0, 30.0, 1.5, 2.0, 2.0), "too close to the edge"), ((100.0, 30.0, 20.0, 8.0, 1.2), "too elongated")],
)
def test_sources_that_are_not_relied_upon_are_told(star: tuple[float, ...], fault: str) -> None:
    (source,), _ = find_widths(field(star), (20.0,))  # type: ignore[arg-type]
    assert source.fault == fault
