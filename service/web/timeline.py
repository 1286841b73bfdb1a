"""The timeline of a night: one row per frame type, one tick per frame, from local noon to local noon."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from core.archive.pages.frames import TimelineTick
from core.instruments.declaration import PARANAL_NOON_UT

__all__ = ["Timeline", "TimelineRow", "make_timeline"]

WIDTH: Final = 1200.0
LEFT: Final = 110.0
ROW: Final = 24
_MJD_EPOCH: Final = date(1858, 11, 17)
_ORDER: Final = ("BIAS", "DARK", "FLAT", "ILLUM", "ARC", "MASK", "SKYFLAT", "STD", "ASTROMETRY", "SKY", "OBJECT")


@dataclass(frozen=True)
class Tick:
    """One frame: position and width in drawing units, name and what is said on hover."""

    x: float
    width: float
    name: str
    title: str


@dataclass(frozen=True)
class TimelineRow:
    """All frames of one type."""

    tag: str
    y: int
    ticks: tuple[Tick, ...]


@dataclass(frozen=True)
class Timeline:
    """The drawing: ``hours`` are (x, label)."""

    width: float
    height: int
    left: float
    rows: tuple[TimelineRow, ...]
    hours: tuple[tuple[float, str], ...]


def make_timeline(night: date, ticks: Sequence[TimelineTick]) -> Timeline | None:
    """Lay out the frames of a night; None if there are none."""
    if not ticks:
        return None
    noon_hour = PARANAL_NOON_UT.total_seconds() / 3600
    start = (night - _MJD_EPOCH).days + noon_hour / 24
    scale = WIDTH - LEFT - 8

    def x(mjd: float) -> float:
        return round(LEFT + min(max(mjd - start, 0.0), 1.0) * scale, 1)

    grouped: dict[str, list[TimelineTick]] = defaultdict(list)
    for tick in ticks:
        grouped[tick.tag].append(tick)
    tags = sorted(grouped, key=lambda tag: (_ORDER.index(tag) if tag in _ORDER else len(_ORDER), tag))
    rows = tuple(
        TimelineRow(tag, number * ROW, tuple(_tick(tick, x, scale) for tick in grouped[tag]))
        for number, tag in enumerate(tags)
    )
    hours = tuple((round(LEFT + scale * step / 24, 1), f"{(noon_hour + step) % 24:02.0f}") for step in range(0, 25, 2))
    return Timeline(WIDTH, len(tags) * ROW, LEFT, rows, hours)


def _tick(tick: TimelineTick, x: object, scale: float) -> Tick:
    position = x(tick.mjd_obs)  # type: ignore[operator]
    minutes = (tick.mjd_obs % 1) * 1440
    clock = f"{int(minutes // 60):02d}:{int(minutes % 60):02d}"
    lamps = f" {tick.lamps}" if tick.lamps else ""
    width = max(2.0, round(tick.exptime / 86400 * scale, 1))
    return Tick(position, width, tick.dp_id, f"{clock} UT {tick.tag}{lamps} {tick.exptime:g} s")
