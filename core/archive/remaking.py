"""What has expired is made again: by the block that made it, before a block that needs it, or when a person says so.

The block of an expired product goes from DONE to READY like one that is run again, with the mark ``remaking``. Blocks
that are to take the product wait for it as for one that was never made. While it is made again, what the block made
counts as before (`core.archive.models.WORK_IS_DONE`). If the new files have the content of the old ones, only these
rows change (`core.archive.results.restore_products`).

If it fails or is cancelled, the block is DONE as it was, and the error stands with it: what is finished stays finished.
Blocks that need the product are then incomplete, by the next plan, and nobody tries again but a person.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime

from sqlalchemy import or_, select
from sqlalchemy.orm import Session, aliased

from core.archive.clock import database_now
from core.archive.events import record_event
from core.archive.expiry import USABLE, has_files
from core.archive.models import Block, BlockInput, Frame, Product
from core.archive.states import BLOCK_OPEN_STATES, BlockState, FrameState, InputKind, ProductState
from core.archive.transitions import change_block
from core.archive.verdicts import DOUBT
from core.errors import NotFoundError, StateConflictError

__all__ = ["await_expired", "make_again", "note_not_remade"]

_OPENED = (BlockState.READY, BlockState.WAITING)


def await_expired(
    session: Session, block_ids: Collection[int], *, actor: str, insist: bool = False, now: datetime | None = None
) -> None:
    """Blocks that became READY or WAITING wait for those of their inputs that have expired; these are made again.

    Parameters
    ----------
    insist : bool
        Try also what could not be made again the last time: a person wants it.

    Raises
    ------
    StateConflictError
        If a person wants it and a raw frame is gone.
    """
    now = now or database_now(session)
    waits: dict[int, list[BlockInput]] = {}
    for entry in _expired_inputs(session, block_ids, insist=insist):
        entry.kind = InputKind.PLANNED
        waits.setdefault(entry.block_id, []).append(entry)
    session.flush()
    for number, entries in waits.items():
        block, text = session.get_one(Block, number), _wait_words(session, entries)
        block.state_reason = text
        if block.state is BlockState.READY:
            change_block(
                session, number, BlockState.WAITING, from_states={BlockState.READY}, actor=actor, text=text, now=now
            )
        for source in {entry.source_block for entry in entries if entry.source_block is not None}:
            if source.state is BlockState.DONE and (insist or source.error_message is None):
                text = f"made again, since block {block.name} needs what has expired"
                _begin(session, source, actor=actor, text=text, priority=block.priority, insist=insist, now=now)


def make_again(
    session: Session, block_id: int, *, actor: str, reason: str = "", now: datetime | None = None
) -> BlockState:
    """Make the expired products of a block again, since a person wants it.

    Returns
    -------
    BlockState
        READY; WAITING if something that the block takes has expired, too; the present state if it is being made again.

    Raises
    ------
    NotFoundError
        If there is no such block.
    StateConflictError
        If nothing of it has expired, it was replaced, or a raw frame is gone.
    """
    now = now or database_now(session)
    block = session.get(Block, block_id)
    if block is None:
        raise NotFoundError(f"there is no block number {block_id}", block=block_id)
    if block.remaking:
        return block.state
    expired = select(Product.id).where(
        Product.block_id == block_id, Product.expired_at.is_not(None), Product.state != ProductState.SUPERSEDED
    )
    if session.scalar(expired.limit(1)) is None:
        raise StateConflictError(f"nothing that block {block.name} made has expired", block=block.name)
    if block.state is not BlockState.DONE:
        raise StateConflictError(
            f"block {block.name} is {block.state}: only what a block that is done has made is made again",
            block=block.name,
        )
    _begin(session, block, actor=actor, text=reason or f"made again for {actor}", priority=0, insist=True, now=now)
    return session.get_one(Block, block_id).state


def note_not_remade(session: Session, block: Block, *, actor: str, now: datetime) -> None:
    """Say of a block that was made again which of its files are still not there, if any."""
    units = session.scalars(
        select(Product.unit)
        .where(Product.block_id == block.id, Product.expired_at.is_not(None), Product.state.in_(USABLE))
        .distinct()
        .order_by(Product.unit)
    ).all()
    if not units:
        return
    words = block.unit_words.named([unit for unit in units if unit is not None]) if units != [None] else "a file"
    text = f"what has expired could not be made again: {words} failed"
    block.error_type, block.error_message = "not_made_again", text
    record_event(session, DOUBT, block.name, actor=actor, text=text, now=now)


def _wait_words(session: Session, entries: Iterable[BlockInput]) -> str:
    """What a block waits for whose inputs have expired."""
    words = []
    for entry in entries:
        when = session.scalar(
            select(Product.expired_at)
            .where(
                Product.block_id == entry.source_block_id,
                Product.tag == entry.role,
                Product.expired_at.is_not(None),
            )
            .limit(1)
        )
        name = entry.source_block.name if entry.source_block is not None else ""
        words.append(f"{name}: its {entry.role} expired on {when:%Y-%m-%d} and is made again")
    return f"waits for {'; '.join(dict.fromkeys(words))}"


def _expired_inputs(session: Session, block_ids: Collection[int], *, insist: bool) -> list[BlockInput]:
    """Inputs whose files are to be made again: all that expired, but of a block that failed to do so what is left."""
    source = aliased(Block)
    query = (
        select(BlockInput)
        .join(Block, Block.id == BlockInput.block_id)
        .join(source, source.id == BlockInput.source_block_id)
        .where(
            Block.id.in_(block_ids),
            Block.state.in_(_OPENED),
            BlockInput.kind.in_((InputKind.PRODUCT, InputKind.PLANNED)),
            source.state.in_((BlockState.DONE, *BLOCK_OPEN_STATES)),
            has_files(expired=True),
        )
        .order_by(BlockInput.block_id, BlockInput.position)
    )
    if not insist:
        query = query.where(or_(source.error_message.is_(None), ~has_files(expired=False)))
    return list(session.scalars(query))


def _begin(
    session: Session, block: Block, *, actor: str, text: str, priority: int, insist: bool, now: datetime
) -> None:
    """DONE becomes READY, unless a raw frame is gone: then that is said, to the person or with the block."""
    gone = _gone_frame(session, block)
    if gone is not None:
        text = f"what has expired cannot be made again: the raw frame {gone} is not there any more"
        if insist:
            raise StateConflictError(f"block {block.name}: {text}", block=block.name, frame=gone)
        block.error_type, block.error_message = "file_gone", text
        record_event(session, DOUBT, block.name, actor=actor, text=block.error_message, now=now)
        return
    change_block(
        session,
        block.id,
        BlockState.READY,
        from_states={BlockState.DONE},
        actor=actor,
        text=text,
        now=now,
        remaking=True,
        priority=max(block.priority, priority),
        tries=0,
        not_before=None,
        error_type=None,
        error_message=None,
    )
    await_expired(session, [block.id], actor=actor, insist=insist, now=now)


def _gone_frame(session: Session, block: Block) -> str | None:
    """Name of a raw frame that a block takes and that is not there (any more)."""
    return session.scalar(
        select(Frame.dp_id)
        .join(BlockInput, BlockInput.frame_id == Frame.id)
        .where(BlockInput.block_id == block.id, Frame.state != FrameState.PRESENT)
        .order_by(Frame.dp_id)
        .limit(1)
    )
