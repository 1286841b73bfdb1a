"""A worker and its block: claimed with a lease, kept by heartbeats, given back, failed, or lost when silent."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from core.archive.base import utc_now
from core.archive.models import Block
from core.archive.states import BlockState
from core.archive.transitions import change_block, changed_rows
from core.errors import NotFoundError, StateConflictError

__all__ = [
    "NO_LEASE",
    "LeaseAnswer",
    "claim_block",
    "confirm_cancel",
    "end_lease",
    "fail_block",
    "heartbeat",
    "held_block",
    "release_block",
    "release_expired_leases",
    "running_leases",
]

NO_LEASE: Final[Mapping[str, Any]] = {"lease_owner": None, "lease_until": None}


class LeaseAnswer(StrEnum):
    """Answer to a heartbeat."""

    HELD = "held"  # go on
    CANCEL = "cancel"  # a person wants the block stopped: stop it, then `confirm_cancel`
    LOST = "lost"  # the block is no longer yours: stop, write nothing


def claim_block(
    session: Session, block_id: int, *, owner: str, lease_seconds: float, now: datetime | None = None
) -> bool:
    """Take a QUEUED (or READY) block with a lease: it is RUNNING and its tries are one more.

    Returns
    -------
    bool
        False if somebody else has it, it is not to be run any more, or it pauses after a failure: drop the message.
    """
    now = now or utc_now()
    pause = session.scalar(select(Block.not_before).where(Block.id == block_id, Block.state == BlockState.READY))
    if pause is not None and pause > now:  # an old message that came twice must not use up the tries
        return False
    return change_block(
        session,
        block_id,
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
        cancel_requested=False,
        error_type=None,
        error_message=None,
        progress={},
        tries=Block.tries + 1,
    )


def heartbeat(
    session: Session,
    block_id: int,
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
        Progress by unit, ``{"01": {"phase": "combine", "fraction": 0.4}}``; replaces the former.

    Returns
    -------
    LeaseAnswer
    """
    now = now or utc_now()
    values: dict[str, Any] = {"lease_until": now + timedelta(seconds=lease_seconds), "heartbeat_at": now}
    if progress is not None:
        values["progress"] = dict(progress)
    if log_path is not None:
        values["log_path"] = log_path
    held = session.execute(
        update(Block)
        .where(Block.id == block_id, Block.state == BlockState.RUNNING, Block.lease_owner == owner)
        .values(**values)
        .execution_options(synchronize_session=False)
    )
    if changed_rows(held) != 1:
        return LeaseAnswer.LOST
    wanted = session.scalar(select(Block.cancel_requested).where(Block.id == block_id))
    return LeaseAnswer.CANCEL if wanted else LeaseAnswer.HELD


def held_block(session: Session, block_id: int, owner: str) -> Block:
    """The block that ``owner`` holds.

    Raises
    ------
    NotFoundError
        If there is no such block.
    StateConflictError
        If ``owner`` does not hold it any more.
    """
    block = session.get(Block, block_id, populate_existing=True)
    if block is None:
        raise NotFoundError(f"there is no block number {block_id}", block=block_id)
    if block.state is not BlockState.RUNNING or block.lease_owner != owner:
        raise StateConflictError(f"block {block.name} is no longer held by {owner}", block=block.name)
    return block


