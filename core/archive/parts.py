"""A block whose parts are leased one by one: divided after its preparation, finished when all its parts are done.

The block stays RUNNING without a lease of its own; its parts hold leases. The last step is a row like a part: it
waits, and becomes READY in the transaction in which the last other part ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.archive.clock import database_now
from core.archive.models import Block, BlockPart
from core.archive.records import NewPart, Work
from core.archive.states import BlockState
from core.archive.transitions import NO_LEASE, change_block, change_work, held_work, work_of
from core.errors import NonRetriableError, StateConflictError

__all__ = ["FINISH", "divide_block", "drop_parts", "end_part", "part_peaks", "settle_parts"]

FINISH: Final = "finish"  # key of the last step
_ENDED: Final = frozenset({BlockState.DONE, BlockState.FAILED})


def divide_block(
    session: Session,
    block_id: int,
    parts: Iterable[NewPart],
    *,
    owner: str,
    work_name: str,
    survives_loss: bool,
    peak_mb: float | None = None,
    now: datetime | None = None,
) -> None:
    """A block is prepared: its parts become READY, and its lease ends while it stays RUNNING.

    Parameters
    ----------
    parts : iterable of NewPart
        In the order in which they are to be done.
    owner : str
        Who prepared it.
    work_name : str
        Name of the work directory that the workers of the parts share (`ProductStore.shared_directory`).
    survives_loss : bool
        Whether the block can be finished when a part failed.
    peak_mb : float, optional
        Largest memory of the preparation [MiB].

    Raises
    ------
    StateConflictError
        If ``owner`` does not hold the block any more.
    """
    now = now or database_now(session)
    work = Work(block_id)
    block = held_work(session, work, owner)
    if not isinstance(block, Block):
        raise TypeError(work)
    last = NewPart(FINISH, "last step")
    rows = [
        BlockPart(
            key=part.key,
            label=part.label,
            position=position,
            state=BlockState.WAITING if part is last else BlockState.READY,
            required=part is last or not survives_loss,
            max_tries=block.max_tries,
        )
        for position, part in enumerate((*parts, last))
    ]
    block.parts = rows
    block.lease_owner = block.lease_until = None
    block.work_name, block.peak_mb = work_name, peak_mb
    block.state_reason = f"prepared; {len(rows) - 1} parts are to be done"
    session.flush()


def end_part(
    session: Session,
    work: Work,
    *,
    owner: str,
    peak_mb: float | None = None,
    now: datetime | None = None,
) -> None:
    """RUNNING becomes DONE for a part; if it was the last one, the last step becomes READY.

    Raises
    ------
    StateConflictError
        If ``owner`` does not hold it any more.
    """
    now = now or database_now(session)
    part = held_work(session, work, owner)
    duration = None if part.started_at is None else (now - part.started_at).total_seconds()
    change_work(
        session,
        work,
        BlockState.DONE,
        from_states={BlockState.RUNNING},
        actor=owner,
        owner=owner,
        now=now,
        **NO_LEASE,
        finished_at=now,
        duration=duration,
        peak_mb=peak_mb,
    )
    settle_parts(session, work.block_id, actor=owner, now=now)


def part_peaks(session: Session, block_id: int) -> list[float]:
    """Largest memory of each part of a block that was measured [MiB]."""
    peaks = session.scalars(select(BlockPart.peak_mb).where(BlockPart.block_id == block_id))
    return [peak for peak in peaks if peak is not None]


def settle_parts(session: Session, block_id: int, *, actor: str, now: datetime) -> None:
    """What the end of a part means for its block: nothing yet, the last step, or its failure."""
    rows = session.scalars(
        select(BlockPart)
        .where(BlockPart.block_id == block_id)
        .order_by(BlockPart.position)
        .execution_options(populate_existing=True)
    ).all()
    *parts, last = rows
    failed = [row for row in rows if row.state is BlockState.FAILED]
    fatal = [row for row in failed if row.required] or (failed if len(failed) == len(parts) else [])
    if fatal:
        _fail(session, block_id, fatal[0], actor=actor, now=now)
    elif last.state is BlockState.WAITING and all(row.state in _ENDED for row in parts):
        lost = f", {len(failed)} of them lost" if failed else ""
        change_work(
            session,
            work_of(last),
            BlockState.READY,
            from_states={BlockState.WAITING},
            actor=actor,
            text=f"{len(parts)} parts are done{lost}",
            now=now,
        )


def _fail(session: Session, block_id: int, part: BlockPart, *, actor: str, now: datetime) -> None:
    block = session.get_one(Block, block_id, populate_existing=True)
    message = f"{part.label} failed: {part.error_message}"
    drop_parts(session, block_id, actor=actor, reason=message, now=now)
    failed = change_block(
        session,
        block_id,
        BlockState.FAILED,
        from_states={BlockState.RUNNING},
        actor=actor,
        text=message,
        now=now,
        **NO_LEASE,
        error_type=part.error_type or NonRetriableError.error_type,
        error_message=message,
        finished_at=now,
        duration=None if block.started_at is None else (now - block.started_at).total_seconds(),
        work_name=None,
    )
    if not failed:
        raise StateConflictError(f"block {block.name} is {block.state}, and yet {part.label} ends", block=block.name)


def drop_parts(session: Session, block_id: int, *, actor: str, reason: str, now: datetime) -> None:
    """Parts that are not done become CANCELLED: their workers hear it at the next heartbeat and write nothing."""
    open_parts: Sequence[BlockPart] = session.scalars(
        select(BlockPart).where(BlockPart.block_id == block_id, BlockPart.state.not_in((*_ENDED, BlockState.CANCELLED)))
    ).all()
    for part in open_parts:
        change_work(
            session,
            work_of(part),
            BlockState.CANCELLED,
            from_states={part.state},
            actor=actor,
            text=reason,
            now=now,
            **NO_LEASE,
            finished_at=now,
        )
