"""A block is done: products, QC1 values, scores and state in one transaction, and what follows for its dependants."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import and_, exists, or_, select, update
from sqlalchemy.orm import Session, aliased

from core.archive.clock import database_now
from core.archive.expiry import has_files
from core.archive.models import Block, BlockInput, BlockPart, Product, unit_mask, units_of_mask
from core.archive.parts import end_part, part_peaks
from core.archive.queries import lacking_units
from core.archive.records import BlockResult, Work
from core.archive.remaking import await_expired, note_not_remade
from core.archive.results import restore_products, store_result
from core.archive.states import BlockState, InputKind, ProductState
from core.archive.transitions import NO_LEASE, change_block, held_work
from core.archive.verdicts import judge_done
from core.errors import MissingInputError, StateConflictError

__all__ = ["finish_block", "settle_inputs"]


def finish_block(
    session: Session,
    work: Work,
    result: BlockResult,
    *,
    owner: str,
    certify: bool = False,
    now: datetime | None = None,
) -> None:
    """RUNNING becomes DONE: products, QC1 values, verdict and state in one transaction.

    ``work`` is the block, or the last step of a block that was done in parts: ``owner`` holds that. ``certify`` says
    whether calibrations of which all scores are good are certified.

    Blocks that only waited for this one become READY in the same transaction. Doing it again after a crash
    between rename and commit gives the same rows: earlier rows of the block are replaced, but for a block that is made
    again and has the same content. units that an earlier run of the block had lost and that this one has are made up
    for in the blocks that had to leave them out.

    Raises
    ------
    StateConflictError
        If ``owner`` does not hold the block any more, or a block with the same signature is DONE already.
    NotFoundError
        If a QC1 value names a parameter that is not registered.
    """
    now = now or database_now(session)
    row = held_work(session, work, owner)
    block, block_id = (row, row.id) if isinstance(row, Block) else (row.block, row.block_id)
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
    lost_before = block.failed_unit_mask | block.skipped_unit_mask
    as_before = block.remaking and restore_products(session, block, result, now)
    if not as_before:
        store_result(session, block, result, now)
    restored = lost_before & ~(block.failed_unit_mask | block.skipped_unit_mask)
    duration = result.duration
    if duration is None and block.started_at is not None:
        duration = (now - block.started_at).total_seconds()
    peaks = [peak for peak in (block.peak_mb, result.peak_mb) if peak is not None]
    if isinstance(row, BlockPart):
        end_part(session, work, owner=owner, peak_mb=result.peak_mb, now=now)
        peaks += part_peaks(session, block_id)
    judge_done(session, block, certify=certify, actor=owner, now=now)
    done = change_block(
        session,
        block_id,
        BlockState.DONE,
        from_states={BlockState.RUNNING},
        actor=owner,
        owner=None if work.part else owner,
        text="; ".join(filter(None, ("made again, with the same content" if as_before else "", result.text))),
        now=now,
        **NO_LEASE,
        work_name=None,
        remaking=False,
        peak_mb=max(peaks, default=None),
        signature=signature,
        finished_at=now,
        duration=duration,
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
    if as_before:
        note_not_remade(session, block, actor=owner, now=now)
    settle_inputs(session, source_block_id=block_id, actor=owner, now=now)
    if restored:
        _make_up(session, block, restored, actor=owner, now=now)
    _catch_up(session, block, actor=owner, now=now)


def _make_up(session: Session, block: Block, restored: int, *, actor: str, now: datetime) -> None:
    """Blocks that are done without units that exist now are done again, and what depends on them after them."""
    names = {block.id: block.name}
    again: list[Block] = []
    sources = [block.id]
    while sources:
        dependants = session.scalars(
            select(Block)
            .join(BlockInput, BlockInput.block_id == Block.id)
            .where(
                BlockInput.source_block_id.in_(sources),
                BlockInput.kind == InputKind.PRODUCT,
                Block.state == BlockState.DONE,
                Block.skipped_unit_mask.bitwise_and(restored) != 0,
                Block.id.not_in(names),
            )
            .distinct()
            .order_by(Block.id)
        ).all()
        again += dependants
        names |= {row.id: row.name for row in dependants}
        sources = [row.id for row in dependants]
    to_come = {row.id for row in again}
    for row in again:
        waits = False
        for entry in row.inputs:
            if entry.kind is InputKind.PRODUCT and entry.source_block_id in to_come:
                entry.kind, waits = InputKind.PLANNED, True
        session.flush()
        _do_again(session, row, restored, names[block.id], waits=waits, actor=actor, now=now)


def _catch_up(session: Session, block: Block, *, actor: str, now: datetime) -> None:
    """Do a block again that left out units whose calibrations came while it ran."""
    lacked = unit_mask(
        item["unit"]
        for item in block.lost_units
        if not item["failed"] and item["error_type"] == MissingInputError.error_type
    )
    came = lacked & ~unit_mask(entry.unit for entry in lacking_units(session, block))
    if came:
        _do_again(session, block, came, "its calibrations", waits=False, actor=actor, now=now)


def _do_again(
    session: Session, block: Block, units: int, source: str, *, waits: bool, actor: str, now: datetime
) -> None:
    change_block(
        session,
        block.id,
        BlockState.WAITING if waits else BlockState.READY,
        from_states={BlockState.DONE},
        actor=actor,
        text=f"{block.unit_words.named(units_of_mask(units))} came from {source}: done again, as it had been left out",
        now=now,
        tries=0,
        not_before=None,
    )
    await_expired(session, [block.id], actor=actor, now=now)


def settle_inputs(session: Session, *, source_block_id: int, actor: str, now: datetime | None = None) -> list[int]:
    """Inputs planned from a DONE block become existing products; waiting blocks with no other wait become READY.

    Not so those whose files have all expired: they are to be made again first.

    Returns
    -------
    list of int
        Blocks that are READY now.
    """
    now = now or database_now(session)
    session.execute(
        update(BlockInput)
        .where(
            BlockInput.source_block_id == source_block_id,
            BlockInput.kind == InputKind.PLANNED,
            or_(~has_files(expired=True), has_files(expired=False)),
        )
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
