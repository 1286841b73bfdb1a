"""Questions of the daemons and the command line to the archive (those of the pages are in `core.archive.pages`).

Every function takes a read session; none changes anything.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Select, func, or_, select
from sqlalchemy.orm import Session, selectinload

from core.archive.clock import database_now
from core.archive.models import Block, BlockInput, BlockPart, Frame, Product, units_of_mask
from core.archive.outside import files_of_set
from core.archive.records import LostUnit, Work
from core.archive.states import BLOCK_OPEN_STATES, BlockState, InputKind, ProductState
from core.archive.transitions import row_of, table_of
from core.errors import MissingInputError, NotFoundError
from core.instruments.registry import instrument

__all__ = [
    "BlockTask",
    "TaskFile",
    "block_recipe",
    "block_states",
    "block_task",
    "block_units",
    "expected_bytes",
    "lacking_units",
    "lost_parts",
    "next_try_time",
    "nights_with_frames",
    "queued_count",
    "ready_work",
    "runnable_work",
    "shared_work_name",
    "shared_work_names",
    "waits_for_long",
    "work_tries",
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
    work_name : str or None
        Name of the work directory that the workers of its parts share.
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
    work_name: str | None = None


def ready_work(session: Session, limit: int = 100, now: datetime | None = None) -> list[Work]:
    """READY blocks and parts whose pause after a failure is over: most urgent, then begun, then oldest first."""
    return [work for work, _ in _in_turn(session, {BlockState.READY}, now, limit=limit)]


def runnable_work(
    session: Session, nights: Iterable[date] | None = None, now: datetime | None = None
) -> list[tuple[Work, str]]:
    """What a runner may claim now, READY or QUEUED, with the name of its block, in the order of `ready_work`."""
    return _in_turn(session, {BlockState.READY, BlockState.QUEUED}, now, nights=nights)


def _in_turn(
    session: Session,
    states: Collection[BlockState],
    now: datetime | None,
    *,
    nights: Iterable[date] | None = None,
    limit: int | None = None,
) -> list[tuple[Work, str]]:
    """Work in some states whose pause is over, with the name of its block, the next first."""
    now = now or database_now(session)
    found: list[tuple[tuple[Any, ...], Work, str]] = []
    for table in (BlockPart, Block):
        query: Any = select(Block.id, Block.name, Block.priority, Block.mjd_mid)
        if table is BlockPart:
            query = query.add_columns(BlockPart.key, BlockPart.position).join_from(Block, BlockPart)
        if nights is not None:
            query = query.where(Block.night.in_(sorted(nights)))
        order = (Block.priority.desc(), Block.mjd_mid, Block.id, *((BlockPart.position,) if table is BlockPart else ()))
        due = or_(table.not_before.is_(None), table.not_before <= now)
        for number, name, priority, mjd, *part in session.execute(
            query.where(table.state.in_(states), due).order_by(*order).limit(limit)
        ):
            key, position = part or ("", 0)
            found.append(((-priority, not key, mjd, number, position), Work(number, key), name))
    return [(work, name) for _, work, name in sorted(found, key=lambda entry: entry[0])[:limit]]


def waits_for_long(session: Session, seconds: float, now: datetime | None = None) -> bool:
    """Whether something was queued longer ago than that and is not taken yet."""
    limit = (now or database_now(session)) - timedelta(seconds=seconds)
    return any(
        session.scalar(select(table.state).where(table.state == BlockState.QUEUED, table.queued_at < limit).limit(1))
        for table in (Block, BlockPart)
    )


def queued_count(session: Session) -> int:
    """How many blocks and parts are on the broker."""
    return sum(
        session.scalar(select(func.count()).select_from(table).where(table.state == BlockState.QUEUED)) or 0
        for table in (Block, BlockPart)
    )


def expected_bytes(session: Session, block_id: int) -> int:
    """Size of the products of the last block of the same recipe and tag that has any; 0 if there is none."""
    block = session.get_one(Block, block_id)
    last = session.scalar(
        select(Block.id)
        .join(Product, Product.block_id == Block.id)
        .where(Block.recipe == block.recipe, Block.tag == block.tag)
        .order_by(Block.mjd_mid.desc())
        .limit(1)
    )
    return session.scalar(select(func.coalesce(func.sum(Product.size), 0)).where(Product.block_id == last)) or 0


def next_try_time(session: Session, nights: Iterable[date] | None = None) -> datetime | None:
    """When the pause of the next READY block or part ends; None if none pauses."""
    ends: list[datetime] = []
    for table in (Block, BlockPart):
        query = select(func.min(table.not_before)).where(table.state == BlockState.READY)
        if table is BlockPart:
            query = query.join(Block, Block.id == BlockPart.block_id)
        if nights is not None:
            query = query.where(Block.night.in_(sorted(nights)))
        end = session.scalar(query)
        ends += [] if end is None else [end]
    return min(ends, default=None)


def work_tries(session: Session, work: Work) -> int:
    """How often a block or part was begun; 0 if there is none such."""
    return session.scalar(select(table_of(work).tries).where(row_of(work))) or 0


def block_recipe(session: Session, block_id: int) -> str:
    """Name of the recipe of a block.

    Raises
    ------
    NotFoundError
        If there is no such block.
    """
    recipe = session.scalar(select(Block.recipe).where(Block.id == block_id))
    if recipe is None:
        raise NotFoundError(f"there is no block number {block_id}", block=block_id)
    return recipe


def block_units(session: Session, block_id: int) -> tuple[int, ...]:
    """Units that a block reduces; none if there is no such block."""
    return units_of_mask(session.scalar(select(Block.unit_mask).where(Block.id == block_id)) or 0)


def lost_parts(session: Session, block_id: int) -> list[BlockPart]:
    """Parts of a block that failed, in order."""
    query = select(BlockPart).where(BlockPart.block_id == block_id, BlockPart.state == BlockState.FAILED)
    return list(session.scalars(query.order_by(BlockPart.position)))


def shared_work_name(session: Session, block_id: int) -> str | None:
    """Name of the work directory that the workers of the parts of a block share; None if there is none (any more)."""
    return session.scalar(select(Block.work_name).where(Block.id == block_id))


def shared_work_names(session: Session) -> frozenset[str]:
    """Names of the work directories that the workers of parts share now."""
    return frozenset(session.scalars(select(Block.work_name).where(Block.work_name.is_not(None))))


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
        work_name=block.work_name,
    )


def lacking_units(session: Session, block: Block) -> tuple[LostUnit, ...]:
    """Units of a block for which a block that makes one of its calibrations has no product, by unit.

    That block reduced other units: here they are reduced, and these are left out. What is of the field or the air
    (`core.instruments.rules.MasterSource.of_field`) serves all units.
    """
    word = block.unit_words.word
    of_field = {source.tag for source in instrument(block.instrument).plan.masters if source.of_field}
    lost: dict[int, LostUnit] = {}
    for entry in block.inputs:
        source = entry.source_block
        if entry.kind is not InputKind.PRODUCT or source is None or entry.role in of_field:
            continue
        rows = session.execute(_usable_products(entry).with_only_columns(Product.unit)).scalars().all()
        present = set(rows)
        if None in present:  # a merged file: it has what its block has
            present |= set(source.units) - {item["unit"] for item in source.lost_units}
        why = {item["unit"]: LostUnit(**item).told(word) for item in source.lost_units}
        for unit in set(block.units) - present - lost.keys():
            reason = why.get(unit, f"its product of {word} {unit} is withdrawn, or expired")
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
            Product.expired_at.is_(None),
        )
        .order_by(Product.unit)
    )


def nights_with_frames(session: Session, since: datetime | None = None) -> list[date]:
    """Nights that have frames (ingested after ``since``, if given), ascending."""
    query = select(Frame.night).distinct().order_by(Frame.night)
    if since is not None:
        query = query.where(Frame.ingested_at > since)
    return list(session.scalars(query))
