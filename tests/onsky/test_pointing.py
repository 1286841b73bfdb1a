"""Airmass, angles and distances."""

from __future__ import annotations

import pytest

from core.errors import DataError
from core.onsky.pointing import airmass, angular_distance, parallactic_angle, position_angle

PARANAL = -24.625278
AIRMASS = {  # by local sidereal time [s] and exposure time [s], at right ascension 150 and declination -30
    (30000, 0): 1.0846082015561171,
    (30000, 3600): 1.0451938587494152,
    (36000, 1200): 1.0054156538676495,
    (46000, 0): 1.2549127361139318,
    (46000, 1200): 1.293473927582162,
    (50000, 3600): 1.903520517151662,
}


@pytest.mark.parametrize(("lst", "exptime"), AIRMASS)
def test_airmass(lst: int, exptime: int) -> None:
    assert airmass(150, -30, lst, exptime, PARANAL) == pytest.approx(AIRMASS[lst, exptime], rel=1e-13)


@pytest.mark.parametrize(
    ("pointing", "expected", "tolerance"),
    [
        ((0, 0, 82741.05, 3600, 28.7583333), 1.154341748999268, 1e-4),
        ((183.05, 0, 46618.36, 1800, -24.6253), 1.139314072854456, 5e-4),
        ((273.05, 0, 46618.36, 7200, -24.6253), 2.856629208947552, 7e-3),
        ((290, 0, 0, 1, -24.6253), 3.196871455072828, 8e-3),
    ],
)
def test_airmass_of_iraf(pointing: tuple[float, float, float, float, float], expected: float, tolerance: float) -> None:
    assert airmass(*pointing) == pytest.approx(expected, abs=tolerance)


@pytest.mark.parametrize(
    ("pointing", "rule"),
    [
        ((-1, 0, 0, 0, 0), "RA"),
        ((360, 0, 0, 0, 0), "RA"),
        ((0, 91, 0, 0, 0), "DEC"),
        ((0, 0, 86401, 0, 0), "LST"),
        ((0, 0, 0, -1, 0), "EXPTIME"),
        ((0, 0, 0, 0, 100), "TEL.GEOLAT"),
        ((150, -30, 75000, 0, PARANAL), "airmass"),
        ((0, float("nan"), 0, 0, 0), "DEC"),
    ],
)
def test_what_cannot_be_is_refused_by_name(pointing: tuple[float, float, float, float, float], rule: str) -> None:
    with pytest.raises(DataError) as caught:
        airmass(*pointing)
    assert caught.value.context["rule"] == rule


@pytest.mark.parametrize(
    ("start", "end", "mean"),
    [
        (-174.915, 179.183, -177.866),
        (-179, 178, 179.5),
        (-178, 179, -179.5),
        (-1, 2, 0.5),
        (-2, 1, -0.5),
        (10, 20, 15),
        (-44, -33, -38.5),
    ],
)
def test_parallactic_angle(start: float, end: float, mean: float) -> None:
    assert parallactic_angle(start, end) == pytest.approx(mean)


def test_position_angle_turns_with_the_sky() -> None:
    assert [position_angle(150, mode) for mode in ("SKY", "STAT", "")] == [-150, 150, 150]


@pytest.mark.parametrize(
    ("here", "there", "arcsec", "tolerance"),
    [
        ((20, 0), (0, 0), 72000, 1e-9),
        ((0, -0.2 / 3600), (0, 0.2 / 3600), 0.4, 1e-12),
        ((0, 0), (90, 0), 90 * 3600, 1e-9),
        ((0, -45), (0, 45), 90 * 3600, 1e-9),
        ((175.5, -45), (175.5, 45), 90 * 3600, 1e-9),
        ((340, -25), (70, -25), 79.7114149 * 3600, 1e-3),
        ((10, -80), (130, -80), 17.2983302 * 3600, 1e-3),
        ((-360, 0), (360, 0), 0, 1e-9),
        ((-180, -90), (180, 90), 180 * 3600, 1e-9),
        ((154.46815, -46.315784), (185.39429, -55.753656), 76955.588, 4e-4),
        ((40.173793, -24.221244), (34.662801, -28.530101), 23584.671, 1e-3),
        ((154.40629, -46.40866), (154.39712, -46.413931), 29.633, 4e-4),
    ],
)
def test_distances(here: tuple[float, float], there: tuple[float, float], arcsec: float, tolerance: float) -> None:
    assert angular_distance(*here, *there) * 3600 == pytest.approx(arcsec, abs=tolerance)
