"""When a frame was taken, and which night that belongs to."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from core.errors import NonRetriableError
from core.instruments.declaration import PARANAL_NOON_UT, Instrument

__all__ = ["BadDateError", "Exposure", "exposure_of", "night_of", "parse_date"]

_MJD_ZERO: Final = datetime(1858, 11, 17, tzinfo=UTC)
_MJD_TOLERANCE: Final = 120.0 / 86400.0  # early headers have MJD-OBS in single precision: off by up to a minute [d]
_AHEAD: Final = timedelta(days=1)  # the clock of this host may be behind
_DAY_ONLY = re.compile(r"\d{4}-\d\d-\d\d")
_LEAP_SECOND = re.compile(r"(.*T\d\d:\d\d):60(\.\d*)?(.*)")


class BadDateError(NonRetriableError):
    """A header says no usable time of observation."""

    error_type = "bad_date"
    http_status = 422


@dataclass(frozen=True)
class Exposure:
    """When a frame was taken.

    Attributes
    ----------
    date_obs : datetime.datetime
        Start of the exposure (UT).
    mjd_obs, mjd_mid : float
        Start and middle [d].
    exptime : float
        [s]; 0 for a bias without ``EXPTIME``.
    night : datetime.date
        See `night_of`.
    """

    date_obs: datetime
    mjd_obs: float
    mjd_mid: float
    exptime: float
    night: date


def exposure_of(keywords: Mapping[str, Any], instrument: Instrument, now: datetime | None = None) -> Exposure:
    """Time of a frame of an instrument.

    ``MJD-OBS`` counts where it is given (it is what calibrations are matched by), else ``DATE-OBS``. A ``DATE-OBS``
    without time of day gets that of ``MJD-OBS``.

    Parameters
    ----------
    now : datetime.datetime, optional
        The present, of which no frame is more than a day ahead.

    Raises
    ------
    BadDateError
        If ``DATE-OBS`` is no date, is before the first light of the instrument or in the future, or disagrees with
        ``MJD-OBS`` by more than two minutes; or ``EXPTIME`` is negative.
    """
    text = keywords.get("DATE-OBS")
    moment = parse_date(text) if isinstance(text, str) else None
    if moment is None:
        raise BadDateError(f"DATE-OBS is {text!r}, not a date", keyword="DATE-OBS")
    mjd = keywords.get("MJD-OBS")
    if mjd is not None and (isinstance(mjd, bool) or not isinstance(mjd, int | float) or not math.isfinite(mjd)):
        raise BadDateError(f"MJD-OBS is {mjd!r}, not a number", keyword="MJD-OBS")
    if _DAY_ONLY.fullmatch(str(text).strip()):
        moment = _with_time_of_day(moment, mjd)
    if moment < instrument.first_light:
        raise BadDateError(f"DATE-OBS is {text}: {instrument.name} did not exist then", keyword="DATE-OBS")
    if moment > (now or datetime.now(UTC)) + _AHEAD:
        raise BadDateError(f"DATE-OBS is {text}, in the future", keyword="DATE-OBS")
    from_date = (moment - _MJD_ZERO) / timedelta(days=1)
    if mjd is None:
        mjd = from_date
    if abs(mjd - from_date) > _MJD_TOLERANCE:
        raise BadDateError(
            f"MJD-OBS is {mjd}, but DATE-OBS {text} is MJD {from_date:.5f}: they disagree", keyword="MJD-OBS"
        )
    exptime = keywords.get("EXPTIME", 0.0)
    if exptime is None:
        exptime = 0.0
    if isinstance(exptime, bool) or not isinstance(exptime, int | float) or not 0 <= exptime < 86400:
        raise BadDateError(f"EXPTIME is {exptime!r}, not a time in seconds", keyword="EXPTIME")
    middle = float(mjd) + exptime / 2.0 / 86400.0
    return Exposure(moment, float(mjd), middle, float(exptime), night_of(moment, instrument.noon_ut))


def parse_date(text: str) -> datetime | None:
    """A FITS date as an aware moment in UT; None if it is none.

    A leap second (``23:59:60.4``) is the first second of the next day, as in all counts of days.
    """
    text = text.strip()
    leap = _LEAP_SECOND.fullmatch(text)
    if leap:
        text = f"{leap[1]}:59{leap[2] or ''}{leap[3]}"
    try:
        moment = datetime.fromisoformat(text) + timedelta(seconds=1 if leap else 0)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):  # the first and last hours of the calendar
        return None


def _with_time_of_day(day: datetime, mjd: float | None) -> datetime:
    if mjd is None:
        raise BadDateError("DATE-OBS has no time of day, and there is no MJD-OBS", keyword="DATE-OBS")
    fraction = mjd - (day - _MJD_ZERO) / timedelta(days=1)
    if not 0 <= fraction < 1:
        raise BadDateError(f"MJD-OBS is {mjd}, on another day than DATE-OBS {day:%Y-%m-%d}", keyword="MJD-OBS")
    return day + timedelta(milliseconds=round(fraction * 86_400_000))


def night_of(moment: datetime, noon_ut: timedelta = PARANAL_NOON_UT) -> date:
    """The night that a moment (UT) belongs to.

    A night goes from noon to noon of the observatory's standard time (on Paranal 16 UT) and has the date of its
    evening: the calibrations of the morning of 2 November, 10 UT, belong to the night 2026-11-01.
    """
    return (moment.astimezone(UTC) - noon_ut).date()
