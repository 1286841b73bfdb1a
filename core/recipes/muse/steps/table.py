"""A pixel table whose rows are corrected when they are read: never written, nor held in memory.

What a recipe does to an exposure of the sky (refraction, fluxes, sky, velocity, astrometry) are steps, each of which
changes some columns of any rows that it is given. A `CorrectedTable` is a table like any other: it is resampled, looked
through, and written as those on disk are.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, reduce
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from core.errors import DataError
from core.fitsfile.header import Header
from core.formats.pixtable_header import PixtableLimits, own_cards, zero_point
from core.formats.pixtable_ranges import Kept, Ranges, portions, single
from core.formats.pixtable_read import PixelTable, WaveIndex
from core.spread import spread_out

__all__ = ["CorrectedTable", "RowStep", "measure_limits", "with_limits"]

Columns = dict[str, npt.NDArray[Any]]


class RowStep(ABC):
    """A correction of rows.

    Attributes
    ----------
    changes : tuple of str
        Columns that it makes anew.
    needs : tuple of str
        Columns that it must have to do so.
    """

    changes: ClassVar[tuple[str, ...]]
    needs: ClassVar[tuple[str, ...]]

    @abstractmethod
    def apply(self, columns: Columns) -> Columns:
        """The columns that it changes, anew, from those that it needs, of any rows."""

    @abstractmethod
    def describe(self, header: Header) -> None:
        """Write into the header of the table what was done."""

    def units(self, units: Mapping[str, str]) -> dict[str, str]:
        """Units of the columns afterwards."""
        return dict(units)

    def columns(self, columns: Mapping[str, np.dtype[Any]]) -> dict[str, np.dtype[Any]]:
        """Types of the columns afterwards."""
        return dict(columns)

    def wavelength(self, wave: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Where wavelengths go, if it changes them."""
        return wave


@dataclass(frozen=True)
class CorrectedTable(PixelTable):
    """A table and what is done to its rows.

    Attributes
    ----------
    source : PixelTable
    steps : tuple of RowStep
        In order.
    """

    source: PixelTable = field(repr=False)
    steps: tuple[RowStep, ...]

    @classmethod
    def of(cls, source: PixelTable, *steps: RowStep) -> CorrectedTable:
        """A table with further steps.

        The limits in its header are those of before; `with_limits` brings them up to date.
        """
        before = source.steps if isinstance(source, CorrectedTable) else ()
        origin = source.source if isinstance(source, CorrectedTable) else source
        header, units, columns = own_cards(source.header), dict(source.units), dict(source.columns)
        for step in steps:
            step.describe(header)
            units, columns = step.units(units), step.columns(columns)
        return cls(source.path, header, source.form, source.n_rows, columns, units, origin, (*before, *steps))

    def gather(self, ranges: Ranges, names: Sequence[str] | None = None, kept: Kept = None) -> Columns:
        """See `PixelTable.gather`."""
        wanted = list(self.columns) if names is None else list(names)
        needed, active = set(wanted), []
        for step in reversed(self.steps):
            if needed & set(step.changes):
                needed = (needed - set(step.changes)) | set(step.needs)
                active.append(step)
        columns = self.source.gather(ranges, [name for name in self.source.columns if name in needed], kept)
        for step in reversed(active):
            columns.update(step.apply(columns))
        return {name: columns[name] for name in wanted}

    @cached_property
    def exact_limits(self) -> PixtableLimits | None:
        """See `PixelTable.exact_limits`; by a pass over all rows, if a step moves them."""
        if any({"xpos", "ypos", "lambda"} & set(step.changes) for step in self.steps):
            return measure_limits(self)
        return self.source.exact_limits

    @property
    def bounds(self) -> npt.NDArray[np.int64]:
        """See `PixelTable.bounds`."""
        return self.source.bounds

    @cached_property
    def index(self) -> WaveIndex:
        """See `PixelTable.index`."""
        index = self.source.index
        low, high = (
            reduce(lambda wave, step: step.wavelength(wave), self.steps, end) for end in (index.low, index.high)
        )
        return WaveIndex(index.bounds, low, high, index.place)

    def flat_field(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None:
        """See `PixelTable.flat_field`."""
        return self.source.flat_field()


def with_limits(table: PixelTable) -> Header:
    """The header of a table, with the limits that its rows have."""
    header, limits = own_cards(table.header), table.exact_limits
    if limits is not None:
        limits.write(header, zero_point(header))
    return header


def measure_limits(table: PixelTable) -> PixtableLimits:
    """Extremes of all rows, by a pass over them; DataError if there are none."""
    names = ("xpos", "ypos", "lambda", "origin")
    ranges = portions(single(0, table.n_rows))
    parts = spread_out(lambda portion: PixtableLimits.of(table.gather(portion, names)), ranges)
    if not parts:
        raise DataError("the pixel table has no rows", file=table.path)
    return reduce(lambda mine, its: mine | its, parts)
