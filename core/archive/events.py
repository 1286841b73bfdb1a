"""Events (who changed what, when) and the heartbeats of the daemons."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from core.archive.clock import clock_offset, database_now
from core.archive.models import Event, WorkerHeartbeat
from core.archive.states import WorkerKind

__all__ = ["beat", "forget_workers", "record_event", "worker_stopped"]


def record_event(
    session: Session,
    kind: str,
    subject: str,
    *,
    actor: str,
    text: str = "",
    from_state: str | None = None,
    to_state: str | None = None,
    now: datetime | None = None,
) -> None:
    """Add an event row to the running transaction.

    Parameters
    ----------
    kind : str
        ``block``, ``product``, ``frame``, ``quarantine``, ``worker``, ``plan``.
    subject : str
        Name of the thing.
    actor : str
        Daemon or person.
    """
    session.add(
        Event(
            kind=kind,
            subject=subject,
            from_state=from_state,
            to_state=to_state,
            actor=actor,
            text=text,
            **({} if now is None else {"time": now}),
        )
    )


def beat(
    session: Session,
    name: str,
    kind: WorkerKind,
    *,
    host: str,
    pid: int,
    doing: str = "",
    now: datetime | None = None,
) -> None:
    """Say that a daemon lives. ``name`` is unique, e.g. ``execute@host:1234``; a new pid is a new start.

    How far the clock of its host is from that of the database is noted, too.
    """
    now = now or database_now(session)
    row = session.scalar(select(WorkerHeartbeat).where(WorkerHeartbeat.name == name))
    if row is None:
        row = WorkerHeartbeat(name=name, kind=kind, host=host, pid=pid, started_at=now)
        session.add(row)
    elif row.pid != pid or row.stopped_at is not None:
        row.pid, row.host, row.started_at, row.stopped_at = pid, host, now, None
    row.last_seen, row.doing, row.clock_offset = now, doing, clock_offset(session)


def worker_stopped(session: Session, name: str, *, now: datetime | None = None) -> None:
    """Note the orderly stop of a daemon, so that its silence alarms nobody."""
    now = now or database_now(session)
    session.execute(
        update(WorkerHeartbeat).where(WorkerHeartbeat.name == name).values(stopped_at=now, last_seen=now, doing="")
    )


def forget_workers(session: Session, before: datetime) -> None:
    """Remove the daemons that were seen last before a moment."""
    session.execute(
        delete(WorkerHeartbeat).where(WorkerHeartbeat.last_seen < before).execution_options(synchronize_session=False)
    )
