"""Slices are brought to one level (autocalibration): what is measured, and what they are multiplied with."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Final

from core.fitsfile.header import Header
from core.fitsfile.keywords import set_key
from core.formats.pixtable_origin import PREFIX
from core.formats.pixtable_read import PixelTable
from core.onsky.autocal import SliceFactors, SliceSums, measure_factors
from core.recipes.muse.steps.table import Columns, CorrectedTable, RowStep

__all__ = ["AUTOCAL", "LEVELLED", "level_slices", "measure_slices"]

AUTOCAL: Final = f"{PREFIX}.AUTOCAL"
LEVELLED: Final = {
    "slice-median": "15.000 (sigma of factors that are believed)",
    "user": "factors of an AUTOCAL_FACTORS",
}
"""What the keyword says when it was done, and its comment."""


@dataclass(frozen=True, eq=False)
class _LevelStep(RowStep):
    factors: SliceFactors
    method: str
    changes: ClassVar = ("data", "stat")
    needs: ClassVar = ("lambda", "data", "stat", "origin")

    def apply(self, columns: Columns) -> Columns:
        cells = (columns[name] for name in ("origin", "lambda", "data", "stat"))
        data, stat = self.factors.multiply(*cells)
        return {"data": data, "stat": stat}

    def describe(self, header: Header) -> None:
        set_key(header, AUTOCAL, self.method, LEVELLED[self.method])


def measure_slices(rows: PixelTable, sums: SliceSums) -> SliceFactors:
    """The factors of slices, from rows that have sky alone; flags do not matter."""
    for first, last in pairwise(rows.bounds.tolist()):
        if first < last:
            cells = rows.read(first, last, ("origin", "lambda", "data"))
            sums.add(cells["origin"], cells["lambda"], cells["data"])
    return measure_factors(sums)


def level_slices(table: PixelTable, factors: SliceFactors, method: str) -> PixelTable:
    """A table whose slices are multiplied with their factors; ``method`` is one of `LEVELLED`."""
    return CorrectedTable.of(table, _LevelStep(factors, method))
