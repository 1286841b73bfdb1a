"""What the header of an exposure says of the telescope and the air above it."""

from __future__ import annotations

from typing import Final

from core.errors import DataError, MissingKeywordError
from core.fitsfile.header import Header
from core.fitsfile.keywords import get_key
from core.instruments.muse.facts import SPAXEL_NFM, SPAXEL_WFM, mode_class
from core.onsky.air import Air
from core.onsky.pointing import airmass, parallactic_angle, position_angle
from core.onsky.velocity import PARANAL, Site
from core.recipes.logs import Logger

__all__ = [
    "air_of",
    "airmass_of",
    "is_narrow",
    "parallactic_angle_of",
    "position_angle_of",
    "site_of",
    "spaxel_of",
]

_TOLERANCE: Final = 0.005  # between the airmass that is computed and those of the header


def is_narrow(header: Header) -> bool:
    """Whether the exposure was taken in the narrow field."""
    return mode_class(get_key(header, "INS.MODE", str, default=None)).startswith("NFM")


def spaxel_of(header: Header) -> tuple[float, float]:
    """Size of a pixel of the field, in x and y [arcsec]."""
    return SPAXEL_NFM if is_narrow(header) else SPAXEL_WFM


def position_angle_of(header: Header) -> float:
    """Position angle of the field [deg]."""
    angle = get_key(header, "INS.DROT.POSANG", float, default=0.0)
    return position_angle(angle, get_key(header, "INS.DROT.MODE", str, default=""))


def parallactic_angle_of(header: Header) -> float:
    """Mean parallactic angle [deg]; MissingKeywordError if it is not told."""
    return parallactic_angle(*(get_key(header, f"TEL.PARANG.{end}", float) for end in ("START", "END")))


def air_of(header: Header, log: Logger) -> Air:
    """The air at the telescope; what is not told is that of a usual night, with a warning."""
    usual = Air()

    def told(key: str, default: float, unit: str) -> float:
        value = get_key(header, key, float, default=None)
        if value is None:
            log.warning("%s is missing: %g %s is taken", key, default, unit)
            return default
        return value

    temperature = told("TEL.AMBI.TEMP", usual.temperature, "deg C")
    humidity = told("TEL.AMBI.RHUM", 100 * usual.humidity, "%") / 100
    pressures = [get_key(header, f"TEL.AMBI.PRES.{end}", float, default=None) for end in ("START", "END")]
    known = [pressure for pressure in pressures if pressure is not None]
    if not known:
        log.warning("TEL.AMBI.PRES.START and END are missing: %g hPa is taken", usual.pressure)
    return Air(temperature, humidity, sum(known) / len(known) if known else usual.pressure)


def airmass_of(header: Header, log: Logger) -> float:
    """Airmass of an exposure, computed; that of the header where this is not possible.

    Raises
    ------
    MissingKeywordError
        If neither is possible.
    """
    start, end = (get_key(header, f"TEL.AIRM.{end}", float, default=0.0) for end in ("START", "END"))
    told = (start + end) / 2 if start and end else None
    try:
        ra, dec, lst, exptime = (get_key(header, key, float) for key in ("RA", "DEC", "LST", "EXPTIME"))
        site = site_of(header)
        found = airmass(ra, dec, lst, exptime, site.latitude)
    except (MissingKeywordError, DataError) as error:
        if told is None:
            raise MissingKeywordError(f"no airmass: {error}", keyword="TEL.AIRM.START") from error
        log.warning("the airmass is that of the header, %.4f: %s", told, error)
        return told
    if told is not None and not min(start, end) - _TOLERANCE <= found <= max(start, end) + _TOLERANCE:
        log.warning("the airmass is computed to be %.4f, the header has %.4f to %.4f", found, start, end)
    return found


def site_of(header: Header) -> Site:
    """Where the telescope stands: Paranal, unless the header knows better."""
    return Site(
        get_key(header, "TEL.GEOLON", float, default=PARANAL.longitude),
        get_key(header, "TEL.GEOLAT", float, default=PARANAL.latitude),
        get_key(header, "TEL.GEOELEV", float, default=PARANAL.elevation),
    )
