"""Velocities of the telescope towards targets."""

from __future__ import annotations

import numpy as np
import pytest

from core.onsky.velocity import PARANAL, Site, VelocityFrame, doppler_factor, target_velocity

# Right ascension, declination [deg], middle of the exposure (MJD); velocities [km/s] of the series of Stumpff (1980),
# with the longitude of Paranal to the west, as it is.
TARGETS = [
    ((291.9925, -41.57556, 56833.16803954 + 375 / 86400), (6.877278877, 6.880742885, 0.145590890)),
    ((53.16, -27.78, 57989.25 + 750 / 86400), (19.767604469, 19.767566336, 0.317378773)),
    ((201.36, -43.02, 60310.0), (23.005813854, 23.005151061, 0.043171849)),
]


@pytest.mark.parametrize(("target", "expected"), TARGETS)
def test_velocities_agree_with_another_ephemeris(target: tuple[float, float, float], expected: list[float]) -> None:
    found = [target_velocity(*target, frame) for frame in ("bary", "helio", "geo")]
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-3)
    assert target_velocity(*target, "none") == 0


def test_the_sign_of_the_longitude_matters() -> None:
    mirrored = Site(-PARANAL.longitude, PARANAL.latitude, PARANAL.elevation)
    found = target_velocity(*TARGETS[0][0], "geo", mirrored)
    assert found == pytest.approx(-0.2906, abs=1e-3)  # what the reference has for real headers


@pytest.mark.parametrize(
    ("target", "velocities", "waves"),
    [
        (
            (291.993241, -41.57611, 56833.23799131 + 375 / 86400),
            (6.490920375597687, 6.494385280319831, -0.209080242051523),
            [4650.10067999176, 4800.10392773343, 5555.12027469983, 7000.15156127791, 9300.20135998351],
        ),
        (
            (291.992791, -41.57483, 56872.09891026 + 450 / 86400),
            (-11.377284217311743, -11.373271831691840, -0.252172201063732),
            [4649.82353338571, 4799.81784091428, 5554.78918880809, 6999.73435133333, 9299.64706677142],
        ),
    ],
)
def test_wavelengths_are_those_of_iraf(
    target: tuple[float, float, float], velocities: tuple[float, float, float], waves: list[float]
) -> None:
    """Of the reference's own tests, which have the site on the wrong side of Greenwich."""
    mirrored = Site(-PARANAL.longitude, PARANAL.latitude, PARANAL.elevation)
    found = [target_velocity(*target, frame, mirrored) for frame in ("bary", "helio", "geo")]
    np.testing.assert_allclose(found, velocities, rtol=0, atol=2e-3)
    before = np.array([4650.0, 4800.0, 5555.0, 7000.0, 9300.0])
    np.testing.assert_allclose(before * doppler_factor(found[0]), waves, rtol=0, atol=4e-4)


def test_coordinates_of_another_equinox_are_precessed() -> None:
    ra, dec, mjd = TARGETS[0][0]
    # The same star in coordinates of 1950 (FK5): right ascension 3.5 s/yr less.
    now = target_velocity(ra, dec, mjd, "bary")
    then = target_velocity(ra - 0.8, dec, mjd, "bary", equinox=1950.0)
    assert abs(now - then) < abs(now - target_velocity(ra - 0.8, dec, mjd, "bary"))


@pytest.mark.parametrize("frame", ["bary", "helio", "geo"])
def test_a_year_averages_out(frame: VelocityFrame) -> None:
    year = np.linspace(60000, 60365.25, 200, endpoint=False)
    assert abs(np.mean([target_velocity(150.0, -30.0, mjd, frame) for mjd in year])) < 0.5


def test_wavelengths_grow_with_the_velocity() -> None:
    # rvcorr of IRAF's dopcor.
    np.testing.assert_allclose(7000 * doppler_factor(6.49092), 7000.15156127791, rtol=1e-9)
    assert doppler_factor(-10) * doppler_factor(10) == pytest.approx(1)
