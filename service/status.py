"""Is the installation alive: daemons, freshness, and what must be said at the top of every page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy.orm import Session

from core.archive.clock import database_now
from core.archive.models import WorkerHeartbeat
from core.archive.pages.health import Freshness, daemons, freshness, state_counts
from core.archive.states import BlockState, WorkerKind
from core.cascade.words import count_words
from core.settings import Settings
from service.commands import command_line
from service.text import age, byte_count
from workers.room import Disk, full_disks
from workers.statics import faults

__all__ = ["Alarm", "DaemonState", "FreshnessBox", "Status", "read_status"]

# Biases are taken every day, so each feed moves once per day; two hours of grace.
AGE_LIMITS: Final = {"file": timedelta(hours=26), "product": timedelta(hours=26), "score": timedelta(hours=26)}
LABELS: Final = {"file": "Last file", "product": "Last product", "score": "Last score"}
CLOCK_LIMIT: Final = 5.0  # seconds by which the clock of a host may be wrong before it is told
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
    started_at: datetime
    last_seen: datetime
    host: str
    pid: int
    doing: str
    clock_offset: float | None


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
    """The present state: five short queries, and a look at the names of the static calibrations."""
    now = database_now(session)
    states = tuple(
        _state(row, now, settings.silent_after) for row in daemons(session) if now - row.last_seen < _FORGOTTEN
    )
    states = tuple(item for item in states if item.state == "alive" or not _replaced(item, states))
    boxes = _boxes(freshness(session), now)
    full = full_disks(settings)
    alarms = (
        *_disk_alarms(full, states, session, settings),
        *(() if _keeps_no_heartbeat(full) else _daemon_alarms(states, now, settings)),
        *_clock_alarms(states),
        *_feed_alarms(boxes),
        *_static_alarms(settings),
    )
    return Status(now, states, boxes, alarms)


def _state(row: WorkerHeartbeat, now: datetime, limit: timedelta) -> DaemonState:
    if row.stopped_at is not None:
        state = "stopped"
    else:
        state = "alive" if now - row.last_seen <= limit else "dead"
    return DaemonState(
        row.name, row.kind, state, row.started_at, row.last_seen, row.host, row.pid, row.doing, row.clock_offset
    )


def _daemon_alarms(states: tuple[DaemonState, ...], now: datetime, settings: Settings) -> list[Alarm]:
    start = command_line(settings, "cascade up")
    if not any(item.kind in NEEDED for item in states):
        return [Alarm("No daemon runs: nothing is ingested or reduced by itself.", f"Start them: {start}")]
    dead = [item for item in states if item.kind in NEEDED and item.state == "dead" and not _replaced(item, states)]
    alive = {item.kind for item in states if item.state == "alive"}
    lacking = [kind for kind in NEEDED if kind not in alive]
    effects = ", ".join(NEEDED[kind] for kind in lacking)
    if dead:
        names = ", ".join(item.kind.value for item in dead)
        last = max(item.last_seen for item in dead)
        where = ", ".join(f"process {item.pid} on {item.host}" for item in dead)
        text = f"The daemon{'s' if len(dead) > 1 else ''} {names} fell silent {age(now - last)} ago"
        return [Alarm(f"{text}: {effects}." if effects else f"{text}.", f"Look at {where}; start again: {start}")]
    if lacking:
        kinds = ", ".join(kind.value for kind in lacking)
        return [Alarm(f"No daemon runs for {kinds}: {effects}.", f"Start: {start}")]
    return []


def _keeps_no_heartbeat(full: Sequence[Disk]) -> bool:
    """Whether a daemon that is silent may only have no room for its sign of life."""
    return any(disk.holds_database for disk in full)


def _disk_alarms(
    full: Sequence[Disk], states: tuple[DaemonState, ...], session: Session, settings: Settings
) -> Iterator[Alarm]:
    if not full:
        return
    counts = state_counts(session)
    waiting = sum(counts.get(state, 0) for state in (BlockState.READY, BlockState.QUEUED))
    silent = _keeps_no_heartbeat(full) and any(item.state == "dead" for item in states)
    for disk in full:
        text = (
            f"The disk of {disk.path} is full: {byte_count(disk.free)} of {byte_count(disk.size)} are free, "
            f"{settings.free_mb} MB are kept free for {disk.what}. {count_words(waiting, 'block')} "
            f"{'waits' if waiting == 1 else 'wait'} for room."
        )
        if silent and disk.holds_database:
            text += " The daemons cannot say that they live."
        yield Alarm(text, "Make room there: the work goes on by itself.")


def _clock_alarms(states: tuple[DaemonState, ...]) -> list[Alarm]:
    offsets: dict[str, float] = {}
    for item in states:
        if item.state == "alive" and item.clock_offset is not None:
            offsets[item.host] = max(offsets.get(item.host, 0.0), item.clock_offset, key=abs)
    return [
        Alarm(
            f"The clock of {host} is {abs(offset):.0f} s {'ahead of' if offset > 0 else 'behind'} the database's: "
            "times in its logs and products are wrong, the work goes on.",
            f"Set the clock of {host} by NTP (chronyc tracking).",
        )
        for host, offset in sorted(offsets.items())
        if abs(offset) > CLOCK_LIMIT
    ]


def _replaced(dead: DaemonState, states: tuple[DaemonState, ...]) -> bool:
    """Whether a daemon of the same kind was started on the same machine since."""
    return any(
        item.kind is dead.kind and item.host == dead.host and item.started_at > dead.last_seen and item.state != "dead"
        for item in states
    )


def _boxes(fresh: Freshness, now: datetime) -> tuple[FreshnessBox, ...]:
    boxes = []
    for key, time in (("file", fresh.file), ("product", fresh.product), ("score", fresh.score)):
        limit = AGE_LIMITS[key]
        boxes.append(FreshnessBox(key, LABELS[key], time, limit, time is not None and now - time > limit))
    return tuple(boxes)


def _feed_alarms(boxes: tuple[FreshnessBox, ...]) -> list[Alarm]:
    box = next(item for item in boxes if item.key == "file")
    if not box.stale or box.time is None:
        return []
    return [
        Alarm(
            f"The feed is stale: the last file came {box.time:%Y-%m-%d %H:%M} UT, the limit is {age(box.limit)}.",
            "Check that files arrive in the archive directories (cascade status lists them).",
        )
    ]


def _static_alarms(settings: Settings) -> list[Alarm]:
    return [
        Alarm(
            f"The static calibration {fault.path} cannot be used: {fault.reason}.",
            "Repair or remove the file; the nights are planned without it.",
        )
        for fault in faults(settings.static_dir)
    ]
