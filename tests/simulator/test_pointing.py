"""Angles of the simulated telescope are those that the headers of real exposures have."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest

from core.simulator.atmosphere import Ambient
from core.simulator.geometry import make_geometry
from core.simulator.pointing import Pointing

# Two science exposures of MUSE: 2014-12-08, 900 s, and 2017-06-16, 30 s
OLD = Pointing("Abell 478", 63.355417, 10.46556, datetime(2014, 12, 8, 2, 48, 56), 900.0)
NEW = Pointing("IC4406", 215.609208, -44.15056, datetime(2017, 6, 16, 1, 34, 56), 30.0, posang=135.6)


@pytest.mark.parametrize(
    ("pointing", "altitude", "azimuth", "airmasses", "parangs"),
    [
        (OLD, 51.956, 204.363, (1.269, 1.247), (-157.591, -163.175)),
        (NEW, 70.339, 4.070, (1.062, 1.062), (5.171, 6.317)),
    ],
)
def test_telescope_stands_as_the_real_one(
    pointing: Pointing,
    altitude: float,
    azimuth: float,
    airmasses: tuple[float, float],
    parangs: tuple[float, float],
) -> None:
    # precession since 2000 is 0.2 deg; the shutter opened some seconds after the header's angles were taken
    assert pointing.altitude(0.0) == pytest.approx(altitude, abs=0.2)
    assert pointing.azimuth(0.0) == pytest.approx(azimuth, abs=0.8)
    for part, airmass, parang in zip((0.0, 1.0), airmasses, parangs, strict=True):
        assert pointing.airmass(part) == pytest.approx(airmass, abs=0.004)
        assert pointing.parallactic_angle(part) == pytest.approx(parang, abs=1.0)


@pytest.mark.parametrize(("pointing", "angle"), [(OLD, -305.047), (NEW, -330.496)])
def test_derotator_follows_the_field(pointing: Pointing, angle: float) -> None:
    assert pointing.derotator(1.0) == pytest.approx(angle, abs=0.5)


def test_headers_have_both_ends_of_the_exposure() -> None:
    cards = {name: value for name, value, _ in OLD.cards()}
    assert (cards["RA"], cards["DEC"], cards["OBJECT"]) == (63.355417, 10.46556, "Abell 478")
    assert cards["INS.DROT.MODE"] == "SKY"
    assert cards["TEL.AIRM.END"] < cards["TEL.AIRM.START"]
    assert cards["TEL.PARANG.END"] < cards["TEL.PARANG.START"]
    assert cards["TEL.DOME.STATUS"] == "FULLY-OPEN"


@pytest.mark.parametrize("posang", [0.0, 90.0, 213.0])
def test_field_turns_against_the_derotator_keyword(posang: float) -> None:
    """North is at -INS.DROT.POSANG, counted from +y to -x."""
    field = make_geometry(1)
    view = replace(NEW, posang=posang).view(field, "WFM-NOAO-N")
    ra, dec = np.array([NEW.ra]), np.array([NEW.dec + 20.0 / 3600.0])
    x, y = view.field_position(ra, dec)
    dx, dy = float(x[0] - field.axis[0]), float(y[0] - field.axis[1])
    assert np.hypot(dx, dy) == pytest.approx(100.0, rel=0.02)
    # a plate that is not turned has east to the left; its own skew is 0.6 deg at most
    assert (np.rad2deg(np.arctan2(-dx, dy)) + posang + 180.0) % 360.0 - 180.0 == pytest.approx(0.0, abs=1.0)
    east, north = view.offsets(x, y)
    np.testing.assert_allclose((east[0], north[0]), (0.0, 20.0), atol=1e-6)


def test_axis_does_not_move() -> None:
    field = make_geometry(1)
    for posang in (0.0, 120.0):
        x, y = (
            replace(OLD, posang=posang)
            .view(field, "WFM-NOAO-N")
            .field_position(np.array([OLD.ra]), np.array([OLD.dec]))
        )
        np.testing.assert_allclose((x[0], y[0]), field.axis, atol=1e-9)


def test_blue_images_lie_nearer_to_the_zenith() -> None:
    view = replace(OLD, ambient=Ambient()).view(make_geometry(1), "WFM-NOAO-N")
    ra, dec = np.array([OLD.ra]), np.array([OLD.dec])
    blue, red = view.field_position(ra, dec, 4750.0), view.field_position(ra, dec, 9300.0)
    east, north = view.offsets(*blue) - np.array(view.offsets(*red))
    angle = np.rad2deg(np.arctan2(east[0], north[0]))
    assert angle == pytest.approx(OLD.parallactic_angle(), abs=1e-6)
    assert np.hypot(east[0], north[0]) == pytest.approx(
        float(view.lifted(np.array(4750.0)) - view.lifted(np.array(9300.0)))
    )


def test_narrow_field_is_eight_times_finer_and_free_of_refraction() -> None:
    field = make_geometry(1)
    wide, narrow = OLD.view(field, "WFM-AO-N"), OLD.view(field, "NFM-AO-N")
    assert wide.area / narrow.area == pytest.approx(0.2**2 / (0.02519 * 0.02542), rel=1e-9)
    assert not narrow.lifted(np.array([4750.0, 9300.0])).any()
