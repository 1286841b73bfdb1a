"""QC1 tables, series of values with their scores, newest values and those of one block."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Final

from sqlalchemy import Executable, Select, bindparam, func, select, tuple_
from sqlalchemy.orm import Session, aliased

from core.archive.models import Block, Qc1Parameter, Qc1Text, Qc1Value, Score
from core.archive.qc1_summaries import Qc1Summary
from core.archive.states import BlockState
from core.errors import NotFoundError
from core.qc1.axes import Position

__all__ = [
    "Band",
    "BlockKey",
    "BrowseRow",
    "SeriesFilter",
    "bands",
    "block_medians",
    "block_qc1",
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
# Built once: to build a statement takes as long as to execute it.
_OF_BLOCK: Final = (
    select(Qc1Parameter, Qc1Summary)
    .join(Qc1Summary, Qc1Summary.parameter_id == Qc1Parameter.id)
    .where(Qc1Summary.block_id == bindparam("block"))
    .order_by(Qc1Parameter.id)
)
_NEWEST: Final = {
    table: select(table.mode, table.mjd_obs)
    .where(table.parameter_id == bindparam("parameter"), table.hidden.is_(False))
    .order_by(table.mjd_obs.desc())
    .limit(1)
    for table in (Qc1Value, Qc1Text)
}
_TABLE: Final = select(Qc1Parameter).where(Qc1Parameter.table_name == bindparam("table")).order_by(Qc1Parameter.id)


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
    found = list(session.scalars(_TABLE, {"table": table}))
    if not found:
        names = session.scalars(select(Qc1Parameter.table_name).distinct().order_by(Qc1Parameter.table_name))
        known = ", ".join(names) or "none yet: they are registered when a worker or the service starts"
        raise NotFoundError(f"there is no QC1 table {table}; there are: {known}", table=table)
    return found


def last_values(session: Session, parameter_ids: Sequence[int] | None = None) -> dict[int, Qc1Summary]:
    """The newest values of parameters, those of one block, by parameter id; parameters without values are left out."""
    other = aliased(Qc1Summary)
    newest = (
        select(other.block_id)
        .where(other.parameter_id == Qc1Parameter.id)
        .order_by(other.mjd_obs.desc(), other.block_id.desc())
        .limit(1)
        .correlate(Qc1Parameter)
        .scalar_subquery()
    )
    wanted = select(Qc1Parameter.id, newest)  # looked up one by one: a join may read all summaries of ten years
    if parameter_ids is not None:
        wanted = wanted.where(Qc1Parameter.id.in_(parameter_ids))
    statement = select(Qc1Summary).where(tuple_(Qc1Summary.parameter_id, Qc1Summary.block_id).in_(wanted))
    return {row.parameter_id: row for row in session.scalars(statement)}


def block_qc1(session: Session, block_id: int) -> list[tuple[Qc1Parameter, Qc1Summary]]:
    """The QC1 values of a block, summed up by parameter, in the order of definition."""
    return [(parameter, summary) for parameter, summary in session.execute(_OF_BLOCK, {"block": block_id})]


def modes_of_table(session: Session, recipes: Sequence[str]) -> list[str]:
    """Modes in which the recipes of a table were run, the most recent first."""
    rows = session.execute(
        select(Block.mode, func.max(Block.mjd_mid))
        .where(Block.recipe.in_(recipes), Block.state == BlockState.DONE, Block.mode != "")
        .group_by(Block.mode)
        .order_by(func.max(Block.mjd_mid).desc())
    )
    return [mode for mode, _ in rows if mode]


def series_modes(session: Session, parameter: Qc1Parameter) -> tuple[str | None, float | None]:
    """Mode and time of the newest value of a parameter."""
    table = Qc1Text if parameter.value_type == "str" else Qc1Value
    row = session.execute(_NEWEST[table], {"parameter": parameter.id}).first()
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
    session: Session, parameters: Sequence[Qc1Parameter], wanted: SeriesFilter, limit: int
) -> list[tuple[Any, ...]]:
    """Rows of values and of texts, newest first: parameter, time, value, block, product, position.

    Those of one time are in the order of block and position.
    """
    tables: list[tuple[type[Qc1Value] | type[Qc1Text], Any]] = [(Qc1Value, Qc1Value.value)]
    if any(item.value_type == "str" for item in parameters):
        tables.append((Qc1Text, Qc1Text.text))
    rows: list[tuple[Any, ...]] = []
    for table, value in tables:
        position = [getattr(table, name) for name in Position._fields]
        statement = restricted(
            select(table.parameter_id, table.mjd_obs, value, table.block_id, table.product_id, *position).where(
                table.parameter_id.in_([item.id for item in parameters]), table.hidden.is_(False)
            ),
            table,
            wanted,
        )
        order = (table.mjd_obs.desc(), table.block_id, *position)
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
    session: Session, parameters: Sequence[Qc1Parameter], wanted: SeriesFilter, offset: int, limit: int
) -> tuple[list[BrowseRow], dict[int, BlockKey]]:
    """Values of several parameters side by side, newest first; one row per block and element.

    Returns
    -------
    list of BrowseRow
        At most ``limit`` rows after the first ``offset``.
    dict of int to BlockKey
        The blocks of these rows.
    """
    most = (offset + limit) * len(parameters)
    found = _newest(session, parameters, wanted, most)
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


def block_medians(session: Session, parameter_id: int, wanted: SeriesFilter) -> list[tuple[float, float]]:
    """Median of a parameter in each block, by time: what a sparkline draws."""
    if wanted.positions:
        columns: tuple[Any, ...] = (Qc1Value.block_id, Qc1Value.mjd_obs, Qc1Value.value)
        values = select(*columns).where(Qc1Value.parameter_id == parameter_id, Qc1Value.hidden.is_(False))
        blocks: dict[int, list[tuple[float, float]]] = defaultdict(list)
        for block, mjd, value in plain_rows(session, restricted(values, Qc1Value, wanted)):
            blocks[block].append((mjd, value))
        return sorted((max(rows)[0], median(value for _, value in rows)) for rows in blocks.values())
    summed = (
        select(Qc1Summary.mjd_obs, Qc1Summary.median)
        .where(Qc1Summary.parameter_id == parameter_id)
        .order_by(Qc1Summary.mjd_obs)
    )
    if wanted.from_mjd is not None:
        summed = summed.where(Qc1Summary.mjd_obs >= wanted.from_mjd)
    if wanted.to_mjd is not None:
        summed = summed.where(Qc1Summary.mjd_obs <= wanted.to_mjd)
    if wanted.mode is not None:
        summed = summed.join(Block, Block.id == Qc1Summary.block_id).where(Block.mode == wanted.mode)
    return [(mjd, value) for mjd, value in session.execute(summed)]
