"""Some of the rows of a pixel table, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from core.errors import DataError
from core.formats.pixtable_header import PixtableLimits, own_cards, zero_point
from core.formats.pixtable_read import PixelTable
from core.formats.pixtable_select import ChosenRows, RowTest, choose_rows
from core.recipes.muse.steps.table import Columns, measure_limits

__all__ = ["SelectedTable", "good_rows", "select_rows"]


@dataclass(frozen=True)
class SelectedTable(PixelTable):
    """Rows that passed a test.

    Attributes
    ----------
    chosen : ChosenRows
    measured : PixtableLimits or None
        Extremes of the rows.
    """

    chosen: ChosenRows = field(repr=False)
    measured: PixtableLimits | None = field(repr=False)

    def read(self, first: int, last: int, names: Sequence[str] | None = None) -> Columns:
        """See `PixelTable.read`."""
        return self.chosen.read(first, last, names)

    @property
    def bounds(self) -> npt.NDArray[np.int64]:
        """See `PixelTable.bounds`."""
        return np.unique(self.chosen.starts)

    @property
    def exact_limits(self) -> PixtableLimits | None:
        """See `PixelTable.exact_limits`."""
        return self.measured

    def flat_field(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None:
        """See `PixelTable.flat_field`."""
        return self.chosen.flat_field()


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
    header = own_cards(table.header)
    selected = SelectedTable(
        table.path, header, table.form, chosen.n_rows, table.columns, table.units, chosen, table.exact_limits
    )
    if chosen.n_rows == table.n_rows or not measure:
        return selected
    limits = measure_limits(selected)
    limits.write(header, zero_point(header))
    return replace(selected, measured=limits)
