"""Is the installation alive: daemons, freshness, and what must be said at the top of every page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy.orm import Session

from core.archive.base import utc_now
from core.archive.models import WorkerHeartbeat
from core.archive.pages.health import Freshness, daemons, freshness
from core.archive.states import WorkerKind
from core.settings import Settings
from service.text import age

__all__ = ["Alarm", "DaemonState", "FreshnessBox", "Status", "read_status"]

# Biases are taken every day, so each feed moves once per day; two hours of grace.
AGE_LIMITS: Final = {"file": timedelta(hours=26), "product": timedelta(hours=26), "score": timedelta(hours=26)}
LABELS: Final = {"file": "Last file", "product": "Last product", "score": "Last score"}
MISSED_BEATS: Final = 3
_FORGOTTEN: Final = timedelta(days=7)  # a daemon that has been silent for so long is history
NEEDED: Final = {
    WorkerKind.INGEST: "new files are not seen",
    WorkerKind.DISPATCH: "ready blocks are not started",
    WorkerKind.EXECUTE: "no block is reduced",
}


@dataclass(frozen=True)
class DaemonState:
    """One daemon: ``alive``, ``stopped`` in good order, or ``dead`` (silent without having said good-bye)."""

    name: str
    kind: WorkerKind
    state: str
    last_seen: datetime
    host: str
    pid: int
    doing: str


@dataclass(frozen=True)
class FreshnessBox:
    """How old the newest thing of a kind is, and whether that is too old."""

    key: str
    label: str
    time: datetime | None
    limit: timedelta
    stale: bool


@dataclass(frozen=True)
class Alarm:
    """One sentence with the cause, one with the cure."""

    text: str
    cure: str


@dataclass(frozen=True)
class Status:
    """The state of the installation at one moment."""

    now: datetime
    daemons: tuple[DaemonState, ...]
    boxes: tuple[FreshnessBox, ...]
    alarms: tuple[Alarm, ...]

    @property
    def fresh(self) -> dict[str, FreshnessBox]:
        """Boxes by key."""
        return {box.key: box for box in self.boxes}


def read_status(session: Session, settings: Settings) -> Status:
    """The present state; five short queries."""
    now = utc_now()
    limit = timedelta(seconds=MISSED_BEATS * settings.heartbeat_seconds)
    states = tuple(_state(row, now, limit) for row in daemons(session) if now - row.last_seen < _FORGOTTEN)
    boxes = _boxes(freshness(session), now)
    return Status(now, states, boxes, (*_daemon_alarms(states, now), *_feed_alarms(boxes, states)))


def _state(row: WorkerHeartbeat, now: datetime, limit: timedelta) -> DaemonState:
    if row.stopped_at is not None:
        state = "stopped"
    else:
        state = "alive" if now - row.last_seen <= limit else "dead"
    return DaemonState(row.name, row.kind, state, row.last_seen, row.host, row.pid, row.doing)


def _daemon_alarms(states: tuple[DaemonState, ...], now: datetime) -> list[Alarm]:
    alarms = []
    for kind, effect in NEEDED.items():
        mine = [item for item in states if item.kind is kind]
        alive = [item for item in mine if item.state == "alive"]
        dead = [item for item in mine if item.state == "dead"]
        if dead:
            last = max(dead, key=lambda item: item.last_seen)
            effect_now = "" if alive else f": {effect}"
            alarms.append(
                Alarm(
                    f"{kind.value} daemon {last.name} has been silent for {age(now - last.last_seen)}{effect_now}.",
                    f"Look at process {last.pid} on {last.host}; start again: cascade up",
                )
            )
        elif mine and not alive:
            alarms.append(Alarm(f"No {kind.value} daemon runs: {effect}.", "Start it: cascade up"))
    if not any(item.kind in NEEDED for item in states):
        alarms.append(Alarm("No daemon runs: nothing is ingested or reduced by itself.", "Start them: cascade up"))
    return alarms


def _boxes(fresh: Freshness, now: datetime) -> tuple[FreshnessBox, ...]:
    boxes = []
    for key, time in (("file", fresh.file), ("product", fresh.product), ("score", fresh.score)):
        limit = AGE_LIMITS[key]
        boxes.append(FreshnessBox(key, LABELS[key], time, limit, time is not None and now - time > limit))
    return tuple(boxes)


def _feed_alarms(boxes: tuple[FreshnessBox, ...], states: tuple[DaemonState, ...]) -> list[Alarm]:
    box = next(item for item in boxes if item.key == "file")
    if not box.stale or box.time is None:
        return []
    return [
        Alarm(
            f"The feed is stale: the last file came {box.time:%Y-%m-%d %H:%M} UT, the limit is {age(box.limit)}.",
            "Check that files arrive in the archive directories (cascade status lists them).",
        )
    ]
