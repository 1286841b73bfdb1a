"""Which QC1 values are asked for, from texts as they come over HTTP."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Final

from sqlalchemy.orm import Session

from core.archive.models import Block, Qc1Parameter
from core.archive.pages.qc1 import SeriesFilter, parameters_of_table
from core.errors import NotFoundError, ParameterError
from core.instruments.catalogue import qc1_definitions
from core.qc1.names import column_named
from service.media import joined_name

__all__ = ["MAX_POINTS", "MJD_EPOCH", "Selection", "SeriesRequest", "mjd_of_text", "numbers_of_text"]

MAX_POINTS: Final = 400_000
MJD_EPOCH: Final = date(1858, 11, 17)
_MAX_NUMBER: Final = 32_767  # what the archive can hold
_LAST_MJD: Final = 200_000.0  # year 2406
_SHOWN: Final = 40  # characters of what was asked for, in messages
_DIGITS: Final = 9  # of a number that are read: more than any number has that is accepted
_RANGE: Final = re.compile(r"([0-9]+)(?:-([0-9]+))?")


def mjd_of_text(text: str | None, *, end: bool = False) -> float | None:
    """MJD of a date or of a number; as an end, a date includes its whole day.

    Raises
    ------
    ParameterError
        If it is neither.
    """
    if text is None or not text.strip():
        return None
    try:
        mjd = float(text)
    except ValueError:
        mjd = None
    if mjd is not None:
        if not 0 <= mjd <= _LAST_MJD:
            raise ParameterError(f"{text[:_SHOWN]!r} is no MJD between 0 and {_LAST_MJD:g}", parameter="from, to")
        return mjd
    try:
        day = date.fromisoformat(text.strip())
    except ValueError as error:
        raise ParameterError(
            f"{text[:_SHOWN]!r} is neither a date like 2026-11-01 nor an MJD", parameter="from, to"
        ) from error
    return float((day - MJD_EPOCH).days + (1 if end else 0))


def numbers_of_text(text: str | None, name: str, largest: int | None = None) -> tuple[int, ...]:
    """Numbers of a list with ranges: ``1,3-6`` is 1, 3, 4, 5, 6; empty means all.

    Raises
    ------
    ParameterError
        If it is no such list, or a number is not between 1 and ``largest``.
    """
    found: set[int] = set()
    shown = (text or "")[:_SHOWN]
    end = _MAX_NUMBER if largest is None else largest
    for part in (text or "").replace(" ", "").split(","):
        if not part:
            continue
        match = _RANGE.fullmatch(part)
        if match is None:
            raise ParameterError(f"{name}={shown!r} is no list like 1,3-6", parameter=name)
        first, last = (int(number[:_DIGITS]) for number in (match[1], match[2] or match[1]))
        if first > last:
            raise ParameterError(f"{name}={shown!r}: the range {first}-{last} runs backwards", parameter=name)
        if not 1 <= first <= last <= end:
            raise ParameterError(f"{name}={shown!r} is not between 1 and {end}", parameter=name)
        found.update(range(first, last + 1))
    return tuple(sorted(found))


@dataclass(frozen=True)
class Selection:
    """One column that is asked for.

    Attributes
    ----------
    column : str
        As it was asked for: ``master_ron``, or ``master1_ron`` of the observatory.
    parameter : Qc1Parameter
    fixed : dict of str to int
        Position columns whose number stands in the name.
    """

    column: str
    parameter: Qc1Parameter
    fixed: dict[str, int]


@dataclass(frozen=True)
class SeriesRequest:
    """Which values are asked for."""

    table: str
    columns: tuple[str, ...]
    wanted: SeriesFilter
    limit: int = MAX_POINTS
    block: str | None = None

    @property
    def name(self) -> str:
        """What it is called as a file: table, then block, or mode and days, as far as they were asked for."""
        first, last = self.wanted.from_mjd, self.wanted.to_mjd
        # A day that is included ends at the midnight after it.
        days = (None if first is None else int(first), None if last is None else math.ceil(last) - 1)
        dates = (None if day is None else (MJD_EPOCH + timedelta(days=day)).isoformat() for day in days)
        return joined_name((self.table, self.block, self.wanted.mode, *dates), "")

    @classmethod
    def make(
        cls,
        *,
        table: str,
        columns: Sequence[str],
        positions: Mapping[str, str | None] | None = None,
        mode: str | None = None,
        start: str | None = None,
        end: str | None = None,
        block: Block | None = None,
        limit: int = MAX_POINTS,
    ) -> SeriesRequest:
        """From texts, as they come over HTTP; times are dates or MJD, numbers lists like ``1,3-6``.

        Parameters
        ----------
        positions : mapping
            Column of `Position` to such a list.

        Raises
        ------
        ParameterError
            If a time or a list cannot be read.
        """
        members = qc1_definitions().tables.get(table, ())
        largest = {axis.column: axis.largest for parameter in members for axis in parameter.axes}
        for name, text in (positions or {}).items():
            if text and members and name not in largest:
                has = f"it has them by {', '.join(largest)}" if largest else "it has them by nothing"
                raise ParameterError(f"{table} has no values by {name}: {has}", parameter=name)
        first, last = mjd_of_text(start), mjd_of_text(end)
        if first is not None and last is not None and first > last:
            raise ParameterError("from is later than to", parameter="from, to")
        wanted = SeriesFilter(
            from_mjd=first,
            to_mjd=mjd_of_text(end, end=True),
            mode=mode or None,
            positions={
                name: numbers_of_text(text, name, largest.get(name)) for name, text in (positions or {}).items() if text
            },
            block_id=block.id if block else None,
        )
        return cls(table, tuple(dict.fromkeys(columns)), wanted, limit, block.name if block else None)

    def selections(self, session: Session) -> list[Selection]:
        """The columns with their definitions, in the order asked for.

        Raises
        ------
        NotFoundError
            Naming the columns that the table has.
        """
        return self.among(parameters_of_table(session, self.table))

    def among(self, parameters: Iterable[Qc1Parameter]) -> list[Selection]:
        """The same, where the parameters of the table are known already."""
        known = {item.column_name: item for item in parameters}
        found = [self._selection(name, known) for name in self.columns]
        return list({(item.parameter.id, *item.fixed.items()): item for item in found}.values())

    def _selection(self, name: str, known: Mapping[str, Qc1Parameter]) -> Selection:
        if name in known:
            return Selection(name, known[name], {})
        found = column_named(self.table, name, qc1_definitions())
        if found.parameter.column not in known:
            raise NotFoundError(f"QC1 table {self.table} has no column {name} yet", table=self.table, column=name)
        return Selection(found.column, known[found.parameter.column], found.fixed)

    def narrowed(self, fixed: Mapping[str, int]) -> SeriesFilter:
        """The filter with the numbers that stand in the name of a column; another number asked for finds nothing."""
        positions = dict(self.wanted.positions)
        for column, number in fixed.items():
            asked = positions.get(column)
            positions[column] = (number,) if not asked or number in asked else (-1,)
        return replace(self.wanted, positions=positions)
