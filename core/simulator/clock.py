"""Times as raw headers have them: modified Julian date and sidereal time at the site."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

__all__ = ["LATITUDE", "LONGITUDE", "mjd_of", "sidereal_seconds"]

LATITUDE: Final = -24.627
LONGITUDE: Final = -70.404
"""Of the telescope, east positive [deg]."""

_MJD_UNIX: Final = 40587.0


def mjd_of(moment: datetime) -> float:
    """Modified Julian date of a UTC time."""
    return moment.replace(tzinfo=UTC).timestamp() / 86400.0 + _MJD_UNIX


def sidereal_seconds(moment: datetime) -> float:
    """Local sidereal time [s]."""
    hours = (18.697374558 + 24.06570982441908 * (mjd_of(moment) - 51544.5) + LONGITUDE / 15.0) % 24.0
    return hours * 3600.0
