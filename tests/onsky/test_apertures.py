"""Sources are found and measured."""

from __future__ import annotations

import numpy as np
import pytest

from core.onsky.apertures import find_apertures, first_apertures, measure_fwhm


def stars(*places: tuple[float, float, float, float], shape: tuple[int, int] = (60, 70)) -> np.ndarray:
    """Gaussians of x, y (from 1), amplitude, sigma."""
    y, x = np.mgrid[1 : shape[0] + 1, 1 : shape[1] + 1]
    image = np.random.default_rng(1).normal(0, 1, shape)
    for x0, y0, amplitude, sigma in places:
        image += amplitude * np.exp(-((x - x0) ** 2 + (y - y0) ** 2) / 2 / sigma**2)
    return image.astype(np.float32)


def test_the_position_is_weighted_by_brightness() -> None:
    image = np.zeros((40, 40), np.float32)
    image[10:15, 10:15] = 100
    image[10, 10] = 1000
    (found,) = find_apertures(image, 3)
    assert (found.x, found.y) == pytest.approx((12.4706, 12.4706), abs=5e-5)
    assert (found.flux, found.n_pixels) == (3400, 25)


def test_sources_are_numbered_from_the_bottom() -> None:
    found = find_apertures(stars((50, 45, 500, 2), (20, 10, 300, 2)), 10)
    assert [(round(source.x), round(source.y)) for source in found] == [(20, 10), (50, 45)]


def test_small_groups_are_no_sources() -> None:
    image = np.zeros((40, 40), np.float32)
    image[10, 9:12] = image[9:12, 10] = 100  # a plus sign
    image[20:23, 20:23] = image[23:26, 23:26] = 100  # two squares that meet at a corner
    assert [source.n_pixels for source in find_apertures(image, 3)] == [9, 9]


def test_pixels_without_a_value_belong_to_none() -> None:
    image = stars((20, 10, 300, 2), (50, 45, 500, 2))
    image[5:15, 15:25] = np.nan
    assert [round(source.x) for source in find_apertures(image, 10)] == [50]
    assert find_apertures(np.full((9, 9), np.nan), 3) == []


def test_the_first_threshold_with_sources_is_taken() -> None:
    found, sigma = first_apertures(stars((30, 30, 20, 2)), (50, 30, 10, 5))
    assert (len(found), sigma) == (1, 10)
    assert first_apertures(np.zeros((9, 9)), (5, 4, 3)) == ([], 3)


@pytest.mark.parametrize("sigma", [1.5, 2.0, 3.0])
def test_widths_of_stars(sigma: float) -> None:
    image = stars((30, 30, 1e5, sigma))
    # The background is taken from the foot of the star.
    assert measure_fwhm(image, 29, 29) == pytest.approx((2.3548 * sigma,) * 2, rel=0.04)


@pytest.mark.parametrize(("x", "pixel"), [(30.5, 29), (30.5, 30), (30.45, 29), (30.55, 30)])
def test_a_star_between_pixels_is_as_wide(x: float, pixel: int) -> None:
    image = stars((x, 30, 1e5, 1.5))
    assert measure_fwhm(image, pixel, 29) == pytest.approx((2.3548 * 1.5,) * 2, rel=0.1)


def test_a_flat_line_has_no_width() -> None:
    assert measure_fwhm(np.ones((9, 9)), 4, 4) == (-1, -1)
