"""The velocity of the telescope towards its target, and what it does to wavelengths.

The ephemeris is that of ERFA (IAU SOFA), without relativistic terms of the observatory (5 m/s): what the field calls
barycentric and heliocentric correction.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

import erfa
import numpy as np
import numpy.typing as npt

__all__ = ["PARANAL", "SPECSYS", "Site", "VelocityFrame", "doppler_factor", "target_velocity"]

VelocityFrame = Literal["bary", "helio", "geo", "none"]

# What FITS calls the rest frame of a spectrum (SPECSYS).
SPECSYS: Final[dict[VelocityFrame, str]] = {
    "bary": "BARYCENT",
    "helio": "HELIOCEN",
    "geo": "GEOCENTR",
    "none": "TOPOCENT",
}
_LIGHT: Final = 299792.458  # [km/s]
_KM_PER_S: Final = 149597870.7 / 86400  # of au/d
_MJD_ZERO: Final = 2400000.5


@dataclass(frozen=True)
class Site:
    """Where a telescope stands.

    Attributes
    ----------
    longitude, latitude : float
        To the east and to the north [deg].
    elevation : float
        [m].
    """

    longitude: float
    latitude: float
    elevation: float


PARANAL: Final = Site(-70.402222, -24.625278, 2648.0)


def target_velocity(
    ra: float, dec: float, mjd: float, frame: VelocityFrame, site: Site = PARANAL, equinox: float = 2000.0
) -> float:
    """Velocity of the telescope towards a target [km/s]; it is to be added to velocities that were measured.

    Parameters
    ----------
    ra, dec : float [deg]
    mjd : float
        Modified Julian date of the middle of the exposure (UTC).
    frame : {'bary', 'helio', 'geo', 'none'}
        What the velocity is relative to: barycentre of the solar system, Sun, centre of the Earth, the telescope.
    site : Site
    equinox : float
        Of the coordinates [yr].
    """
    if frame == "none":
        return 0.0
    velocity = _of_site(mjd, site)
    if frame != "geo":
        heliocentric, barycentric = erfa.epv00(*_terrestrial(mjd))
        velocity = velocity + (barycentric if frame == "bary" else heliocentric)["v"] * _KM_PER_S
    return float(velocity @ _direction(ra, dec, equinox))


def doppler_factor(velocity: float) -> float:
    """What wavelengths are multiplied with for a velocity away from the source's light [km/s]."""
    beta = velocity / _LIGHT
    return math.sqrt((1 + beta) / (1 - beta))


def _terrestrial(mjd: float) -> tuple[float, float]:
    """Julian date, terrestrial time, in two parts."""
    tai = erfa.utctai(_MJD_ZERO, mjd)
    first, second = erfa.taitt(*tai)
    return float(first), float(second)


def _of_site(mjd: float, site: Site) -> npt.NDArray[np.float64]:
    """Velocity of the site about the centre of the Earth [km/s], in the celestial frame; UT1 is taken for UTC."""
    spin = erfa.era00(_MJD_ZERO, mjd)
    place = erfa.pvtob(math.radians(site.longitude), math.radians(site.latitude), site.elevation, 0, 0, 0, spin)
    celestial: npt.NDArray[np.float64] = erfa.c2i06a(*_terrestrial(mjd)).T
    return celestial @ place["v"] / 1000


def _direction(ra: float, dec: float, equinox: float) -> npt.NDArray[np.float64]:
    """Of a target, in the celestial frame: precessed to 2000, and turned from the axes of FK5."""
    _, precession, _ = erfa.bp06(*erfa.epj2jd(equinox))
    axes, _ = erfa.fk5hip()
    direction: npt.NDArray[np.float64] = axes @ (precession.T @ erfa.s2c(math.radians(ra), math.radians(dec)))
    return direction
