"""Times and counts as people read them."""

from __future__ import annotations

from datetime import datetime, timedelta

__all__ = ["age_words", "count_words", "duration_words", "iso_day", "iso_minutes"]

_MJD_EPOCH = datetime(1858, 11, 17)


def iso_minutes(mjd: float) -> str:
    """UTC of a modified Julian date to the minute, e.g. ``2026-11-01T09:48``."""
    return (_MJD_EPOCH + timedelta(days=mjd)).isoformat(timespec="minutes")


def iso_day(mjd: float) -> str:
    """UTC of a modified Julian date as short as it goes: ``2014-12-01`` at midnight, else to the minute."""
    return iso_minutes(mjd).removesuffix("T00:00")


def duration_words(days: float) -> str:
    """A time span in hours below two days, else in days: ``3.2 h``, ``31.4 d``."""
    span = abs(days)
    return f"{span * 24:.1f} h" if span < 2 else f"{span:.1f} d"


def age_words(days: float) -> str:
    """Where a calibration lies in time relative to the data: ``3.2 h before``, ``2.5 d after``."""
    if abs(days) * 86400 < 1:
        return "at the same time"
    return f"{duration_words(days)} {'before' if days < 0 else 'after'}"


def count_words(number: int, noun: str) -> str:
    """``1 frame``, ``3 frames``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
