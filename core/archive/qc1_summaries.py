"""The QC1 values and scores of each block in sums, kept beside the rows that they sum up.

A block has thousands of values and scores; what pages, REST and the command line say of a parameter in a block is one
row here. Whoever writes values or scores in `Archive.write` changes the sums in the same transaction, without knowing
of it (`core.archive.row_watch`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from typing import Any, Final

from sqlalchemy import Float, ForeignKey, Index, Integer, Row, Select, case, delete, func, insert, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from core.archive.base import Base, BigId
from core.archive.models import Qc1Value, Score
from core.archive.row_watch import RowWatch
from core.qc1.axes import Position

__all__ = ["Qc1Summary", "summarise", "watch_summaries"]

_CHUNK: Final = 500  # bound variables of one IN list


class Qc1Summary(Base):
    """One QC1 parameter in one block, over all its elements (units, quadrants, slices ...).

    Attributes
    ----------
    mjd_obs : float
        Time of the newest value.
    number : int
        Values, hidden ones left out; there is no row without any.
    median, low, high : float
        Of the values; the least and the greatest.
    scored : int
        Values that have a score.
    outliers : int
        Elements with an outlier score.
    limit_low, limit_high : float or None
        Limits of the scores: those that hold for all elements are the widest, and of several rules the narrowest
        count. None if open, or not scored.
    """

    __tablename__ = "qc1_summaries"

    block_id: Mapped[int] = mapped_column(BigId, ForeignKey("blocks.id", ondelete="CASCADE"), primary_key=True)
    parameter_id: Mapped[int] = mapped_column(ForeignKey("qc1_parameters.id"), primary_key=True)
    mjd_obs: Mapped[float] = mapped_column(Float(53))
    number: Mapped[int] = mapped_column(Integer)
    median: Mapped[float] = mapped_column(Float(53))
    low: Mapped[float] = mapped_column(Float(53))
    high: Mapped[float] = mapped_column(Float(53))
    scored: Mapped[int] = mapped_column(Integer)
    outliers: Mapped[int] = mapped_column(Integer)
    limit_low: Mapped[float | None] = mapped_column(Float(53))
    limit_high: Mapped[float | None] = mapped_column(Float(53))

    __table_args__ = (Index(None, "parameter_id", "mjd_obs"),)

    @property
    def score(self) -> int | None:
        """1 if any element is an outlier, 0 if scored and good, None if not scored."""
        return int(self.outliers > 0) if self.scored else None


_COLUMNS: Final = tuple(column.key for column in Qc1Summary.__table__.columns)


def summarise(session: Session, block_ids: Collection[int] | None = None) -> int:
    """Make the summaries of blocks (all, if none are named) true; returns of how many blocks they were not."""
    if block_ids is None:
        return _summarise(session, None)
    ordered = sorted(block_ids)
    return sum(_summarise(session, ordered[start : start + _CHUNK]) for start in range(0, len(ordered), _CHUNK))


def watch_summaries(session: Session) -> RowWatch:
    """Note the blocks whose summaries a session may change, and make them true at its end."""
    return RowWatch(session, (Qc1Value, Score), "block_id", summarise)


def _summarise(session: Session, blocks: Collection[int] | None) -> int:
    kept = select(*(getattr(Qc1Summary, name) for name in _COLUMNS))
    if blocks is not None:
        kept = kept.where(Qc1Summary.block_id.in_(blocks))
    true, known = _by_block(session, _summaries(blocks)), _by_block(session, kept)
    wrong = [block for block in true.keys() | known.keys() if true.get(block) != known.get(block)]
    for start in range(0, len(wrong), _CHUNK):
        session.execute(delete(Qc1Summary).where(Qc1Summary.block_id.in_(wrong[start : start + _CHUNK])))
    rows = [row._asdict() for block in wrong for row in true.get(block, ())]
    if rows:
        session.execute(insert(Qc1Summary), rows)
    return len(wrong)


def _by_block(session: Session, statement: Select[Any]) -> dict[int, set[Row[Any]]]:
    found: dict[int, set[Row[Any]]] = defaultdict(set)
    for row in session.execute(statement):
        found[row.block_id].add(row)
    return found


def _summaries(blocks: Collection[int] | None) -> Select[Any]:
    """The rows as they should be, from values and scores."""
    values, limits, outliers = (part.subquery() for part in (_values(blocks), _limits(blocks), _outliers(blocks)))

    def same(other: Any) -> Any:
        return (values.c.block_id == other.c.block_id) & (values.c.parameter_id == other.c.parameter_id)

    return (
        select(
            *values.c,
            func.coalesce(limits.c.scored, 0).label("scored"),
            func.coalesce(outliers.c.outliers, 0).label("outliers"),
            limits.c.limit_low,
            limits.c.limit_high,
        )
        .outerjoin(limits, same(limits))
        .outerjoin(outliers, same(outliers))
    )


def _values(blocks: Collection[int] | None) -> Select[Any]:
    one = (Qc1Value.block_id, Qc1Value.parameter_id)
    ranked = (
        select(
            *one,
            Qc1Value.mjd_obs,
            Qc1Value.value,
            (2 * func.row_number().over(partition_by=one, order_by=Qc1Value.value)).label("twice"),
            func.count().over(partition_by=one).label("number"),
        )
        .where(Qc1Value.hidden.is_(False), *_of(Qc1Value, blocks))
        .subquery()
    )
    row = ranked.c
    middle = case((row.twice.between(row.number, row.number + 2), row.value))  # one value, or the two in the middle
    return select(
        row.block_id,
        row.parameter_id,
        func.max(row.mjd_obs).label("mjd_obs"),
        func.count().label("number"),
        func.avg(middle).label("median"),
        func.min(row.value).label("low"),
        func.max(row.value).label("high"),
    ).group_by(row.block_id, row.parameter_id)


def _limits(blocks: Collection[int] | None) -> Select[Any]:
    one = (Score.block_id, Score.parameter_id)
    rule = (
        select(*one, func.count().label("scored"), func.min(Score.low).label("low"), func.max(Score.high).label("high"))
        .where(Score.score.is_not(None), *_of(Score, blocks))
        .group_by(*one, Score.rule)
        .subquery()
    )
    return select(
        rule.c.block_id,
        rule.c.parameter_id,
        func.max(rule.c.scored).label("scored"),
        func.max(rule.c.low).label("limit_low"),
        func.min(rule.c.high).label("limit_high"),
    ).group_by(rule.c.block_id, rule.c.parameter_id)


def _outliers(blocks: Collection[int] | None) -> Select[Any]:
    one = (Score.block_id, Score.parameter_id)
    # A sum, so that no planner walks the outliers of all blocks, of which there is an index.
    flagged = Score.score == 1 if blocks is None else Score.score + 0 == 1
    elements = (
        select(*one, *(getattr(Score, name) for name in Position._fields))
        .where(flagged, *_of(Score, blocks))
        .distinct()
        .subquery()
    ).c
    counted = select(elements.block_id, elements.parameter_id, func.count().label("outliers"))
    return counted.group_by(elements.block_id, elements.parameter_id)


def _of(table: type[Qc1Value] | type[Score], blocks: Collection[int] | None) -> list[Any]:
    return [] if blocks is None else [table.block_id.in_(blocks)]
