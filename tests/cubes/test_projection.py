"""The tangential plane, and the astrometry of an exposure."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.cubes.projection import (
    cd_angles,
    cd_scales,
    exposure_cd,
    native_angles,
    plane_to_sky,
    position_native,
    ra_difference,
    sky_to_plane,
    sky_to_plane_by_angles,
    tangent_plane,
    tangent_plane_near,
)

# Calabretta & Greisen 2002, the example of their section 7.3.1: plane coordinates, native angles, right ascension,
# declination [deg].
CENTRE = (45.83, 63.57)
PLANE = np.array([[0.765, 0.765, -0.765], [-0.765, 0.765, 0.765]])
NATIVE = np.array([[45.0, 135.0, 225.0], [88.918255] * 3])
SKY = np.array([[47.503264, 47.595581, 44.064419], [62.795111, 64.324332, 64.324332]])


def test_the_example_of_the_paper_is_met() -> None:
    ra_offset, dec = plane_to_sky(*PLANE, CENTRE)
    np.testing.assert_allclose([ra_offset + CENTRE[0], dec], SKY, atol=5e-7)
    np.testing.assert_allclose(sky_to_plane(ra_offset + CENTRE[0], dec, CENTRE), PLANE, rtol=1e-12)


def test_native_angles_lead_to_the_same_places() -> None:
    phi, theta = native_angles(*PLANE)
    np.testing.assert_allclose([np.degrees(phi), np.degrees(theta) + 90], NATIVE, atol=2e-5)
    xpos, ypos = position_native(phi, theta, CENTRE[1])
    # float32 has 1e-7 of the angles, which are up to 2 degrees here.
    np.testing.assert_allclose([xpos + CENTRE[0], ypos + CENTRE[1]], SKY, atol=1e-6)


@pytest.mark.parametrize("dec", [-85.0, -30.0, 9.8])
def test_parallels_are_curved(dec: float) -> None:
    x = np.linspace(-0.008, 0.008, 9)
    ra_offset, found = plane_to_sky(x, 0.0003 + 0 * x, (10.0, dec))
    xpos, ypos = position_native(*native_angles(x, 0.0003 + 0 * x), dec)
    np.testing.assert_allclose(xpos, ra_offset, rtol=3e-7, atol=1e-9)
    np.testing.assert_allclose(ypos, found - dec, rtol=0, atol=2e-9)


@settings(deadline=None)  # the first call compiles
@given(
    ra=st.floats(0, 359.99),
    dec=st.floats(-89, 89),
    x=st.floats(-0.5, 0.5),
    y=st.floats(-0.5, 0.5),
)
def test_the_plane_and_back(ra: float, dec: float, x: float, y: float) -> None:
    offset, found = plane_to_sky(x, y, (ra, dec))
    there = sky_to_plane((offset + ra) % 360, found, (ra, dec))
    # A field across right ascension 0 is none of its own; rounding of 360 deg is 6e-14.
    np.testing.assert_allclose(there, (x, y), atol=1e-12)
    rough = sky_to_plane_by_angles((offset + ra) % 360, found, (ra, dec))
    np.testing.assert_allclose(rough, (x, y), atol=1e-12 / max(math.hypot(x, y), 5e-7))


def test_the_other_half_of_the_sky_is_not_on_the_plane() -> None:
    assert np.isnan(sky_to_plane(225.0, -80.0, CENTRE)).all()


@pytest.mark.parametrize("dec0", [-89.0, -27.5, 0.0, 63.57])
def test_near_the_reference_point_few_terms_are_enough(dec0: float) -> None:
    sine, cosine = math.sin(math.radians(dec0)), math.cos(math.radians(dec0))
    for ra, dec in [(0.0, 0.0), (0.59, 0.59), (-0.59, 0.59), (1e-4, -0.59), (0.3, -2e-5)]:
        np.testing.assert_allclose(
            tangent_plane_near(ra, dec, sine, cosine), tangent_plane(ra, dec0 + dec, sine, cosine), rtol=0, atol=2e-14
        )


def test_right_ascensions_differ_by_the_short_way() -> None:
    assert ra_difference(359.75, 0.25) == -0.5
    assert ra_difference(0.25, 359.75) == 0.5


SCALE = 0.2 / 3600


def right_handed(angle: float) -> tuple[tuple[float, float], tuple[float, float]]:
    cosine, sine = SCALE * math.cos(math.radians(angle)), SCALE * math.sin(math.radians(angle))
    return (cosine, sine), (-sine, cosine)


def turned(x_angle: float, y_angle: float) -> tuple[tuple[float, float], tuple[float, float]]:
    x, y = math.radians(x_angle), math.radians(y_angle)
    return (-SCALE * math.cos(x), -SCALE * math.sin(x)), (SCALE * math.sin(y), SCALE * math.cos(y))


@pytest.mark.parametrize(
    ("calibration", "posang", "scales", "angles"),
    [
        (((-SCALE, 0.0), (0.0, SCALE)), 0, (0.2, 0.2), (0, 0)),
        (
            ((-5.51812632497e-5, -5.57886124193e-7), (2.67511546844e-7, 5.52566392427e-5)),
            60,
            (0.19758783554941, 0.20003805495273),
            (-60.09596472, -59.60576088),
        ),
        (((-SCALE, 0.0), (0.0, SCALE)), -30, (0.2, 0.2), (30, 30)),
        (right_handed(5), -35, (0.2, 0.2), (-40, -40)),
        (turned(-3, -2), -10, (0.19789511778678, 0.20359239586930), (7.10199686, 11.83086045)),
    ],
)
def test_the_calibration_turns_with_the_field(calibration, posang, scales, angles) -> None:
    found = exposure_cd(calibration, -posang)  # the angle counts the other way where the rotator follows the sky
    np.testing.assert_allclose(np.array(cd_scales(found)) * 3600, scales, rtol=1e-13)
    np.testing.assert_allclose(cd_angles(found), angles, atol=1e-8)


def test_scales_and_angles_of_a_calibration() -> None:
    cd = ((-6.2938038673665e-5, -2.9348490966691e-5), (-1.7609094580015e-5, 3.77628232041998e-5))
    np.testing.assert_allclose(np.array(cd_scales(cd)) * 3600, (0.25, 0.15), rtol=1e-7)
    np.testing.assert_allclose(cd_angles(cd), (25, 25), atol=1e-5)
