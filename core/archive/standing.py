"""How the blocks of the archive stand: which nights wait for what, which blocks use what must not be used, what failed.

Planning regards it. All of it follows from the rows, so that a restarted dispatcher knows as much as before.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime

from sqlalchemy import or_, select
from sqlalchemy.orm import Session, aliased

from core.archive.models import Block, BlockInput, Product
from core.archive.states import BLOCK_OPEN_STATES, BlockState, InputKind, ProductState
from core.cascade.plan import EXPOSING
from core.cascade.signature import signature_with

__all__ = [
    "blocks_with_stale_inputs",
    "failed_signatures",
    "nights_executed",
    "nights_no_longer_running",
    "nights_waiting_for_frames",
    "nights_with_open_blocks",
    "redone_signatures",
]


def nights_executed(session: Session, since: datetime) -> set[date]:
    """Nights of the blocks that run now or ended after a moment."""
    query = select(Block.night).where(or_(Block.state == BlockState.RUNNING, Block.finished_at > since))
    return set(session.scalars(query.distinct()))


def nights_waiting_for_frames(session: Session) -> set[date]:
    """Nights with blocks that wait for the remaining exposures of a template or observation block."""
    query = (
        select(Block.night)
        .join(BlockInput, BlockInput.block_id == Block.id)
        .where(Block.state == BlockState.INCOMPLETE, BlockInput.rule.in_(("arriving", EXPOSING)))
    )
    return set(session.scalars(query.distinct()))


def nights_no_longer_running(session: Session, names: Iterable[str]) -> set[date]:
    """Nights of those among the named blocks that do not run any more."""
    query = select(Block.night).where(Block.name.in_(list(names)), Block.state != BlockState.RUNNING)
    return set(session.scalars(query.distinct()))


def nights_with_open_blocks(session: Session, first: date, last: date) -> set[date]:
    """Nights of a span in which blocks are still to be done."""
    return set(
        session.scalars(
            select(Block.night).where(Block.night.between(first, last), Block.state.in_(BLOCK_OPEN_STATES)).distinct()
        )
    )


def blocks_with_stale_inputs(session: Session) -> dict[int, date]:
    """Blocks (with their nights) that use or wait for something that must not be used any more.

    That is a product that was rejected or superseded, or a block that failed, was cancelled or was replaced.
    """
    source = aliased(Block)
    bad_source = or_(
        source.state == BlockState.SUPERSEDED,
        (BlockInput.kind == InputKind.PLANNED) & source.state.in_((BlockState.FAILED, BlockState.CANCELLED)),
    )
    by_block = (
        select(Block.id, Block.night)
        .join(BlockInput, BlockInput.block_id == Block.id)
        .join(source, BlockInput.source_block_id == source.id)
        .where(Block.state != BlockState.SUPERSEDED, bad_source)
    )
    by_product = (
        select(Block.id, Block.night)
        .join(BlockInput, BlockInput.block_id == Block.id)
        .join(
            Product,
            or_(
                Product.id == BlockInput.product_id,
                (Product.block_id == BlockInput.source_block_id) & (Product.tag == BlockInput.role),
            ),
        )
        .where(
            Block.state != BlockState.SUPERSEDED,
            BlockInput.kind.in_((InputKind.PRODUCT, InputKind.STATIC)),
            Product.state == ProductState.REJECTED,
        )
    )
    return {number: night for query in (by_block, by_product) for number, night in session.execute(query.distinct())}


def failed_signatures(session: Session, first_mjd: float, last_mjd: float) -> dict[str, str]:
    """Planned signatures of the blocks that failed or were cancelled, with the reason."""
    rows = session.execute(
        select(Block.plan_signature, Block.state, Block.error_message, Block.state_reason).where(
            Block.mjd_mid.between(first_mjd, last_mjd), Block.state.in_((BlockState.FAILED, BlockState.CANCELLED))
        )
    )
    return {signature: message or reason or str(state) for signature, state, message, reason in rows}


def redone_signatures(session: Session, first_mjd: float, last_mjd: float) -> dict[str, str]:
    """Planned signature to signature of the work, of the blocks that a person runs with other parameters."""
    rows = session.execute(
        select(Block.plan_signature, Block.parameters).where(
            Block.mjd_mid.between(first_mjd, last_mjd),
            Block.state != BlockState.SUPERSEDED,
            or_(Block.signature.is_(None), Block.signature != Block.plan_signature),
        )
    )
    return {planned: signature_with(planned, parameters) for planned, parameters in rows if parameters}
