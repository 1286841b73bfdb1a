"""Each night in numbers, kept beside what they count.

Whoever writes frames, blocks or quarantine in `Archive.write` changes the counts in the same transaction, without
knowing of it: the nights that a transaction touches are noted (`core.archive.row_watch`) and counted again at its end.
So pages read one row of a night, however many frames and blocks it has.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from datetime import date
from typing import Any, Final

from sqlalchemy import Date, Integer, delete, func, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from core.archive.base import Base
from core.archive.models import Block, Frame, QuarantinedFile
from core.archive.row_watch import RowWatch
from core.archive.states import BlockState, QuarantineState

__all__ = ["COUNTED_STATES", "NightCount", "count_nights", "recount", "watch_nights"]

COUNTED_STATES: Final = tuple(state for state in BlockState if state is not BlockState.SUPERSEDED)
"""States of the blocks that a night has; each is a column."""

_CHUNK: Final = 500  # bound variables of one IN list


class NightCount(Base):
    """One night in numbers; there is a row for each night that has anything.

    Attributes
    ----------
    night : datetime.date
        Evening date, see `core.instruments.exposure.night_of`.
    frames, held : int
        Raw frames; files in quarantine.
    incomplete ... cancelled : int
        Blocks in each state.
    scored, outliers, grave : int
        Blocks that are done and have a score; at least one outlier score; so many that the night is bad, see
        `core.archive.scoring.BlockScore`.
    failed_units, skipped_units : int
        Blocks that are done except for units that failed, or that had to be left out.
    doubtful : int
        Blocks that are done and were made with doubtful calibrations.
    """

    __tablename__ = "nights"

    night: Mapped[date] = mapped_column(Date, primary_key=True)
    frames: Mapped[int] = mapped_column(Integer)
    held: Mapped[int] = mapped_column(Integer)
    incomplete: Mapped[int] = mapped_column(Integer)
    waiting: Mapped[int] = mapped_column(Integer)
    ready: Mapped[int] = mapped_column(Integer)
    queued: Mapped[int] = mapped_column(Integer)
    running: Mapped[int] = mapped_column(Integer)
    done: Mapped[int] = mapped_column(Integer)
    failed: Mapped[int] = mapped_column(Integer)
    cancelled: Mapped[int] = mapped_column(Integer)
    scored: Mapped[int] = mapped_column(Integer)
    outliers: Mapped[int] = mapped_column(Integer)
    grave: Mapped[int] = mapped_column(Integer)
    failed_units: Mapped[int] = mapped_column(Integer)
    skipped_units: Mapped[int] = mapped_column(Integer)
    doubtful: Mapped[int] = mapped_column(Integer)


Counts = dict[str, int]
_COLUMNS: Final = tuple(column.key for column in NightCount.__table__.columns if column.key != "night")


def count_nights(session: Session, nights: Collection[date] | None = None) -> dict[date, Counts]:
    """Count nights (all, if none are named) from frames, blocks and quarantine; those without any are left out."""
    if nights is None:
        return _count(session, ())
    found: dict[date, Counts] = {}
    ordered = sorted(nights)
    for start in range(0, len(ordered), _CHUNK):
        found |= _count(session, ordered[start : start + _CHUNK])
    return found


def _count(session: Session, nights: Collection[date]) -> dict[date, Counts]:
    def of(column: Any) -> list[Any]:
        return [column.in_(nights)] if nights else []

    counts: dict[date, Counts] = defaultdict(lambda: dict.fromkeys(_COLUMNS, 0))
    number = func.count()
    frames = select(Frame.night, number).where(*of(Frame.night)).group_by(Frame.night)
    for night, count in session.execute(frames):
        counts[night]["frames"] = count
    is_held = QuarantinedFile.state == QuarantineState.HELD
    held = select(QuarantinedFile.night, number).where(is_held, *of(QuarantinedFile.night))
    for dated, count in session.execute(held.group_by(QuarantinedFile.night)):
        if dated is not None:
            counts[dated]["held"] = count
    kinds = (
        Block.night,
        Block.state,
        Block.score,
        Block.failed_unit_mask != 0,
        Block.skipped_unit_mask != 0,
        Block.doubtful,
        Block.grave_outliers,
    )
    blocks = select(*kinds, number).where(Block.state != BlockState.SUPERSEDED, *of(Block.night)).group_by(*kinds)
    for night, state, score, failed, skipped, doubtful, grave, count in session.execute(blocks):
        row = counts[night]
        row[state.value] += count
        if state is BlockState.DONE:
            row["scored"] += count if score is not None else 0
            row["outliers"] += count if score else 0
            row["grave"] += count if grave else 0
            row["failed_units"] += count if failed else 0
            row["skipped_units"] += count if skipped else 0
            row["doubtful"] += count if doubtful else 0
    return dict(counts)


def recount(session: Session, nights: Collection[date] | None = None) -> int:
    """Make the counts of nights (all, if none are named) true; returns how many were not."""
    true = count_nights(session, nights)
    kept: dict[date, NightCount] = {}
    ordered = None if nights is None else sorted(nights)
    for start in range(0, 1 if ordered is None else len(ordered), _CHUNK):
        query = select(NightCount).execution_options(populate_existing=True)
        if ordered is not None:
            query = query.where(NightCount.night.in_(ordered[start : start + _CHUNK]))
        kept |= {row.night: row for row in session.scalars(query)}
    wrong = 0
    for night, counts in true.items():
        row = kept.pop(night, None)
        if row is None:
            session.add(NightCount(night=night, **counts))
            wrong += 1
        elif any(getattr(row, name) != count for name, count in counts.items()):
            for name, count in counts.items():
                setattr(row, name, count)
            wrong += 1
    if kept:
        session.execute(delete(NightCount).where(NightCount.night.in_(kept)))
    session.flush()
    return wrong + len(kept)


def watch_nights(session: Session) -> RowWatch:
    """Note the nights whose counts a session may change, and count them at its end."""
    return RowWatch(session, (Frame, Block, QuarantinedFile), "night", recount)
