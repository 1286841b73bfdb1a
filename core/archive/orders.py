"""What persons order: stop a block, run it again, let it go first; certify or reject a product."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from core.archive.clock import database_now
from core.archive.events import record_event
from core.archive.models import Block, Product
from core.archive.parts import drop_parts
from core.archive.remaking import await_expired
from core.archive.states import BlockState, InputKind, ProductState
from core.archive.transitions import change_block
from core.archive.verdicts import product_judged
from core.errors import NotFoundError, StateConflictError

__all__ = ["cancel_block", "judge_block", "rerun_block", "set_priority", "set_product_state"]


def cancel_block(
    session: Session, block_id: int, *, actor: str, reason: str = "", now: datetime | None = None
) -> BlockState:
    """Stop a block. One that runs is stopped by its workers at the next heartbeat.

    Returns
    -------
    BlockState
        CANCELLED, or RUNNING while the worker has still to obey; DONE if it was only made again.

    Raises
    ------
    StateConflictError
        If the block is in a final state.
    """
    now = now or database_now(session)
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
        return session.get_one(Block, block_id).state
    block = session.get_one(Block, block_id)
    if block.work_name is not None:  # nobody holds it as a whole
        _cancel_divided(session, block, actor=actor, reason=reason or f"cancelled by {actor}", now=now)
        return block.state
    if block.state is not BlockState.RUNNING:
        raise StateConflictError(
            f"block {block.name} is {block.state}: only a block that is still to be done can be cancelled",
            block=block.name,
        )
    block.cancel_requested = True
    record_event(session, "block", block.name, actor=actor, text=f"cancel requested {reason}".strip(), now=now)
    return BlockState.RUNNING


def _cancel_divided(session: Session, block: Block, *, actor: str, reason: str, now: datetime) -> None:
    """Workers of its parts hear it at their next heartbeat."""
    drop_parts(session, block.id, actor=actor, reason=reason, now=now)
    change_block(
        session,
        block.id,
        BlockState.CANCELLED,
        from_states={BlockState.RUNNING},
        actor=actor,
        text=reason,
        now=now,
        finished_at=now,
        work_name=None,
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
    """Do a DONE, FAILED or CANCELLED block again, with its tries counted anew; what it takes that expired goes first.

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
    await_expired(session, [block_id], actor=actor, insist=True, now=now)
    return session.get_one(Block, block_id).state


def set_priority(session: Session, block_id: int, priority: int, *, actor: str) -> None:
    """Change the priority of a block (higher goes first)."""
    block = session.get(Block, block_id)
    if block is None:
        raise NotFoundError(f"there is no block number {block_id}", block=block_id)
    record_event(session, "block", block.name, actor=actor, text=f"priority {block.priority} -> {priority}")
    block.priority = priority


def judge_block(
    session: Session, block_id: int, state: ProductState, *, actor: str, comment: str = ""
) -> list[Product]:
    """Certify or reject all products of a block.

    Parameters
    ----------
    state : ProductState
        CERTIFIED or REJECTED, or PROVISIONAL to take a verdict back.

    Returns
    -------
    list of Product
        Those that have the state now.

    Raises
    ------
    StateConflictError
        If the block has no products.
    """
    block = session.get_one(Block, block_id)
    products = [product for product in block.products if product.state is not ProductState.SUPERSEDED]
    if not products:
        raise StateConflictError(f"block {block.name} is {block.state} and has no products", block=block.name)
    for product in products:
        set_product_state(session, product.id, state, actor=actor, text=comment)
    return products


def set_product_state(session: Session, product_id: int, state: ProductState, *, actor: str, text: str = "") -> None:
    """Certify, reject or supersede a product; the former state stays in the events.

    Raises
    ------
    NotFoundError
        If there is no such product.
    StateConflictError
        If a later run of its block has replaced it.
    """
    product = session.get(Product, product_id)
    if product is None:
        raise NotFoundError(f"there is no product number {product_id}", product=product_id)
    old = product.state
    if old is ProductState.SUPERSEDED:
        raise StateConflictError(
            f"product {product.file_name} was replaced by a later run of its block and cannot be judged",
            product=product_id,
        )
    product.state = state
    product.judge = actor if state in (ProductState.CERTIFIED, ProductState.REJECTED) else None
    # By number: nights have files of the same names.
    record_event(session, "product", str(product.id), actor=actor, text=text, from_state=old, to_state=state)
    session.flush()
    product_judged(session, product, actor=actor)
