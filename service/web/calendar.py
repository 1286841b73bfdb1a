"""The calendar of a year: weeks as columns, Monday on top."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from core.archive.pages.nights import NightSummary

__all__ = ["Week", "calendar_weeks"]


@dataclass(frozen=True)
class Week:
    """One column of the calendar.

    Attributes
    ----------
    month : str
        Name of the month that begins in this week, else empty.
    days : tuple of (date, NightSummary or None) or None
        Seven entries; None where the day belongs to another year.
    """

    month: str
    days: tuple[tuple[date, NightSummary | None] | None, ...]


def calendar_weeks(year: int, nights: Mapping[date, NightSummary]) -> list[Week]:
    """Weeks of a year with the nights that have data."""
    first, last = date(year, 1, 1), date(year, 12, 31)
    monday = first - timedelta(days=first.weekday())
    weeks = []
    while monday <= last:
        days = [monday + timedelta(days=offset) for offset in range(7)]
        starts = next((day for day in days if day.day == 1 and day.year == year), None)
        cells = tuple((day, nights.get(day)) if day.year == year else None for day in days)
        weeks.append(Week(f"{starts:%b}" if starts else "", cells))
        monday += timedelta(days=7)
    return weeks