def fail_block(
    session: Session,
    block_id: int,
    *,
    owner: str,
    error_type: str,
    message: str,
    retriable: bool,
    retry_seconds: float = 0.0,
    now: datetime | None = None,
) -> BlockState:
    """RUNNING becomes FAILED; or READY again, after a pause, when the error is retriable and tries are left.

    Returns
    -------
    BlockState
        FAILED, READY, or CANCELLED instead of READY if a person wants it stopped.

    Raises
    ------
    StateConflictError
        If ``owner`` does not hold the block any more.
    """
    now = now or utc_now()
    block = held_block(session, block_id, owner)
    again = retriable and block.tries < block.max_tries
    values: dict[str, Any] = {**NO_LEASE, "error_type": error_type[:64], "error_message": message}
    if again and block.cancel_requested:
        target, text, values["finished_at"] = BlockState.CANCELLED, f"stopped on request, after: {message}", now
    elif again:
        target, values["not_before"] = BlockState.READY, now + timedelta(seconds=retry_seconds)
        text = f"try {block.tries} of {block.max_tries} failed: {message}"
    else:
        target, text = BlockState.FAILED, message
        values["finished_at"] = now
        if block.started_at is not None:
            values["duration"] = (now - block.started_at).total_seconds()
    change_block(session, block_id, target, from_states={BlockState.RUNNING}, actor=owner, text=text, now=now, **values)
    return target


def release_block(session: Session, block_id: int, *, owner: str, reason: str, now: datetime | None = None) -> bool:
    """A worker that is told to stop gives its block back: RUNNING becomes READY and the try does not count.

    A block that a person wants stopped becomes CANCELLED.
    """
    if session.scalar(select(Block.cancel_requested).where(Block.id == block_id)):
        return confirm_cancel(session, block_id, owner=owner, now=now)
    return change_block(
        session,
        block_id,
        BlockState.READY,
        from_states={BlockState.RUNNING},
        actor=owner,
        owner=owner,
        text=reason,
        now=now,
        **NO_LEASE,
        tries=Block.tries - 1,
    )


def confirm_cancel(session: Session, block_id: int, *, owner: str, now: datetime | None = None) -> bool:
    """The worker has stopped a block that a person cancelled: RUNNING becomes CANCELLED."""
    now = now or utc_now()
    return change_block(
        session,
        block_id,
        BlockState.CANCELLED,
        from_states={BlockState.RUNNING},
        actor=owner,
        owner=owner,
        text="stopped on request",
        now=now,
        **NO_LEASE,
        finished_at=now,
    )


def release_expired_leases(session: Session, *, actor: str, now: datetime | None = None) -> list[int]:
    """RUNNING blocks whose worker is silent become READY, or FAILED when all tries are used up.

    Returns
    -------
    list of int
        The blocks concerned.
    """
    now = now or utc_now()
    lost = session.execute(
        select(Block.id, Block.lease_owner, Block.tries, Block.max_tries, Block.cancel_requested).where(
            Block.state == BlockState.RUNNING, Block.lease_until < now
        )
    ).all()
    released = []
    for block_id, owner, tries, max_tries, cancelled in lost:
        text = f"worker {owner} is silent: its lease has run out (try {tries} of {max_tries})"
        values: dict[str, Any] = dict(NO_LEASE)
        if cancelled:
            target, values["finished_at"] = BlockState.CANCELLED, now
        elif tries < max_tries:
            target = BlockState.READY
        else:
            target = BlockState.FAILED
            values |= {"error_type": "lease_lost", "error_message": text, "finished_at": now}
        if change_block(
            session,
            block_id,
            target,
            from_states={BlockState.RUNNING},
            actor=actor,
            owner=owner,
            text=text,
            now=now,
            **values,
        ):
            released.append(block_id)
    return released


def running_leases(session: Session) -> list[tuple[int, str]]:
    """Blocks that run, with the holders of their leases."""
    rows = session.execute(select(Block.id, Block.lease_owner).where(Block.state == BlockState.RUNNING))
    return [(number, owner) for number, owner in rows if owner is not None]


def end_lease(session: Session, block_id: int, owner: str) -> None:
    """Let the lease of a holder that is known to be dead run out now."""
    session.execute(
        update(Block)
        .where(Block.id == block_id, Block.state == BlockState.RUNNING, Block.lease_owner == owner)
        .values(lease_until=utc_now() - timedelta(seconds=1))
        .execution_options(synchronize_session=False)
    )
