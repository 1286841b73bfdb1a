"""Where the telescope looks: airmass, parallactic and position angle, distances on the sky.

Sources: Hardie 1962 (in "Astronomical Techniques", 184); Stetson 1989 (weights of start, middle and end).
"""

from __future__ import annotations

import math

from core.errors import DataError

__all__ = ["airmass", "angular_distance", "parallactic_angle", "position_angle"]


def airmass(ra: float, dec: float, lst: float, exptime: float, latitude: float) -> float:
    """Mean airmass of an exposure.

    Parameters
    ----------
    ra, dec : float [deg]
    lst : float
        Local sidereal time at its start [s].
    exptime : float
        [s]; 0: the airmass at the start.
    latitude : float [deg]

    Raises
    ------
    DataError
        If a value is out of its range, or the target is below the horizon.
    """
    for name, value, low, high in (
        ("RA", ra, 0.0, 360.0),
        ("DEC", dec, -90.0, 90.0),
        ("LST", lst, 0.0, 86400.0),
        ("TEL.GEOLAT", latitude, -90.0, 90.0),
        ("EXPTIME", exptime, 0.0, math.inf),
    ):
        if not low <= value <= high or (name == "RA" and value == high):
            raise DataError(f"no airmass: {name} is {value}", rule=name)
    start = 15 * lst / 3600 - ra
    if exptime == 0:
        return _hardie(start, dec, latitude)
    begin, middle, end = (_hardie(start + 15 * s / 3600, dec, latitude) for s in (0.0, exptime / 2, exptime))
    return (begin + 4 * middle + end) / 6


def parallactic_angle(start: float, end: float) -> float:
    """Mean of the parallactic angles at start and end of an exposure [deg], across 180 where they lie around it."""
    if abs(start - end) < 90:
        return (start + end) / 2
    from_south = [math.copysign(180 - abs(angle), angle) for angle in (start, end)]
    size = 180 - abs(sum(from_south) / 2)
    further = start if abs(from_south[0]) > abs(from_south[1]) else end
    return math.copysign(size, further)


def position_angle(angle: float, mode: str) -> float:
    """Position angle of the field [deg] from ``INS.DROT.POSANG`` and ``INS.DROT.MODE``."""
    return -angle if mode == "SKY" else angle


def angular_distance(ra: float, dec: float, other_ra: float, other_dec: float) -> float:
    """Distance of two points on the sky [deg], by Vincenty's formula; all in degrees."""
    along = math.radians(other_ra - ra)
    here, there = math.radians(dec), math.radians(other_dec)
    across = math.cos(there) * math.sin(along)
    up = math.cos(here) * math.sin(there) - math.sin(here) * math.cos(there) * math.cos(along)
    depth = math.sin(here) * math.sin(there) + math.cos(here) * math.cos(there) * math.cos(along)
    return math.degrees(math.atan2(math.hypot(across, up), depth))


def _hardie(hour_angle: float, dec: float, latitude: float) -> float:
    h, d, p = (math.radians(angle) for angle in (hour_angle, dec, latitude))
    cos_z = math.sin(p) * math.sin(d) + math.cos(p) * math.cos(d) * math.cos(h)
    if cos_z <= 0:
        raise DataError("no airmass: the target is below the horizon", rule="airmass")
    excess = 1 / cos_z - 1
    return 1 + excess - 0.0018167 * excess - 0.002875 * excess**2 - 0.0008083 * excess**3
