"""The changes of state of blocks and products: each is a compare-and-set and an event in one transaction.

Every function takes the session of a write transaction (`Archive.write`) and leaves the commit to it, so that a
caller may put several changes in one. ``now`` can be given for tests. A change that does not fit the present
state raises `StateConflictError`, except where the answer "somebody else was faster" is a normal one
(`claim_block`, `heartbeat`): these return it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import CursorResult, and_, exists, or_, select, update
from sqlalchemy.orm import Session, aliased

from core.archive.base import utc_now
from core.archive.events import record_event
from core.archive.models import Block, BlockInput, Product
from core.archive.records import BlockResult
from core.archive.results import store_result
from core.archive.states import BLOCK_CHANGES, BlockState, InputKind, ProductState
from core.errors import NotFoundError, StateConflictError

__all__ = [
    "LeaseAnswer",
    "cancel_block",
    "change_block",
    "claim_block",
    "confirm_cancel",
    "fail_block",
    "finish_block",
    "heartbeat",
    "queue_block",
    "release_block",
    "release_expired_leases",
    "requeue_stale",
    "rerun_block",
    "set_priority",
    "set_product_state",
    "settle_inputs",
]

_NO_LEASE: Mapping[str, Any] = {"lease_owner": None, "lease_until": None}


class LeaseAnswer(StrEnum):
    """Answer to a heartbeat."""

    HELD = "held"  # go on
    CANCEL = "cancel"  # a person wants the block stopped: stop it, then `confirm_cancel`
    LOST = "lost"  # the block is no longer yours: stop, write nothing


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
    if _rowcount(changed) != 1:
        return False
    record_event(session, "block", name, actor=actor, text=text, from_state=old, to_state=to_state, now=now)
    return True


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


def claim_block(
    session: Session, block_id: int, *, owner: str, lease_seconds: float, now: datetime | None = None
) -> bool:
    """Take a QUEUED (or READY) block with a lease: it is RUNNING and its tries are one more.

    Returns
    -------
    bool
        False if somebody else has it, or it is not to be run any more: drop the message.
    """
    now = now or utc_now()
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
        Progress by IFU, ``{"01": {"phase": "combine", "fraction": 0.4}}``; replaces the former.

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
    if _rowcount(held) != 1:
        return LeaseAnswer.LOST
    wanted = session.scalar(select(Block.cancel_requested).where(Block.id == block_id))
    return LeaseAnswer.CANCEL if wanted else LeaseAnswer.HELD


def finish_block(
    session: Session, block_id: int, result: BlockResult, *, owner: str, now: datetime | None = None
) -> None:
    """RUNNING becomes DONE: products, QC1 values, scores and state in one transaction.

    Blocks that only waited for this one become READY in the same transaction. Doing it again after a crash
    between rename and commit gives the same rows: earlier rows of the block are replaced.

    Raises
    ------
    StateConflictError
        If ``owner`` does not hold the block any more, or a block with the same signature is DONE already.
    NotFoundError
        If a QC1 value names a parameter that is not registered.
    """
    now = now or utc_now()
    block = _running_block(session, block_id, owner)
    signature = result.signature or block.signature
    twin = None
    if signature is not None:
        twin = session.scalar(
            select(Block.name).where(Block.signature == signature, Block.state == BlockState.DONE, Block.id != block_id)
        )
    if twin is not None:
        raise StateConflictError(
            f"block {twin} already did the same work as {block.name}", block=block.name, signature=signature
        )
    scores = store_result(session, block, result, now)
    duration = result.duration
    if duration is None and block.started_at is not None:
        duration = (now - block.started_at).total_seconds()
    outliers = sum(score == 1 for score in scores)
    scored = [score for score in scores if score is not None]
    done = change_block(
        session,
        block_id,
        BlockState.DONE,
        from_states={BlockState.RUNNING},
        actor=owner,
        owner=owner,
        text=result.text,
        now=now,
        **_NO_LEASE,
        signature=signature,
        finished_at=now,
        duration=duration,
        score=max(scored) if scored else None,
        n_outliers=outliers,
    )
    if not done:
        raise StateConflictError(f"block {block.name} is no longer held by {owner}", block=block.name)
    # What this block replaces keeps its products until now, when there are better ones.
    replaced = select(Block.id).where(Block.superseded_by_id == block_id)
    session.execute(
        update(Product)
        .where(
            Product.block_id.in_(replaced),
            Product.state.in_((ProductState.PROVISIONAL, ProductState.CERTIFIED)),
        )
        .values(state=ProductState.SUPERSEDED)
        .execution_options(synchronize_session="fetch")
    )
    settle_inputs(session, source_block_id=block_id, actor=owner, now=now)


def settle_inputs(session: Session, *, source_block_id: int, actor: str, now: datetime | None = None) -> list[int]:
    """Inputs planned from a DONE block become existing products; waiting blocks with no other wait become READY.

    Returns
    -------
    list of int
        Blocks that are READY now.
    """
    now = now or utc_now()
    session.execute(
        update(BlockInput)
        .where(BlockInput.source_block_id == source_block_id, BlockInput.kind == InputKind.PLANNED)
        .values(kind=InputKind.PRODUCT)
        .execution_options(synchronize_session="fetch")
    )
    other = aliased(BlockInput)
    still_open = exists().where(
        other.block_id == Block.id,
        or_(other.kind == InputKind.PLANNED, and_(other.kind == InputKind.MISSING, other.required)),
    )
    waiting = session.scalars(
        select(Block.id)
        .join(BlockInput, BlockInput.block_id == Block.id)
        .where(BlockInput.source_block_id == source_block_id, Block.state == BlockState.WAITING, ~still_open)
        .distinct()
    ).all()
    return [
        block_id
        for block_id in waiting
        if change_block(
            session,
            block_id,
            BlockState.READY,
            from_states={BlockState.WAITING},
            actor=actor,
            text="all inputs exist",
            now=now,
        )
    ]


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
        FAILED or READY.

    Raises
    ------
    StateConflictError
        If ``owner`` does not hold the block any more.
    """
    now = now or utc_now()
    block = _running_block(session, block_id, owner)
    again = retriable and block.tries < block.max_tries
    values: dict[str, Any] = {**_NO_LEASE, "error_type": error_type[:64], "error_message": message}
    if again:
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
    """A worker that is told to stop gives its block back: RUNNING becomes READY and the try does not count."""
    return change_block(
        session,
        block_id,
        BlockState.READY,
        from_states={BlockState.RUNNING},
        actor=owner,
        owner=owner,
        text=reason,
        now=now,
        **_NO_LEASE,
        tries=Block.tries - 1,
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
        values: dict[str, Any] = dict(_NO_LEASE)
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


def cancel_block(
    session: Session, block_id: int, *, actor: str, reason: str = "", now: datetime | None = None
) -> BlockState:
    """Stop a block. One that runs is stopped by its worker at the next heartbeat.

    Returns
    -------
    BlockState
        CANCELLED, or RUNNING while the worker has still to obey.

    Raises
    ------
    StateConflictError
        If the block is in a final state.
    """
    now = now or utc_now()
    waiting = {BlockState.INCOMPLETE, BlockState.WAITING, BlockState.READY, BlockState.QUEUED}
    if change_block(
        session,
        block_id,
        BlockState.CANCELLED,
        from_states=waiting,
        actor=actor,
        text=reason or f"cancelled by {actor}",
        now=now,
        finished_at=now,
    ):
        return BlockState.CANCELLED
    block = session.get_one(Block, block_id)
    if block.state is not BlockState.RUNNING:
        raise StateConflictError(
            f"block {block.name} is {block.state}: only a block that is still to be done can be cancelled",
            block=block.name,
        )
    block.cancel_requested = True
    record_event(session, "block", block.name, actor=actor, text=f"cancel requested {reason}".strip(), now=now)
    return BlockState.RUNNING


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
        **_NO_LEASE,
        finished_at=now,
    )


