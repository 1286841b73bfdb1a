"""The one way in which the state of a block changes: a compare-and-set and an event in one transaction.

Who changes what: the dispatcher sends blocks to the broker (here), workers hold them by a lease
(`core.archive.leases`) and finish them (`core.archive.finishing`), persons give orders (`core.archive.orders`).

Every function there and here takes the session of a write transaction (`Archive.write`) and leaves the commit to it, so
that a caller may put several changes in one. ``now`` can be given for tests. A change that does not fit the present
state raises `StateConflictError`, except where the answer "somebody else was faster" is a normal one
(`queue_block`, `claim_block`, `heartbeat`): these return it.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import CursorResult, select, update
from sqlalchemy.orm import Session

from core.archive.base import utc_now
from core.archive.events import record_event
from core.archive.models import Block
from core.archive.states import BLOCK_CHANGES, BlockState
from core.errors import NotFoundError

__all__ = ["change_block", "changed_rows", "queue_block", "requeue_stale", "unqueue_block"]


def change_block(
    session: Session,
    block_id: int,
    to_state: BlockState,
    *,
    from_states: Collection[BlockState],
    actor: str,
    text: str = "",
    owner: str | None = None,
    now: datetime | None = None,
    **values: Any,
) -> bool:
    """Change the state of a block if it is in one of ``from_states`` (and, if given, ``owner`` holds its lease).

    ``values`` are further columns set by the same statement.

    Returns
    -------
    bool
        False if the block is in another state or held by somebody else; nothing is changed then.

    Raises
    ------
    NotFoundError
        If there is no such block.
    """
    now = now or utc_now()
    row = session.execute(select(Block.name, Block.state, Block.lease_owner).where(Block.id == block_id)).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no block number {block_id}", block=block_id)
    name, old, lease_owner = row
    if old not in from_states or to_state not in BLOCK_CHANGES[old]:
        return False
    if owner is not None and lease_owner != owner:
        return False
    values.setdefault("state_reason", text)
    changed = session.execute(
        update(Block)
        .where(Block.id == block_id, Block.state == old)
        .values(state=to_state, **values)
        .execution_options(synchronize_session="fetch")
    )
    if changed_rows(changed) != 1:
        return False
    record_event(session, "block", name, actor=actor, text=text, from_state=old, to_state=to_state, now=now)
    return True


def changed_rows(result: Any) -> int:
    """How many rows a statement changed; -1 if the driver cannot say."""
    return result.rowcount if isinstance(result, CursorResult) else -1


def queue_block(session: Session, block_id: int, *, actor: str, now: datetime | None = None) -> bool:
    """READY becomes QUEUED: call it, commit, then send the message (a lost message is sent again later).

    Returns
    -------
    bool
        False if the block is not READY any more.
    """
    now = now or utc_now()
    return change_block(
        session,
        block_id,
        BlockState.QUEUED,
        from_states={BlockState.READY},
        actor=actor,
        now=now,
        queued_at=now,
        not_before=None,
    )


def unqueue_block(session: Session, block_id: int, *, actor: str, reason: str, now: datetime | None = None) -> bool:
    """QUEUED becomes READY: the message could not be sent."""
    return change_block(
        session, block_id, BlockState.READY, from_states={BlockState.QUEUED}, actor=actor, text=reason, now=now
    )


def requeue_stale(session: Session, *, older_than: float, actor: str, now: datetime | None = None) -> list[int]:
    """QUEUED blocks that no worker took within ``older_than`` seconds become READY again; returns their ids."""
    now = now or utc_now()
    limit = now - timedelta(seconds=older_than)
    stale = session.scalars(select(Block.id).where(Block.state == BlockState.QUEUED, Block.queued_at < limit))
    return [
        block_id
        for block_id in stale.all()
        if change_block(
            session,
            block_id,
            BlockState.READY,
            from_states={BlockState.QUEUED},
            actor=actor,
            text=f"no worker took it within {older_than:g} s",
            now=now,
        )
    ]
