"""Some of the rows of a pixel table, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from core.errors import DataError
from core.formats.pixtable_header import PixtableLimits, own_cards
from core.formats.pixtable_ranges import Kept, Ranges
from core.formats.pixtable_read import PixelTable, WaveIndex
from core.formats.pixtable_select import ChosenRows, RowTest, choose_rows
from core.recipes.muse.steps.table import Columns, measure_limits

__all__ = ["SelectedTable", "good_rows", "like_rows", "select_rows", "without_rows"]


@dataclass(frozen=True)
class SelectedTable(PixelTable):
    """Rows that passed a test.

    Attributes
    ----------
    chosen : ChosenRows
    measured : bool
        Whether its limits are those of its rows; if not, those of the table that they were chosen from.
    """

    chosen: ChosenRows = field(repr=False)
    measured: bool

    def gather(self, ranges: Ranges, names: Sequence[str] | None = None, kept: Kept = None) -> Columns:
        """See `PixelTable.gather`."""
        return self.chosen.gather(ranges, names, kept)

    @cached_property
    def index(self) -> WaveIndex:
        """See `PixelTable.index`."""
        return self.chosen.index

    @property
    def bounds(self) -> npt.NDArray[np.int64]:
        """See `PixelTable.bounds`."""
        return np.unique(self.chosen.starts)

    @cached_property
    def exact_limits(self) -> PixtableLimits | None:
        """See `PixelTable.exact_limits`."""
        return measure_limits(self) if self.measured else self.chosen.table.exact_limits

    def flat_field(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None:
        """See `PixelTable.flat_field`."""
        return self.chosen.flat_field()

    def numbers_of(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Numbers that rows had in the table that they were chosen from."""
        found = np.empty_like(rows)
        bounds, starts = self.chosen.table.bounds.tolist(), self.chosen.starts.tolist()
        for piece, (first, last) in enumerate(pairwise(starts)):
            here = (rows >= first) & (rows < last)
            if here.any():
                found[here] = bounds[piece] + np.flatnonzero(self.chosen.mask(piece))[rows[here] - first]
        return found


def good_rows() -> RowTest:
    """Rows without a flag."""
    return RowTest(("dq",), lambda columns: np.asarray(columns["dq"] == 0))


def select_rows(table: PixelTable, *tests: RowTest, measure: bool = True) -> SelectedTable:
    """The rows of a table that pass all tests.

    Parameters
    ----------
    table : PixelTable
    *tests : RowTest
    measure : bool
        Whether the limits are to be those of the rows; if not, those of the table stand, as grids are to be its.

    Raises
    ------
    DataError
        If there are none.
    """
    chosen = choose_rows(table, tests)
    if not chosen.n_rows:
        raise DataError("no row of the pixel table is left", file=table.path)
    measured = measure and chosen.n_rows < table.n_rows
    header, units = own_cards(table.header), table.units
    return SelectedTable(table.path, header, table.form, chosen.n_rows, table.columns, units, chosen, measured)


def without_rows(table: PixelTable, rows: npt.NDArray[np.int64]) -> SelectedTable:
    """A table without some rows, by their numbers; its limits are those of before."""
    bits, counts = [], []
    for first, last in pairwise(table.bounds.tolist()):
        kept = np.ones(last - first, np.bool_)
        kept[rows[(rows >= first) & (rows < last)] - first] = False
        bits.append(np.packbits(kept))
        counts.append(int(np.count_nonzero(kept)))
    chosen = ChosenRows(table, np.array(counts, np.int64), None, tuple(bits))
    header = own_cards(table.header)
    return SelectedTable(table.path, header, table.form, chosen.n_rows, table.columns, table.units, chosen, False)


def like_rows(table: PixelTable, selected: SelectedTable) -> SelectedTable:
    """The rows of a table that were selected in another state of it."""
    chosen = replace(selected.chosen, table=table)
    header = own_cards(table.header)
    return SelectedTable(table.path, header, table.form, chosen.n_rows, table.columns, table.units, chosen, False)