def rerun_block(
    session: Session,
    block_id: int,
    *,
    actor: str,
    reason: str = "",
    parameters: Mapping[str, Any] | None = None,
    now: datetime | None = None,
) -> BlockState:
    """Do a DONE, FAILED or CANCELLED block again, with its tries counted anew.

    Parameters
    ----------
    parameters : mapping, optional
        New recipe parameters; the present ones are kept if not given.

    Returns
    -------
    BlockState
        READY, or WAITING if an input is not made yet.

    Raises
    ------
    StateConflictError
        If the block is in another state or lacks an input.
    """
    block = session.get(Block, block_id)
    if block is None:
        raise NotFoundError(f"there is no block number {block_id}", block=block_id)
    kinds = {entry.kind for entry in block.inputs if entry.required}
    if InputKind.MISSING in kinds:
        raise StateConflictError(f"block {block.name} lacks an input and cannot run", block=block.name)
    target = BlockState.WAITING if InputKind.PLANNED in kinds else BlockState.READY
    values: dict[str, Any] = {"tries": 0, "error_type": None, "error_message": None, "not_before": None}
    if parameters is not None:
        values |= {"parameters": dict(parameters), "signature": None}
    changed = change_block(
        session,
        block_id,
        target,
        from_states={BlockState.DONE, BlockState.FAILED, BlockState.CANCELLED},
        actor=actor,
        text=reason or f"run again by {actor}",
        now=now,
        **values,
    )
    if not changed:
        raise StateConflictError(
            f"block {block.name} is {block.state}: only one that is done, failed or cancelled can run again",
            block=block.name,
        )
    return target


def set_priority(session: Session, block_id: int, priority: int, *, actor: str) -> None:
    """Change the priority of a block (higher goes first)."""
    block = session.get(Block, block_id)
    if block is None:
        raise NotFoundError(f"there is no block number {block_id}", block=block_id)
    record_event(session, "block", block.name, actor=actor, text=f"priority {block.priority} -> {priority}")
    block.priority = priority


def set_product_state(session: Session, product_id: int, state: ProductState, *, actor: str, text: str = "") -> None:
    """Certify, reject or supersede a product; the former state stays in the events."""
    product = session.get(Product, product_id)
    if product is None:
        raise NotFoundError(f"there is no product number {product_id}", product=product_id)
    old = product.state
    product.state = state
    record_event(session, "product", product.file_name, actor=actor, text=text, from_state=old, to_state=state)


def _running_block(session: Session, block_id: int, owner: str) -> Block:
    block = session.get(Block, block_id, populate_existing=True)
    if block is None:
        raise NotFoundError(f"there is no block number {block_id}", block=block_id)
    if block.state is not BlockState.RUNNING or block.lease_owner != owner:
        raise StateConflictError(f"block {block.name} is no longer held by {owner}", block=block.name)
    return block


def _rowcount(result: Any) -> int:
    return result.rowcount if isinstance(result, CursorResult) else -1
