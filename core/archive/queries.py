"""Questions of the daemons and the command line to the archive (those of the pages are in `core.archive.pages`).

Every function takes a read session; none changes anything.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from sqlalchemy import Select, func, or_, select
from sqlalchemy.orm import Session, selectinload

from core.archive.base import utc_now
from core.archive.models import Block, BlockInput, Frame, Product
from core.archive.outside import files_of_set
from core.archive.records import LostUnit
from core.archive.states import BLOCK_OPEN_STATES, BlockState, InputKind, ProductState
from core.errors import MissingInputError, NotFoundError

__all__ = [
    "BlockTask",
    "TaskFile",
    "block_states",
    "block_task",
    "lacking_units",
    "nights_with_frames",
    "ready_blocks",
]


@dataclass(frozen=True)
class TaskFile:
    """One file for the set-of-frames of a block. ``unit`` is None for raw, merged and static files."""

    tag: str
    path: str
    unit: int | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class BlockTask:
    """All that a worker needs to execute a block, as plain values.

    Attributes
    ----------
    raws, calibrations : tuple of TaskFile
        Raw frames by time; calibrations by role, one per unit or merged.
    lacking : tuple of LostUnit
        Units that cannot be reduced, since a calibration of them does not exist.
    """

    block_id: int
    name: str
    instrument: str
    unit_word: str
    recipe: str
    recipe_version: str
    tag: str
    night: date
    mjd_mid: float
    units: tuple[int, ...]
    state: BlockState
    tries: int
    max_tries: int
    signature: str | None
    plan_signature: str
    rules_hash: str
    raws: tuple[TaskFile, ...]
    calibrations: tuple[TaskFile, ...]
    parameters: dict[str, Any] = field(default_factory=dict)
    lacking: tuple[LostUnit, ...] = ()


def ready_blocks(session: Session, limit: int = 100, now: datetime | None = None) -> list[tuple[int, str]]:
    """READY blocks whose pause after a failure is over: (id, recipe), most urgent and oldest data first."""
    now = now or utc_now()
    rows = session.execute(
        select(Block.id, Block.recipe)
        .where(Block.state == BlockState.READY, or_(Block.not_before.is_(None), Block.not_before <= now))
        .order_by(Block.priority.desc(), Block.mjd_mid, Block.id)
        .limit(limit)
    )
    return [(number, recipe) for number, recipe in rows]


def block_states(session: Session, night: date | None = None, only_open: bool = False) -> dict[BlockState, int]:
    """Number of blocks by state, of one night or of all."""
    query = select(Block.state, func.count()).group_by(Block.state)
    if night is not None:
        query = query.where(Block.night == night)
    if only_open:
        query = query.where(Block.state.in_(BLOCK_OPEN_STATES))
    return {BlockState(state): count for state, count in session.execute(query)}


def block_task(session: Session, block_id: int) -> BlockTask:
    """All that a worker needs to execute a block.

    Raises
    ------
    NotFoundError
        If there is no such block.
    MissingInputError
        If a required input is missing or not made yet.
    """
    block = session.scalar(
        select(Block)
        .where(Block.id == block_id)
        .options(
            selectinload(Block.inputs).selectinload(BlockInput.frame),
            selectinload(Block.inputs).selectinload(BlockInput.product),
            selectinload(Block.inputs).selectinload(BlockInput.source_block),
        )
    )
    if block is None:
        raise NotFoundError(f"there is no block number {block_id}", block=block_id)
    raws: list[TaskFile] = []
    calibrations: list[TaskFile] = []
    for entry in block.inputs:
        if entry.kind is InputKind.RAW and entry.frame is not None:
            raws.append(TaskFile(entry.role, entry.frame.path, None, entry.frame.sha256))
        elif entry.kind is InputKind.STATIC and entry.static_path is not None:
            calibrations.append(TaskFile(entry.role, entry.static_path))
        elif entry.kind is InputKind.PRODUCT:
            calibrations.extend(_product_files(session, entry, block.name))
        elif entry.required:
            raise MissingInputError(
                f"input {entry.role} of block {block.name} is {entry.kind}: {entry.reason}",
                block=block.name,
                role=entry.role,
            )
    return BlockTask(
        block_id=block.id,
        name=block.name,
        instrument=block.instrument,
        unit_word=block.unit_words.word,
        recipe=block.recipe,
        recipe_version=block.recipe_version,
        tag=block.tag,
        night=block.night,
        mjd_mid=block.mjd_mid,
        units=block.units,
        state=block.state,
        tries=block.tries,
        max_tries=block.max_tries,
        signature=block.signature,
        plan_signature=block.plan_signature,
        rules_hash=block.rules_hash,
        raws=tuple(raws),
        calibrations=tuple(calibrations),
        parameters=dict(block.parameters),
        lacking=lacking_units(session, block),
    )


def lacking_units(session: Session, block: Block) -> tuple[LostUnit, ...]:
    """Units of a block for which a block that makes one of its calibrations has no product, by unit.

    That block reduced other units: here they are reduced, and these are left out.
    """
    word = block.unit_words.word
    lost: dict[int, LostUnit] = {}
    for entry in block.inputs:
        source = entry.source_block
        if entry.kind is not InputKind.PRODUCT or source is None:
            continue
        rows = session.execute(_usable_products(entry).with_only_columns(Product.unit)).scalars().all()
        present = set(rows)
        if None in present:  # a merged file: it has what its block has
            present |= set(source.units) - {item["unit"] for item in source.lost_units}
        why = {item["unit"]: LostUnit(**item).told(word) for item in source.lost_units}
        for unit in set(block.units) - present - lost.keys():
            reason = why.get(unit, f"its product of {word} {unit} is withdrawn")
            message = f"there is no {entry.role} of this {word}, as of block {source.name}: {reason}"
            lost[unit] = LostUnit(unit, failed=False, error_type=MissingInputError.error_type, message=message)
    return tuple(lost[unit] for unit in sorted(lost))


def _product_files(session: Session, entry: BlockInput, name: str) -> list[TaskFile]:
    if entry.product is not None:
        rows = files_of_set(session, entry.product)
    else:
        rows = list(session.scalars(_usable_products(entry)))
    if not rows and entry.required:
        raise MissingInputError(
            f"no usable product {entry.role} is left for block {name}: plan the night again",
            block=name,
            role=entry.role,
        )
    return [TaskFile(entry.role, row.path, row.unit, row.sha256) for row in rows]


def _usable_products(entry: BlockInput) -> Select[Product]:
    return (
        select(Product)
        .where(
            Product.block_id == entry.source_block_id,
            Product.tag == entry.role,
            Product.state.in_((ProductState.PROVISIONAL, ProductState.CERTIFIED)),
        )
        .order_by(Product.unit)
    )


def nights_with_frames(session: Session, since: datetime | None = None) -> list[date]:
    """Nights that have frames (ingested after ``since``, if given), ascending."""
    query = select(Frame.night).distinct().order_by(Frame.night)
    if since is not None:
        query = query.where(Frame.ingested_at > since)
    return list(session.scalars(query))
