"""The timeline of a night: one row per frame type, one tick per frame, from local noon to local noon."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from core.archive.pages.frames import TimelineTick
from core.instruments.declaration import PARANAL_NOON_UT

__all__ = ["Timeline", "TimelineRow", "make_timeline"]

WIDTH: Final = 1000.0  # drawing units of a night; the page stretches them to what room there is
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
    ticks: tuple[Tick, ...]


@dataclass(frozen=True)
class Timeline:
    """The drawing: ``hours`` are (x, label)."""

    width: float
    rows: tuple[TimelineRow, ...]
    hours: tuple[tuple[float, str], ...]


def make_timeline(night: date, ticks: Sequence[TimelineTick]) -> Timeline | None:
    """Lay out the frames of a night; None if there are none."""
    if not ticks:
        return None
    noon_hour = PARANAL_NOON_UT.total_seconds() / 3600
    start = (night - _MJD_EPOCH).days + noon_hour / 24

    def x(mjd: float) -> float:
        return round(min(max(mjd - start, 0.0), 1.0) * WIDTH, 1)

    grouped: dict[str, list[TimelineTick]] = defaultdict(list)
    for tick in ticks:
        grouped[tick.tag].append(tick)
    tags = sorted(grouped, key=lambda tag: (_ORDER.index(tag) if tag in _ORDER else len(_ORDER), tag))
    rows = tuple(TimelineRow(tag, tuple(_tick(tick, x) for tick in grouped[tag])) for tag in tags)
    hours = tuple((round(WIDTH * step / 24, 1), f"{(noon_hour + step) % 24:02.0f}") for step in range(0, 25, 2))
    return Timeline(WIDTH, rows, hours)


def _tick(tick: TimelineTick, x: Callable[[float], float]) -> Tick:
    position = x(tick.mjd_obs)
    minutes = (tick.mjd_obs % 1) * 1440
    clock = f"{int(minutes // 60):02d}:{int(minutes % 60):02d}"
    lamps = f" {tick.lamps}" if tick.lamps else ""
    width = round(max(0.5, tick.exptime / 86400 * WIDTH), 1)
    return Tick(position, width, tick.dp_id, f"{clock} UT {tick.tag}{lamps} {tick.exptime:g} s")
