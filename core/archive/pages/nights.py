"""Which nights are there, and how did they go."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, Final, NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.archive.models import Block, Frame, QuarantinedFile
from core.archive.pages.slices import Slice, cut
from core.archive.states import BLOCK_OPEN_STATES, BlockState, QuarantineState

__all__ = ["NightSummary", "latest_night", "list_nights", "neighbours", "night_numbers", "nights_between"]

# What makes a night: a column, and which rows count. Files in quarantine do, or a night that is lost whole is not seen.
_DATED: Final[tuple[tuple[Any, ...], ...]] = (
    (Frame.night,),
    (Block.night,),
    (QuarantinedFile.night, QuarantinedFile.state == QuarantineState.HELD),
)
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
    states: dict[BlockState, int] = field(default_factory=dict)
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

    @property
    def blocks(self) -> int:
        """Blocks that count: not superseded, not cancelled."""
        return sum(number for state, number in self.states.items() if state not in _NO_WORK)

    @property
    def done(self) -> int:
        """Blocks that are done."""
        return self.count(BlockState.DONE)

    @property
    def open(self) -> int:
        """Blocks with work still to come."""
        return self.count(*BLOCK_OPEN_STATES)

    @property
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


class _BlockCount(NamedTuple):
    night: date
    state: BlockState
    score: int | None
    failed_units: bool
    skipped_units: bool
    doubtful: bool
    grave: bool
    number: int


def latest_night(session: Session) -> date | None:
    """The last night that has anything."""
    nights = [session.scalar(select(func.max(column)).where(*only)) for column, *only in _DATED]
    return max((night for night in nights if night is not None), default=None)


def night_numbers(session: Session) -> tuple[date | None, date | None]:
    """First and last night of the archive."""
    firsts = [session.scalar(select(func.min(column)).where(*only)) for column, *only in _DATED]
    return min((night for night in firsts if night is not None), default=None), latest_night(session)


def nights_between(session: Session, first: date, last: date) -> list[NightSummary]:
    """Summaries of the nights ``first`` to ``last`` (both included) that have anything, newest first."""
    frames = session.execute(
        select(Frame.night, func.count()).where(Frame.night.between(first, last)).group_by(Frame.night)
    )
    failed, skipped = Block.failed_unit_mask != 0, Block.skipped_unit_mask != 0
    blocks = session.execute(
        select(
            Block.night, Block.state, Block.score, failed, skipped, Block.doubtful, Block.grave_outliers, func.count()
        )
        .where(Block.night.between(first, last))
        .group_by(Block.night, Block.state, Block.score, failed, skipped, Block.doubtful, Block.grave_outliers)
    )
    held = session.execute(
        select(QuarantinedFile.night, func.count())
        .where(QuarantinedFile.night.between(first, last), QuarantinedFile.state == QuarantineState.HELD)
        .group_by(QuarantinedFile.night)
    )
    return _summaries(
        dict(frames.all()),
        [_BlockCount(*row) for row in blocks],
        {night: number for night, number in held if night is not None},
    )


def _summaries(
    frames: dict[date, int],
    blocks: Sequence[_BlockCount],
    held: dict[date, int],
) -> list[NightSummary]:
    states: dict[date, dict[BlockState, int]] = defaultdict(lambda: defaultdict(int))
    outliers: dict[date, int] = defaultdict(int)
    scored: dict[date, int] = defaultdict(int)
    failed: dict[date, int] = defaultdict(int)
    skipped: dict[date, int] = defaultdict(int)
    doubtful: dict[date, int] = defaultdict(int)
    grave: dict[date, int] = defaultdict(int)
    for row in blocks:
        if row.state is BlockState.SUPERSEDED:
            continue
        states[row.night][row.state] += row.number
        if row.state is not BlockState.DONE:
            continue
        if row.score is not None:
            scored[row.night] += row.number
            outliers[row.night] += row.number if row.score else 0
        failed[row.night] += row.number if row.failed_units else 0
        skipped[row.night] += row.number if row.skipped_units else 0
        doubtful[row.night] += row.number if row.doubtful else 0
        grave[row.night] += row.number if row.grave else 0
    return [
        NightSummary(
            night,
            frames.get(night, 0),
            dict(states.get(night, {})),
            outliers.get(night, 0),
            scored.get(night, 0),
            held.get(night, 0),
            failed.get(night, 0),
            skipped.get(night, 0),
            doubtful.get(night, 0),
            grave.get(night, 0),
        )
        for night in sorted({*frames, *states, *held}, reverse=True)
    ]


def list_nights(session: Session, after: date | None, limit: int) -> Slice[NightSummary, date]:
    """Nights that have anything by descending date, those that come after ``after`` in this order."""
    chosen = _dates(session, limit + 1, below=after)
    rows = nights_between(session, chosen[-1], chosen[0]) if chosen else []
    earlier = [] if after is None else _dates(session, limit + 1, since=after)
    return cut(rows, chosen, earlier, limit)


def _dates(session: Session, limit: int, *, below: date | None = None, since: date | None = None) -> list[date]:
    """Nights that have anything: those since a date upwards, or those below one (or all) downwards."""
    dates: set[date] = set()
    for column, *only in _DATED:
        dates.update(_dates_of(session, column, only, limit, below, since))
    return sorted(dates, reverse=since is None)[:limit]


def _dates_of(
    session: Session, column: Any, only: Sequence[Any], limit: int, below: date | None, since: date | None
) -> Iterable[date]:
    # One index look-up per night: DISTINCT would walk every row of the nights passed.
    found: list[date] = []
    next_date = func.max(column) if since is None else func.min(column)
    while len(found) < limit:
        bounds = [column >= since] if since is not None else [column < below] if below is not None else []
        night = session.scalar(select(next_date).where(*only, *bounds))
        if night is None:
            break
        found.append(night)
        if since is None:
            below = night
        else:
            since = night + timedelta(days=1)
    return found


def neighbours(session: Session, night: date) -> tuple[date | None, date | None]:
    """The nights before and after that have anything."""
    before = [session.scalar(select(func.max(c)).where(c < night, *only)) for c, *only in _DATED]
    after = [session.scalar(select(func.min(c)).where(c > night, *only)) for c, *only in _DATED]
    return (
        max((found for found in before if found is not None), default=None),
        min((found for found in after if found is not None), default=None),
    )
