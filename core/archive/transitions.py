"""The one way in which the state of a block or of a part changes: a compare-and-set and an event in one transaction.

Who changes what: the dispatcher sends work to the broker (here), workers hold it by a lease (`core.archive.leases`),
divide blocks (`core.archive.parts`) and finish them (`core.archive.finishing`), persons give orders
(`core.archive.orders`).

Every function there and here takes the session of a write transaction (`Archive.write`) and leaves the commit to it, so
that a caller may put several changes in one. ``now`` can be given for tests. A change that does not fit the present
state raises `StateConflictError`, except where the answer "somebody else was faster" is a normal one
(`queue_work`, `claim_work`, `heartbeat`): these return it.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, CursorResult, Select, and_, select, update
from sqlalchemy.orm import Session

from core.archive.clock import database_now
from core.archive.events import record_event
from core.archive.models import Block, BlockPart
from core.archive.records import Work
from core.archive.states import BLOCK_CHANGES, PART_CHANGES, BlockState
from core.archive.verdicts import DOUBT, values_changed
from core.errors import NotFoundError, StateConflictError

__all__ = [
    "NO_LEASE",
    "change_block",
    "change_work",
    "changed_rows",
    "held_work",
    "queue_work",
    "requeue_stale",
    "row_of",
    "table_of",
    "unqueue_work",
    "work_of",
]

NO_LEASE: Final[dict[str, Any]] = {"lease_owner": None, "lease_until": None}
_EVENT_KINDS: Final = {Block: "block", BlockPart: "part"}
_CHANGES: Final = {Block: BLOCK_CHANGES, BlockPart: PART_CHANGES}
_GIVEN_UP: Final = (BlockState.FAILED, BlockState.CANCELLED)


def table_of(work: Work) -> type[Block] | type[BlockPart]:
    """The table in which a piece of work is a row."""
    return BlockPart if work.part else Block


def row_of(work: Work) -> ColumnElement[bool]:
    """The condition that finds its row there."""
    if work.part:
        return and_(BlockPart.block_id == work.block_id, BlockPart.key == work.part)
    return Block.id == work.block_id


def work_of(row: Block | BlockPart) -> Work:
    """The piece of work that a row is."""
    return Work(row.id) if isinstance(row, Block) else Work(row.block_id, row.key)


def change_work(
    session: Session,
    work: Work,
    to_state: BlockState,
    *,
    from_states: Collection[BlockState],
    actor: str,
    text: str = "",
    owner: str | None = None,
    now: datetime | None = None,
    **values: Any,
) -> bool:
    """Change the state of a block or part that is in one of ``from_states`` (and held by ``owner``, if given).

    ``values`` are further columns set by the same statement. A block that is made again (`core.archive.remaking`)
    becomes DONE instead of FAILED or CANCELLED, with the error: what was done stays done.

    Returns
    -------
    bool
        False if it is in another state or held by somebody else; nothing is changed then.

    Raises
    ------
    NotFoundError
        If there is no such block or part.
    """
    now = now or database_now(session)
    table = table_of(work)
    query = select(Block.name, table.state, table.lease_owner).where(row_of(work))
    if table is BlockPart:
        query = query.join(Block, Block.id == BlockPart.block_id)
    row = session.execute(query).one_or_none()
    if row is None:
        raise _unknown(work)
    name, old, lease_owner = row
    if old not in from_states or to_state not in _CHANGES[table][old]:
        return False
    if owner is not None and lease_owner != owner:
        return False
    kept = table is Block and to_state in _GIVEN_UP and _is_remade(session, work)
    if kept:
        to_state, text = BlockState.DONE, f"what has expired could not be made again: {text}"
        values = {"error_type": "cancelled", **values, "error_message": text, "remaking": False}
    values.setdefault("state_reason", text)
    changed = session.execute(
        update(table)
        .where(row_of(work), table.state == old)
        .values(state=to_state, **values)
        .execution_options(synchronize_session="fetch")
    )
    if changed_rows(changed) != 1:
        return False
    subject = f"{name} {work.part}".strip()
    kind = _EVENT_KINDS[table]
    if kept:
        record_event(session, DOUBT, name, actor=actor, text=text, now=now)
    elif table is Block and BlockState.DONE in (old, to_state) and not values.get("remaking"):
        values_changed(session, session.get_one(Block, work.block_id))
    record_event(session, kind, subject, actor=actor, text=text, from_state=old, to_state=to_state, now=now)
    return True


def _is_remade(session: Session, work: Work) -> bool:
    return bool(session.scalar(select(Block.remaking).where(Block.id == work.block_id)))


def change_block(
    session: Session,
    block_id: int,
    to_state: BlockState,
    *,
    from_states: Collection[BlockState],
    actor: str,
    **more: Any,
) -> bool:
    """Change the state of a block: `change_work` by its number."""
    return change_work(session, Work(block_id), to_state, from_states=from_states, actor=actor, **more)


def changed_rows(result: Any) -> int:
    """How many rows a statement changed; -1 if the driver cannot say."""
    return result.rowcount if isinstance(result, CursorResult) else -1


def held_work(session: Session, work: Work, owner: str) -> Block | BlockPart:
    """The row of the work that ``owner`` holds.

    Raises
    ------
    NotFoundError
        If there is no such block or part.
    StateConflictError
        If ``owner`` does not hold it any more.
    """
    query: Select[Any] = select(table_of(work)).where(row_of(work))
    row: Block | BlockPart | None = session.scalar(query.execution_options(populate_existing=True))
    if row is None:
        raise _unknown(work)
    if row.state is not BlockState.RUNNING or row.lease_owner != owner:
        block = row if isinstance(row, Block) else row.block
        part = f", {work.part}," if work.part else ""
        raise StateConflictError(f"block {block.name}{part} is no longer held by {owner}", block=block.name)
    return row


def _unknown(work: Work) -> NotFoundError:
    part = f" with a part {work.part}" if work.part else ""
    return NotFoundError(f"there is no block number {work.block_id}{part}", block=work.block_id)


def queue_work(session: Session, work: Work, *, actor: str, now: datetime | None = None) -> bool:
    """READY becomes QUEUED: call it, commit, then send the message (a lost message is sent again later).

    Returns
    -------
    bool
        False if it is not READY any more.
    """
    now = now or database_now(session)
    return change_work(
        session,
        work,
        BlockState.QUEUED,
        from_states={BlockState.READY},
        actor=actor,
        now=now,
        queued_at=now,
        not_before=None,
    )


def unqueue_work(
    session: Session, work: Work, *, actor: str, reason: str, seconds: float = 0.0, now: datetime | None = None
) -> bool:
    """QUEUED becomes READY: the message could not be sent, or it cannot be done now; after a pause, if one is given."""
    now = now or database_now(session)
    return change_work(
        session,
        work,
        BlockState.READY,
        from_states={BlockState.QUEUED},
        actor=actor,
        text=reason,
        now=now,
        not_before=now + timedelta(seconds=seconds) if seconds else None,
    )


def requeue_stale(
    session: Session, *, older_than: float, actor: str, messages: int = 0, now: datetime | None = None
) -> list[Work]:
    """QUEUED blocks and parts whose message got lost become READY again; returns them.

    Parameters
    ----------
    older_than : float
        Only what no worker took within so many seconds.
    messages : int
        How many messages wait at the broker: so many of what is QUEUED are not lost, the latest.
    """
    now = now or database_now(session)
    limit = now - timedelta(seconds=older_than)
    queued: list[Block | BlockPart] = []
    for table in (Block, BlockPart):
        queued += session.scalars(select(table).where(table.state == BlockState.QUEUED))
    queued.sort(key=lambda row: row.queued_at or now)
    lost = queued[: max(len(queued) - messages, 0)]
    stale = [row for row in lost if row.queued_at is not None and row.queued_at < limit]
    return [
        work
        for work in map(work_of, stale)
        if change_work(
            session,
            work,
            BlockState.READY,
            from_states={BlockState.QUEUED},
            actor=actor,
            text=f"no worker took it within {older_than:g} s",
            now=now,
        )
    ]
