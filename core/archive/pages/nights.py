"""Which nights are there, and how did they go."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from functools import cached_property, lru_cache
from typing import Any, Final

from sqlalchemy import bindparam, func, select
from sqlalchemy.orm import Session

from core.archive.night_counts import COUNTED_STATES, NightCount
from core.archive.pages.slices import Slice, cut
from core.archive.states import BLOCK_OPEN_STATES, BlockState

__all__ = ["NightSummary", "latest_night", "list_nights", "neighbours", "night_numbers", "nights_between"]

_ROWS: Final = select(NightCount.__table__)  # without objects: a year of them costs as much as the rest of a page
_BETWEEN: Final = _ROWS.where(NightCount.night.between(bindparam("first"), bindparam("last"))).order_by(
    NightCount.night.desc()
)
_FIRST: Final = select(func.min(NightCount.night))
_LATEST: Final = select(func.max(NightCount.night))
_BEFORE: Final = _LATEST.where(NightCount.night < bindparam("night"))
_AFTER: Final = _FIRST.where(NightCount.night > bindparam("night"))
_NUMBERS: Final = ("frames", "outliers", "scored", "held", "failed_units", "skipped_units", "doubtful", "grave")
_COLUMNS: Final = tuple(column.name for column in NightCount.__table__.columns)
_NO_WORK = (BlockState.SUPERSEDED, BlockState.CANCELLED)


@dataclass(frozen=True)
class NightSummary:
    """One night in numbers.

    Attributes
    ----------
    night : datetime.date
        Evening date, see `core.instruments.exposure.night_of`.
    states : dict of BlockState to int
        Blocks by state, superseded ones left out.
    outliers : int
        Blocks with at least one outlier score.
    grave : int
        Blocks with so many outliers that the night is bad, see `core.archive.scoring.BlockScore`.
    scored : int
        Blocks that have a score.
    failed_units, skipped_units : int
        Blocks that are done except for units that failed, or that had to be left out.
    doubtful : int
        Blocks that were made with doubtful calibrations.
    held : int
        Files in quarantine.
    """

    night: date
    frames: int = 0
    states: dict[BlockState, int] = field(default_factory=dict, hash=False)
    outliers: int = 0
    scored: int = 0
    held: int = 0
    failed_units: int = 0
    skipped_units: int = 0
    doubtful: int = 0
    grave: int = 0

    def count(self, *states: BlockState) -> int:
        """Blocks in any of these states."""
        return sum(self.states.get(state, 0) for state in states)

    @cached_property
    def blocks(self) -> int:
        """Blocks that count: not superseded, not cancelled."""
        return sum(number for state, number in self.states.items() if state not in _NO_WORK)

    @cached_property
    def done(self) -> int:
        """Blocks that are done."""
        return self.count(BlockState.DONE)

    @cached_property
    def open(self) -> int:
        """Blocks with work still to come."""
        return self.count(*BLOCK_OPEN_STATES)

    @cached_property
    def verdict(self) -> str:
        """One word.

        ``bad`` (grave outliers, failure of a block or of a unit), ``warn`` (single outliers, incomplete, units left
        out, made with doubtful calibrations, quarantine), ``run`` (work to come), ``good``, ``none``.
        """
        if self.grave or self.failed_units or self.count(BlockState.FAILED):
            return "bad"
        if self.outliers or self.count(BlockState.INCOMPLETE) or self.skipped_units or self.doubtful or self.held:
            return "warn"
        if self.open:
            return "run"
        return "good" if self.scored else "none"


def latest_night(session: Session) -> date | None:
    """The last night that has anything."""
    return session.scalar(_LATEST)


def night_numbers(session: Session) -> tuple[date | None, date | None]:
    """First and last night of the archive."""
    return session.scalar(_FIRST), latest_night(session)


def nights_between(session: Session, first: date, last: date) -> list[NightSummary]:
    """Summaries of the nights ``first`` to ``last`` (both included) that have anything, newest first."""
    rows = session.execute(_BETWEEN, {"first": first, "last": last})
    return [_summary(tuple(row)) for row in rows]


@lru_cache(8192)  # a night that did not change is the same object
def _summary(values: tuple[Any, ...]) -> NightSummary:
    row = dict(zip(_COLUMNS, values, strict=True))
    numbers = {name: row[name] for name in _NUMBERS}
    states: dict[BlockState, int] = {state: row[state.value] for state in COUNTED_STATES if row[state.value]}
    return NightSummary(row["night"], states=states, **numbers)


def list_nights(session: Session, after: date | None, limit: int) -> Slice[NightSummary, date]:
    """Nights that have anything by descending date, those that come after ``after`` in this order."""
    statement = _ROWS.order_by(NightCount.night.desc()).limit(limit + 1)
    earlier: list[date] = []
    if after is not None:
        statement = statement.where(NightCount.night < after)
        before = select(NightCount.night).where(NightCount.night >= after).order_by(NightCount.night)
        earlier = list(session.scalars(before.limit(limit + 1)))
    rows = [_summary(tuple(row)) for row in session.execute(statement)]
    return cut(rows, [row.night for row in rows], earlier, limit)


def neighbours(session: Session, night: date) -> tuple[date | None, date | None]:
    """The nights before and after that have anything."""
    return session.scalar(_BEFORE, {"night": night}), session.scalar(_AFTER, {"night": night})
