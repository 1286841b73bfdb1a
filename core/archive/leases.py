"""A worker and its work: claimed with a lease, kept by heartbeats, given back, failed, or lost when silent.

Work is a block, or a part of a block (`core.archive.records.Work`): the same code holds both.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Select, delete, select, update
from sqlalchemy.orm import Session

from core.archive.clock import database_now
from core.archive.models import Block, BlockPart
from core.archive.parts import settle_parts
from core.archive.records import Work
from core.archive.states import BlockState
from core.archive.transitions import (
    NO_LEASE,
    change_work,
    changed_rows,
    held_work,
    row_of,
    table_of,
    work_of,
)
from core.errors import DISK_FULL

__all__ = [
    "ROOM_FACTOR",
    "LeaseAnswer",
    "claim_work",
    "confirm_cancel",
    "end_lease",
    "fail_work",
    "heartbeat",
    "may_try_again",
    "release_expired_leases",
    "release_work",
    "running_leases",
]


ROOM_FACTOR: Final = 4
"""How many times more tries work has that fails for want of room on a disk."""


class LeaseAnswer(StrEnum):
    """Answer to a heartbeat."""

    HELD = "held"  # go on
    CANCEL = "cancel"  # a person wants the block stopped: stop it, then `confirm_cancel`
    LOST = "lost"  # it is no longer yours: stop, write nothing


def claim_work(session: Session, work: Work, *, owner: str, lease_seconds: float, now: datetime | None = None) -> bool:
    """Take a QUEUED (or READY) block or part with a lease: it is RUNNING and its tries are one more.

    A block is begun anew: what was left of parts of an earlier try is forgotten.

    Returns
    -------
    bool
        False if somebody else has it, it is not to be run any more, or it pauses after a failure: drop the message.
    """
    now = now or database_now(session)
    table = table_of(work)
    pause = session.scalar(select(table.not_before).where(row_of(work), table.state == BlockState.READY))
    if pause is not None and pause > now:  # an old message that came twice must not use up the tries
        return False
    if work.part and not session.scalar(select(BlockPart.id).where(row_of(work))):
        return False  # a message of an earlier try of the block
    anew: dict[str, Any] = {} if work.part else {"cancel_requested": False, "work_name": None}
    claimed = change_work(
        session,
        work,
        BlockState.RUNNING,
        from_states={BlockState.QUEUED, BlockState.READY},
        actor=owner,
        now=now,
        lease_owner=owner,
        lease_until=now + timedelta(seconds=lease_seconds),
        heartbeat_at=now,
        started_at=now,
        finished_at=None,
        duration=None,
        not_before=None,
        error_type=None,
        error_message=None,
        peak_mb=None,
        progress={},
        tries=table.tries + 1,
        **anew,
    )
    if claimed and not work.part:
        session.execute(delete(BlockPart).where(BlockPart.block_id == work.block_id))
    return claimed


def heartbeat(
    session: Session,
    work: Work,
    *,
    owner: str,
    lease_seconds: float,
    progress: Mapping[str, Any] | None = None,
    log_path: str | None = None,
    now: datetime | None = None,
) -> LeaseAnswer:
    """Prolong the lease and note the progress.

    Parameters
    ----------
    progress : mapping, optional
        Progress by part, ``{"01": {"phase": "combine", "fraction": 0.4}}``; replaces the former.
    log_path : str, optional
        Of a block.

    Returns
    -------
    LeaseAnswer
    """
    now = now or database_now(session)
    table = table_of(work)
    values: dict[str, Any] = {"lease_until": now + timedelta(seconds=lease_seconds), "heartbeat_at": now}
    if progress is not None:
        values["progress"] = dict(progress)
    if log_path is not None:
        values["log_path"] = log_path
    held = session.execute(
        update(table)
        .where(row_of(work), table.state == BlockState.RUNNING, table.lease_owner == owner)
        .values(**values)
        .execution_options(synchronize_session=False)
    )
    if changed_rows(held) != 1:
        return LeaseAnswer.LOST
    wanted = session.scalar(select(Block.cancel_requested).where(Block.id == work.block_id))
    return LeaseAnswer.CANCEL if wanted and not work.part else LeaseAnswer.HELD


def may_try_again(tries: int, max_tries: int, error_type: str) -> bool:
    """Whether tries are left. A full disk has more: it is no fault of the work, which waits until there is room."""
    return tries < max_tries * (ROOM_FACTOR if error_type == DISK_FULL else 1)


def fail_work(
    session: Session,
    work: Work,
    *,
    owner: str,
    error_type: str,
    message: str,
    retriable: bool,
    retry_seconds: float = 0.0,
    now: datetime | None = None,
) -> BlockState:
    """RUNNING becomes FAILED; or READY again, after a pause, when the error is retriable and tries are left.

    What a part that FAILED means for its block is settled in the same transaction.

    Returns
    -------
    BlockState
        FAILED, READY, or CANCELLED instead of READY if a person wants the block stopped.

    Raises
    ------
    StateConflictError
        If ``owner`` does not hold it any more.
    """
    now = now or database_now(session)
    row = held_work(session, work, owner)
    again = retriable and may_try_again(row.tries, row.max_tries, error_type)
    values: dict[str, Any] = {**NO_LEASE, "error_type": error_type, "error_message": message}
    if again and isinstance(row, Block) and row.cancel_requested:
        target, text, values["finished_at"] = BlockState.CANCELLED, f"stopped on request, after: {message}", now
    elif again:
        target, values["not_before"] = BlockState.READY, now + timedelta(seconds=retry_seconds)
        text = f"try {row.tries} of {row.max_tries} failed: {message}"
    else:
        target, text = BlockState.FAILED, message
        values["finished_at"] = now
        if row.started_at is not None:
            values["duration"] = (now - row.started_at).total_seconds()
    change_work(session, work, target, from_states={BlockState.RUNNING}, actor=owner, text=text, now=now, **values)
    if work.part and target is BlockState.FAILED:
        settle_parts(session, work.block_id, actor=owner, now=now)
    return target


def release_work(session: Session, work: Work, *, owner: str, reason: str, now: datetime | None = None) -> bool:
    """A worker that is told to stop gives its work back: RUNNING becomes READY and the try does not count.

    A block that a person wants stopped becomes CANCELLED.
    """
    if not work.part and session.scalar(select(Block.cancel_requested).where(row_of(work))):
        return confirm_cancel(session, work, owner=owner, now=now)
    return change_work(
        session,
        work,
        BlockState.READY,
        from_states={BlockState.RUNNING},
        actor=owner,
        owner=owner,
        text=reason,
        now=now,
        **NO_LEASE,
        tries=table_of(work).tries - 1,
    )


def confirm_cancel(session: Session, work: Work, *, owner: str, now: datetime | None = None) -> bool:
    """The worker has stopped a block that a person cancelled: RUNNING becomes CANCELLED."""
    now = now or database_now(session)
    return change_work(
        session,
        work,
        BlockState.CANCELLED,
        from_states={BlockState.RUNNING},
        actor=owner,
        owner=owner,
        text="stopped on request",
        now=now,
        **NO_LEASE,
        finished_at=now,
    )


def release_expired_leases(session: Session, *, actor: str, now: datetime | None = None) -> list[Work]:
    """RUNNING blocks and parts whose worker is silent become READY, or FAILED when all tries are used up.

    Returns
    -------
    list of Work
        Those concerned.
    """
    now = now or database_now(session)
    silent: list[Block | BlockPart] = []
    for table in (Block, BlockPart):
        silent += session.scalars(select(table).where(table.state == BlockState.RUNNING, table.lease_until < now))
    return [work_of(row) for row in silent if _release_silent(session, row, actor=actor, now=now)]


def _release_silent(session: Session, row: Block | BlockPart, *, actor: str, now: datetime) -> bool:
    work = work_of(row)
    text = f"worker {row.lease_owner} is silent: its lease has run out (try {row.tries} of {row.max_tries})"
    values: dict[str, Any] = dict(NO_LEASE)
    if isinstance(row, Block) and row.cancel_requested:
        target, values["finished_at"] = BlockState.CANCELLED, now
    elif row.tries < row.max_tries:
        target = BlockState.READY
    else:
        target = BlockState.FAILED
        values |= {"error_type": "lease_lost", "error_message": text, "finished_at": now}
    released = change_work(
        session,
        work,
        target,
        from_states={BlockState.RUNNING},
        actor=actor,
        owner=row.lease_owner,
        text=text,
        now=now,
        **values,
    )
    if released and work.part and target is BlockState.FAILED:
        settle_parts(session, work.block_id, actor=actor, now=now)
    return released


def running_leases(session: Session) -> list[tuple[Work, str]]:
    """Blocks and parts that run, with the holders of their leases."""
    found: list[tuple[Work, str]] = []
    for table in (Block, BlockPart):
        query: Select[Any] = select(table).where(table.state == BlockState.RUNNING, table.lease_owner.is_not(None))
        found += [(work_of(row), row.lease_owner) for row in session.scalars(query)]
    return found


def end_lease(session: Session, work: Work, owner: str) -> None:
    """Let the lease of a holder that is known to be dead run out now."""
    table = table_of(work)
    session.execute(
        update(table)
        .where(row_of(work), table.state == BlockState.RUNNING, table.lease_owner == owner)
        .values(lease_until=database_now(session) - timedelta(seconds=1))
        .execution_options(synchronize_session=False)
    )
