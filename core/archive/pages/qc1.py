"""QC1 tables, series of values with their scores, and summaries of one block."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from sqlalchemy import Executable, Select, func, select
from sqlalchemy.orm import Session

from core.archive.models import Block, Qc1Parameter, Qc1Text, Qc1Value, Score
from core.archive.states import BlockState
from core.errors import NotFoundError
from core.qc1.axes import Position

__all__ = [
    "Band",
    "BlockKey",
    "BrowseRow",
    "LastValue",
    "SeriesFilter",
    "bands",
    "block_means",
    "browse_rows",
    "has_texts",
    "last_values",
    "modes_of_table",
    "parameters_of_table",
    "plain_rows",
    "position_filters",
    "qc1_tables",
    "restricted",
    "series_modes",
]

_CHUNK = 500  # bound variables of one IN list


@dataclass(frozen=True)
class LastValue:
    """The newest values of a parameter: those of one block.

    Attributes
    ----------
    mjd_obs : float
    median, low, high : float
        Over all units, quadrants, slices ... of that block.
    number : int
    score : int or None
        1 if any of them is an outlier, 0 if scored and good, None if not scored.
    outliers : int
    """

    mjd_obs: float
    block_id: int
    median: float
    low: float
    high: float
    number: int
    score: int | None
    outliers: int


@dataclass(frozen=True)
class SeriesFilter:
    """What a series is restricted to; empty means all. Times are MJD, ``positions`` column to the numbers wanted."""

    from_mjd: float | None = None
    to_mjd: float | None = None
    mode: str | None = None
    positions: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    block_id: int | None = None


@dataclass(frozen=True)
class BlockKey:
    """What the points of a series need to know of their block."""

    id: int
    name: str
    night: str
    mode: str
    recipe_version: str


@dataclass(frozen=True)
class Band:
    """Limits of one score rule as they were for one block.

    Attributes
    ----------
    low, high : float or None
        None if open, or if they are not the same for all elements: an envelope of them would hide outliers.
    each : bool
        The elements have limits of their own.
    """

    parameter_id: int
    block_id: int
    rule: str
    low: float | None
    high: float | None
    each: bool


@dataclass
class BrowseRow:
    """One line of the table: an element (unit, quadrant, ...) of a block with its values by parameter id."""

    mjd_obs: float
    block_id: int
    product_id: int | None
    position: Position
    values: dict[int, float | str] = field(default_factory=dict)


def qc1_tables(session: Session) -> dict[str, list[Qc1Parameter]]:
    """All QC1 tables with their parameters, in the order of definition."""
    tables: dict[str, list[Qc1Parameter]] = defaultdict(list)
    for parameter in session.scalars(select(Qc1Parameter).order_by(Qc1Parameter.id)):
        tables[parameter.table_name].append(parameter)
    return dict(tables)


def parameters_of_table(session: Session, table: str) -> list[Qc1Parameter]:
    """Parameters of a QC1 table.

    Raises
    ------
    NotFoundError
        Naming the tables that exist.
    """
    found = list(
        session.scalars(select(Qc1Parameter).where(Qc1Parameter.table_name == table).order_by(Qc1Parameter.id))
    )
    if not found:
        names = session.scalars(select(Qc1Parameter.table_name).distinct().order_by(Qc1Parameter.table_name))
        known = ", ".join(names) or "none yet: they are registered when a worker or the service starts"
        raise NotFoundError(f"there is no QC1 table {table}; there are: {known}", table=table)
    return found


def last_values(session: Session, parameter_ids: Sequence[int] | None = None) -> dict[int, LastValue]:
    """The newest values of parameters, by parameter id; parameters without values are left out."""
    newest = (
        select(func.max(Qc1Value.mjd_obs))
        .where(Qc1Value.parameter_id == Qc1Parameter.id, Qc1Value.hidden.is_(False))
        .correlate(Qc1Parameter)
        .scalar_subquery()
    )
    statement = select(Qc1Parameter.id, newest)
    if parameter_ids is not None:
        statement = statement.where(Qc1Parameter.id.in_(parameter_ids))
    times = {identity: mjd for identity, mjd in session.execute(statement) if mjd is not None}
    values: dict[int, list[float]] = defaultdict(list)
    blocks: dict[int, int] = {}
    by_time: dict[float, list[int]] = defaultdict(list)
    for identity, mjd in times.items():
        by_time[mjd].append(identity)
    for mjd, identities in by_time.items():
        rows = session.execute(
            select(Qc1Value.parameter_id, Qc1Value.value, Qc1Value.block_id).where(
                Qc1Value.parameter_id.in_(identities), Qc1Value.mjd_obs == mjd, Qc1Value.hidden.is_(False)
            )
        )
        for identity, value, block_id in rows:
            values[identity].append(value)
            blocks[identity] = block_id
    scores = _scores_of_blocks(session, set(blocks.values()))
    result = {}
    for identity, found in values.items():
        scored, outliers = scores.get((blocks[identity], identity), (0, 0))
        result[identity] = LastValue(
            times[identity],
            blocks[identity],
            median(found),
            min(found),
            max(found),
            len(found),
            None if not scored else int(outliers > 0),
            outliers,
        )
    return result


def _scores_of_blocks(session: Session, block_ids: set[int]) -> dict[tuple[int, int], tuple[int, int]]:
    rows = session.execute(
        select(Score.block_id, Score.parameter_id, func.count(Score.score), func.sum(Score.score))
        .where(Score.block_id.in_(block_ids))
        .group_by(Score.block_id, Score.parameter_id)
    )
    return {(block, parameter): (scored, int(outliers or 0)) for block, parameter, scored, outliers in rows}


def modes_of_table(session: Session, recipes: Sequence[str]) -> list[str]:
    """Modes in which the recipes of a table were run, the most recent first."""
    rows = session.execute(
        select(Block.mode, func.max(Block.mjd_mid))
        .where(Block.recipe.in_(recipes), Block.state == BlockState.DONE, Block.mode != "")
        .group_by(Block.mode)
        .order_by(func.max(Block.mjd_mid).desc())
    )
    return [mode for mode, _ in rows if mode]


def series_modes(session: Session, parameter_id: int) -> tuple[str | None, float | None]:
    """Mode and time of the newest value of a parameter."""
    table = Qc1Text if has_texts(session, [parameter_id]) else Qc1Value
    row = session.execute(
        select(table.mode, table.mjd_obs)
        .where(table.parameter_id == parameter_id, table.hidden.is_(False))
        .order_by(table.mjd_obs.desc())
        .limit(1)
    ).first()
    return (row[0], row[1]) if row else (None, None)


def restricted(statement: Select[Any], table: type[Qc1Value] | type[Qc1Text], wanted: SeriesFilter) -> Select[Any]:
    """A statement about QC1 values or texts with the conditions of a filter."""
    if wanted.from_mjd is not None:
        statement = statement.where(table.mjd_obs >= wanted.from_mjd)
    if wanted.to_mjd is not None:
        statement = statement.where(table.mjd_obs <= wanted.to_mjd)
    if wanted.mode is not None:
        statement = statement.where(table.mode == wanted.mode)
    if wanted.block_id is not None:
        statement = statement.where(table.block_id == wanted.block_id)
    return statement.where(*position_filters(wanted, table))


def position_filters(wanted: SeriesFilter, table: Any) -> list[Any]:
    """Conditions on the position columns of a table."""
    return [getattr(table, column).in_(allowed) for column, allowed in wanted.positions.items() if allowed]


def _newest(
    session: Session, parameter_ids: Sequence[int], wanted: SeriesFilter, limit: int, *, by_element: bool = False
) -> list[tuple[Any, ...]]:
    """Rows of values and of texts, newest first: parameter, time, value, block, product, position.

    Those of one time are ``by_element`` in the order of block and position, which costs a sort.
    """
    tables: list[tuple[type[Qc1Value] | type[Qc1Text], Any]] = [(Qc1Value, Qc1Value.value)]
    if has_texts(session, parameter_ids):
        tables.append((Qc1Text, Qc1Text.text))
    rows: list[tuple[Any, ...]] = []
    for table, value in tables:
        position = [getattr(table, name) for name in Position._fields]
        statement = restricted(
            select(table.parameter_id, table.mjd_obs, value, table.block_id, table.product_id, *position).where(
                table.parameter_id.in_(parameter_ids), table.hidden.is_(False)
            ),
            table,
            wanted,
        )
        order = (table.mjd_obs.desc(), *((table.block_id, *position) if by_element else ()))
        rows += plain_rows(session, statement.order_by(*order).limit(limit))
    return rows if len(tables) == 1 else sorted(rows, key=lambda row: (-row[1], row[3]))


def has_texts(session: Session, parameter_ids: Sequence[int]) -> bool:
    """Whether any of some parameters is a text."""
    texts = select(Qc1Parameter.id).where(Qc1Parameter.id.in_(parameter_ids), Qc1Parameter.value_type == "str")
    return session.scalar(texts.limit(1)) is not None


def plain_rows(session: Session, statement: Executable) -> list[tuple[Any, ...]]:
    """All rows as the driver gives them: half the time, for 100 000 rows of numbers that need no conversion."""
    with session.connection().execute(statement) as result:
        return list(result.cursor.fetchall()) if result.cursor is not None else []


def browse_rows(
    session: Session, parameter_ids: Sequence[int], wanted: SeriesFilter, offset: int, limit: int
) -> tuple[list[BrowseRow], dict[int, BlockKey]]:
    """Values of several parameters side by side, newest first; one row per block and element.

    Returns
    -------
    list of BrowseRow
        At most ``limit`` rows after the first ``offset``.
    dict of int to BlockKey
        The blocks of these rows.
    """
    most = (offset + limit) * len(parameter_ids)
    found = _newest(session, parameter_ids, wanted, most, by_element=True)
    rows: dict[tuple[Any, ...], BrowseRow] = {}
    for parameter, mjd, value, block, product, *element in found:
        key = (block, *element)
        if key not in rows:
            rows[key] = BrowseRow(mjd, block, product, Position(*element))
        rows[key].values[parameter] = value
    shown = list(rows.values())[offset : offset + limit]
    return shown, _block_keys(session, sorted({row.block_id for row in shown}))


def _chunks(values: Sequence[int]) -> Iterable[Sequence[int]]:
    for start in range(0, len(values), _CHUNK):
        yield values[start : start + _CHUNK]


def _block_keys(session: Session, block_ids: Sequence[int]) -> dict[int, BlockKey]:
    keys = {}
    for chunk in _chunks(block_ids):
        rows = session.execute(
            select(Block.id, Block.name, Block.night, Block.mode, Block.recipe_version).where(Block.id.in_(chunk))
        )
        for identity, name, night, mode, version in rows:
            keys[identity] = BlockKey(identity, name, night.isoformat(), mode or "", version)
    return keys


def bands(session: Session, parameter_ids: Sequence[int], block_ids: Sequence[int], wanted: SeriesFilter) -> list[Band]:
    """Limits of the score rules, by parameter, block and rule."""
    found: list[Band] = []
    for chunk in _chunks(block_ids):
        limits = session.execute(
            select(
                Score.parameter_id,
                Score.block_id,
                Score.rule,
                *(edge(limit) for limit in (Score.low, Score.high) for edge in (func.min, func.max)),
            )
            .where(Score.block_id.in_(chunk), Score.parameter_id.in_(parameter_ids), Score.score.is_not(None))
            .where(*position_filters(wanted, Score))
            .group_by(Score.parameter_id, Score.block_id, Score.rule)
        )
        found += [_band(*row) for row in limits]
    return found


def _band(parameter: int, block: int, rule: str, *edges: float | None) -> Band:
    lowest, low, high, highest = edges  # least and greatest of the lower limits, then of the upper ones
    each = lowest != low or high != highest
    return Band(parameter, block, rule, None if each else low, None if each else high, each)


def block_means(session: Session, parameter_id: int, wanted: SeriesFilter) -> list[tuple[float, float]]:
    """Mean of all elements of a parameter per block, by time: what a sparkline draws."""
    statement = restricted(
        select(func.min(Qc1Value.mjd_obs), func.avg(Qc1Value.value))
        .where(Qc1Value.parameter_id == parameter_id, Qc1Value.hidden.is_(False))
        .group_by(Qc1Value.block_id),
        Qc1Value,
        wanted,
    )
    return sorted((float(mjd), float(value)) for mjd, value in session.execute(statement))
