"""Stars of a field are found and measured."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from core.errors import DataError
from core.onsky.fieldstars import Centroid, GaplessImage, find_stars
from core.onsky.profiles import Profile

STARS = [(20.3, 15.8, 9000.0), (55.1, 40.25, 4000.0), (30.0, 50.6, 2500.0)]  # x, y, flux
NOISE = 1.0


def picture(stars: list[tuple[float, float, float]], width: float = 3.4) -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[1:71, 1:81]
    image = np.random.default_rng(3).normal(50, NOISE, x.shape)
    for x0, y0, flux in stars:
        image += Profile(0.0, flux, x0, y0, width, width).at("moffat", x, y)
    return image.astype(np.float32), np.full(x.shape, NOISE**2, np.float32)


def found(stars: list[tuple[float, float, float]], centroid: Centroid, **values: Any) -> Any:
    return find_stars(GaplessImage.of(*picture(stars, **values)), 4.0, centroid)


@pytest.mark.parametrize(("centroid", "within"), [("moffat", 0.02), ("gaussian", 0.02), ("box", 0.2)])
def test_stars_are_where_they_are_the_brightest_first(centroid: Centroid, within: float) -> None:
    stars = found(STARS, centroid)
    assert len(stars) == 3
    for star, (x, y, _) in zip(stars, STARS, strict=True):
        assert (star.x, star.y) == pytest.approx((x, y), abs=within)


def test_flux_and_width_are_those_of_the_profile() -> None:
    for star, (_, _, flux) in zip(found(STARS, "moffat"), STARS, strict=True):
        assert star.flux == pytest.approx(flux, rel=0.05)
        assert star.x_fwhm == pytest.approx(Profile(0, 1, 0, 0, 3.4, 3.4).fwhm("moffat")[0], rel=0.05)


def test_errors_are_those_of_the_pixels() -> None:
    bright, _, faint = found(STARS, "moffat")
    assert 0 < bright.x_error < faint.x_error < 0.05
    assert {(star.x_error, star.y_error) for star in found(STARS, "box")} == {(0.15, 0.15)}


def test_a_neighbour_does_not_push_a_star_away() -> None:
    bright, *_ = found([(40.2, 30.4, 9000.0), (49.0, 30.0, 1500.0)], "moffat")
    assert (bright.x, bright.y) == pytest.approx((40.2, 30.4), abs=0.1)


def test_a_bright_pixel_is_no_star() -> None:
    data, stat = picture(STARS[:1])
    data[40:43, 60:63] += 20
    data[41, 61] = 1e4
    (star,) = find_stars(GaplessImage.of(data, stat), 4.0, "moffat")
    assert star.x == pytest.approx(20.3, abs=0.02)


def test_pixels_without_a_value_are_as_faint_and_uncertain_as_any() -> None:
    data, stat = picture(STARS)
    stat[0, 0] = 25
    data[5:8, 5:8] = np.nan
    image = GaplessImage.of(data, stat)
    assert image.data[6, 6] == np.nanmin(data)
    assert image.errors[6, 6] == 5
    assert len(find_stars(image, 4.0, "moffat")) == 3


def test_an_image_without_pixels_is_told() -> None:
    with pytest.raises(DataError, match="no good pixel"):
        GaplessImage.of(np.full((5, 5), np.nan), np.ones((5, 5)))
