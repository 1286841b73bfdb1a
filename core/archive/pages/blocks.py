"""Blocks, their inputs and what waits for what."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from sqlalchemy import bindparam, func, select
from sqlalchemy.orm import Session, joinedload, selectinload, undefer

from core.archive.models import (
    HAS_FAILED_UNITS,
    Block,
    BlockInput,
    BlockPart,
    Event,
    Frame,
    Product,
    Qc1Parameter,
    Score,
)
from core.archive.pages.slices import Slice, slice_by_id
from core.archive.states import BlockState, InputKind
from core.errors import NotFoundError
from core.qc1.axes import Position

__all__ = [
    "LastDone",
    "Outlier",
    "block_events",
    "block_inputs",
    "block_products",
    "blocks_in_states",
    "blocks_of_night",
    "blocks_using",
    "calibration_inputs",
    "expected_seconds",
    "find_block",
    "last_done_by_tag",
    "last_failed",
    "last_outliers",
    "list_blocks",
    "running_blocks",
]


_NEWEST_OUTLIERS = 2000
_PARTS = selectinload(Block.parts).undefer(BlockPart.progress)
# What a page of a block asks each time: to build a statement takes as long as to execute it.
_BLOCK: Final = (
    select(Block).where(Block.name == bindparam("name")).options(undefer(Block.progress), undefer(Block.plots), _PARTS)
)
_INPUTS: Final = (
    select(BlockInput)
    .where(BlockInput.block_id == bindparam("block"))
    .options(
        joinedload(BlockInput.frame),
        joinedload(BlockInput.source_block),
        joinedload(BlockInput.product),
        undefer(BlockInput.refused),
    )
    .order_by(BlockInput.position, BlockInput.id)
)
_PRODUCTS: Final = select(Product).where(Product.block_id == bindparam("block")).order_by(Product.tag, Product.unit)
_EVENTS: Final = (
    select(Event)
    .where(Event.kind == "block", Event.subject == bindparam("name"))
    .order_by(Event.time.desc(), Event.id.desc())
    .limit(bindparam("limit"))
)
_USERS: Final = (
    select(Block, BlockInput.role)
    .join(BlockInput, BlockInput.block_id == Block.id)
    .where(BlockInput.source_block_id == bindparam("block"), Block.state != BlockState.SUPERSEDED)
    .order_by(Block.mjd_mid)
    .limit(bindparam("limit"))
)
_OF_NIGHT: Final = (
    select(Block)
    .where(Block.night == bindparam("night"), Block.state != BlockState.SUPERSEDED)
    .order_by(Block.mjd_mid, Block.id)
)
_CALIBRATIONS: Final = (
    select(BlockInput)
    .where(BlockInput.block_id.in_(bindparam("blocks", expanding=True)), BlockInput.kind != InputKind.RAW)
    .options(joinedload(BlockInput.source_block), joinedload(BlockInput.product))
    .order_by(BlockInput.block_id, BlockInput.position)
)


@dataclass(frozen=True)
class Outlier:
    """The outliers of one parameter in one block.

    Attributes
    ----------
    worst : Score
        The one farthest beyond its limits.
    positions : tuple of Position
        Where the outliers are.
    """

    parameter: Qc1Parameter
    block: Block
    worst: Score
    positions: tuple[Position, ...]


@dataclass(frozen=True)
class LastDone:
    """Times [MJD] of the last frame of an instrument, raw tag and mode, and of the last block of them that is done."""

    instrument: str
    tag: str
    mode: str
    taken: float
    done: float | None


def find_block(session: Session, name: str) -> Block:
    """A block by its name, with its progress, parts and plots.

    Raises
    ------
    NotFoundError
        If the archive has no such block.
    """
    block = session.scalar(_BLOCK, {"name": name})
    if block is None:
        raise NotFoundError(f"the archive has no block {name}; see the page of its night", block=name)
    return block


def blocks_of_night(session: Session, night: date) -> list[Block]:
    """Blocks of a night by time, superseded ones left out."""
    return list(session.scalars(_OF_NIGHT, {"night": night}))


def list_blocks(
    session: Session,
    *,
    night: date | None = None,
    state: BlockState | None = None,
    recipe: str | None = None,
    after: int | None = None,
    limit: int = 100,
) -> Slice[Block, int]:
    """Blocks by descending id, those after ``after``."""
    statement = select(Block)
    if night is not None:
        statement = statement.where(Block.night == night)
    if state is not None:
        statement = statement.where(Block.state == state)
    if recipe is not None:
        statement = statement.where(Block.recipe == recipe)
    return slice_by_id(session, statement, Block.id, after, limit)


def block_inputs(session: Session, block_id: int) -> list[BlockInput]:
    """All inputs of a block with frames, sources, products and refused candidates."""
    return list(session.scalars(_INPUTS, {"block": block_id}))


def calibration_inputs(session: Session, block_ids: Sequence[int]) -> list[BlockInput]:
    """Inputs of several blocks that are not raw frames, with the blocks they come from."""
    return list(session.scalars(_CALIBRATIONS, {"blocks": block_ids}))


def block_products(session: Session, block_id: int) -> list[Product]:
    """Products of a block by tag and unit."""
    return list(session.scalars(_PRODUCTS, {"block": block_id}))


def block_events(session: Session, name: str, limit: int = 100) -> list[Event]:
    """What happened to a block, oldest first."""
    return list(session.scalars(_EVENTS, {"name": name, "limit": limit}))[::-1]


def blocks_using(session: Session, block_id: int, limit: int = 200) -> list[tuple[Block, str]]:
    """Blocks that take a product of this block, with the tag they take."""
    return [(block, role) for block, role in session.execute(_USERS, {"block": block_id, "limit": limit})]


def blocks_in_states(session: Session, states: Iterable[BlockState], limit: int) -> list[Block]:
    """Blocks in any of these states, the next to go first."""
    return list(
        session.scalars(
            select(Block)
            .where(Block.state.in_(list(states)))
            .order_by(Block.priority.desc(), Block.mjd_mid)
            .limit(limit)
        )
    )


def last_failed(session: Session, limit: int) -> list[Block]:
    """The newest blocks that failed, or of which units failed."""
    found: list[Block] = []
    for condition in (
        Block.state == BlockState.FAILED,
        HAS_FAILED_UNITS & (Block.state == BlockState.DONE),
    ):
        found += session.scalars(select(Block).where(condition).order_by(Block.mjd_mid.desc()).limit(limit))
    return sorted(found, key=lambda block: block.mjd_mid, reverse=True)[:limit]


def running_blocks(session: Session) -> list[Block]:
    """Blocks that run now, with their progress."""
    return list(
        session.scalars(
            select(Block)
            .where(Block.state == BlockState.RUNNING)
            .options(undefer(Block.progress), _PARTS)
            .order_by(Block.started_at)
        )
    )


def expected_seconds(session: Session, recipe: str, n_unit: int, last: int = 10) -> float | None:
    """Median duration of the last blocks of a recipe that reduced as many units [s]; None if there were none."""
    rows = session.execute(
        select(Block.duration, Block.unit_mask)
        .where(Block.recipe == recipe, Block.state == BlockState.DONE, Block.duration.is_not(None))
        .order_by(Block.mjd_mid.desc())
        .limit(5 * last)
    )
    durations = sorted(
        [duration for duration, mask in rows if duration is not None and mask.bit_count() == n_unit][:last]
    )
    return durations[len(durations) // 2] if durations else None


def last_outliers(session: Session, limit: int) -> list[Outlier]:
    """The newest outliers, those of one parameter in one block together; of the last `_NEWEST_OUTLIERS` values."""
    newest = session.scalars(
        select(Score).where(Score.score == 1).order_by(Score.created_at.desc(), Score.id.desc()).limit(_NEWEST_OUTLIERS)
    )
    groups: dict[tuple[int, int], list[Score]] = {}
    for score in newest:
        groups.setdefault((score.block_id, score.parameter_id), []).append(score)
    chosen = list(groups.items())[:limit]
    blocks = {row.id: row for row in session.scalars(select(Block).where(Block.id.in_({key[0] for key, _ in chosen})))}
    wanted = {key[1] for key, _ in chosen}
    parameters = {row.id: row for row in session.scalars(select(Qc1Parameter).where(Qc1Parameter.id.in_(wanted)))}
    return [
        Outlier(parameters[parameter], blocks[block], max(scores, key=_excess), tuple(sorted(_places(scores))))
        for (block, parameter), scores in chosen
    ]


def _places(scores: Sequence[Score]) -> set[Position]:
    return {Position(*(getattr(score, name) or 0 for name in Position._fields)) for score in scores}


def _excess(score: Score) -> float:
    """How far a value is beyond its limits, in widths of them where they have one."""
    value, low, high = score.value or 0.0, score.low, score.high
    beyond = max(0.0 if low is None else low - value, 0.0 if high is None else value - high)
    width = high - low if low is not None and high is not None else 0.0
    return beyond / width if width > 0 else beyond


def last_done_by_tag(session: Session, now: datetime, days: float) -> list[LastDone]:
    """What was taken and done last, of each instrument, raw tag and mode of the last days."""
    # A list of nights, not "since": planners would rather walk all frames in the order of their tags.
    nights = [(now - timedelta(days=back)).date() for back in range(int(days) + 1)]
    rows = session.execute(
        select(Frame.instrument, Frame.tag, Frame.mode, func.max(Frame.mjd_mid))
        .where(Frame.night.in_(nights))
        .group_by(Frame.instrument, Frame.tag, Frame.mode)
    )
    # The state is not in the WHERE clause: planners would walk all blocks ever done instead of the last nights.
    blocks = session.execute(
        select(Block.instrument, Block.tag, Block.mode, Block.state, func.max(Block.mjd_mid))
        .where(Block.night.in_(nights))
        .group_by(Block.instrument, Block.tag, Block.mode, Block.state)
    )
    done = {(name, tag, mode): mjd for name, tag, mode, state, mjd in blocks if state is BlockState.DONE}
    return [LastDone(name, tag, mode, float(mjd), done.get((name, tag, mode))) for name, tag, mode, mjd in rows]
