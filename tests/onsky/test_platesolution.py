"""Plates are solved."""

from __future__ import annotations

import numpy as np
import pytest

from core.cubes.projection import plane_to_sky
from core.errors import DataError
from core.onsky.platesolution import solve_plate

CD = np.array(((-5.51812632497e-05, -5.57886124193e-07), (2.67511546844e-07, 5.52566392427e-05)))
CENTRE = (156.3, -46.4)
TANGENT = (160.0, 155.0)
ROTATION = (-0.01, -1.2)


def plate(n: int = 60, noise: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(2)
    pixels = rng.uniform(1, 310, (n, 2))
    ra, dec = plane_to_sky(*(CD @ (pixels - TANGENT).T), CENTRE)
    return pixels, np.stack((ra + CENTRE[0], dec), axis=1) + rng.normal(0, noise, (n, 2))


def test_the_reference_pixel_stays_and_its_place_is_found() -> None:
    found = solve_plate(*plate(), ROTATION, CENTRE)
    assert found.crpix == ROTATION
    # Numbers of the reference pipeline on such a plate, with stars at other pixels.
    assert found.crval == pytest.approx((156.312932118355, -46.4086740857949), abs=3e-6)
    assert max(found.scatter) < 1e-7


def test_the_matrix_is_recovered_about_the_point_of_touch() -> None:
    found = solve_plate(*plate(), TANGENT, (156.31, -46.39))
    np.testing.assert_allclose(found.cd, CD, atol=1e-15)
    assert found.crval == pytest.approx(CENTRE, abs=1e-11)


def test_places_are_those_of_the_stars_also_at_the_seam() -> None:
    pixels, sky = plate()
    sky[:, 0] = (sky[:, 0] - CENTRE[0]) % 360
    found = solve_plate(pixels, sky, TANGENT, (359.999, -46.4))
    ra, dec = found.sky(*pixels.T)
    np.testing.assert_allclose((ra - sky[:, 0] + 180) % 360, 180, atol=1e-11)
    np.testing.assert_allclose(dec, sky[:, 1], atol=1e-11)


def test_scatter_is_that_of_the_noise() -> None:
    found = solve_plate(*plate(2000, 1e-5), TANGENT, CENTRE, passes=1)
    east = 1e-5 * np.cos(np.radians(CENTRE[1]))
    np.testing.assert_allclose(found.scatter, (east, 1e-5), rtol=0.06)


def test_stars_that_are_off_are_clipped_unless_there_is_one_pass() -> None:
    pixels, sky = plate(noise=1e-7)
    pixels[::15] += 3.0
    once, often = (solve_plate(pixels, sky, TANGENT, CENTRE, passes=passes) for passes in (1, 5))
    assert once.used.all()
    assert not often.used[::15].any()
    assert often.used.sum() > 45
    np.testing.assert_allclose(often.cd, CD, atol=2e-9)


@pytest.mark.parametrize("pixels", [np.ones((2, 2)), np.array([(1.0, 1), (2, 2), (3, 3), (4, 4)])])
def test_stars_must_span_a_plane(pixels: np.ndarray) -> None:
    with pytest.raises(DataError, match="too few"):
        solve_plate(pixels, pixels * 1e-5, TANGENT, (0.0, 0.0))
