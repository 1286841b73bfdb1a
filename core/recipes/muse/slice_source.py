"""Pixels of a compact table, for cubes: only the slices that a band of the field touches are read.

A band of few rows of the field meets the slices of one or two IFUs, and of these a few. So a cube of the whole field is
made band by band without reading any table more often than its margins demand.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from core.cubes.grid import Columns, TablePositions
from core.errors import BadFitsError
from core.formats.pixtable_header import PixtableLimits
from core.formats.pixtable_read import CompactTable, open_pixtable
from core.formats.pixtable_slices import SliceRows
from core.recipes.muse.pixel_source import Limits, PixelSource

__all__ = ["source_of_slices"]

_NAMES: Final = ("xpos", "ypos", "lambda", "data", "dq", "stat")
_TOLERANCE: Final = 1e-3  # [pix] that rounding to float32 may move a pixel


@dataclass(frozen=True)
class _Slice:
    """Rows of a slice, the number of the first of them in the table, and where they lie across the field."""

    rows: SliceRows
    first: int
    y: Limits

    def near(self, wave: Limits | None) -> tuple[int, int]:
        """Rows of the table, first and last + 1, among which are all between two wavelengths (all of the slice)."""
        first, last = (0, self.rows.n_rows) if wave is None else self.rows.rows_near(*wave)
        return self.first + first, self.first + last


def source_of_slices(path: Path, limits: PixtableLimits, scale: float = 1.0) -> PixelSource:
    """Pixels of a compact table whose positions are in pixels.

    Parameters
    ----------
    path : pathlib.Path
    limits : PixtableLimits
        Of all rows; the header of the table has them with fewer digits.
    scale : float
        The data are divided by it, and the variances by its square.

    Raises
    ------
    BadFitsError
        If the file is no compact pixel table.
    """
    table = open_pixtable(path)
    if not isinstance(table, CompactTable):
        raise BadFitsError("the pixel table is not of the compact form", file=path)
    bounds = np.cumsum([0, *(rows.n_rows for rows in table.slices)]).tolist()
    slices = [_Slice(rows, bounds[k], _across(rows)) for k, rows in enumerate(table.slices)]

    def read(wave: Limits, y: Limits) -> Columns:
        wanted = None if wave[0] <= limits.wave[0] and limits.wave[1] <= wave[1] else wave
        chosen = [item.near(wanted) for item in slices if item.y[0] <= y[1] and y[0] <= item.y[1]]
        columns = _empty(sum(last - first for first, last in chosen))
        table.gather_into(columns, np.array([pair for pair in chosen if pair[0] < pair[1]], np.int64).reshape(-1, 2))
        if scale != 1.0:
            columns["data"] /= np.float32(scale)
            columns["stat"] /= np.float32(scale * scale)
        return columns

    x, y, wave = ((float(low), float(high)) for low, high in (limits.x, limits.y, limits.wave))
    return PixelSource(table.header, table.units["data"], TablePositions(), x, y, wave, table.n_rows, read)


def _across(rows: SliceRows) -> Limits:
    """Lowest and highest y of a slice, a little wide."""
    place = rows.map.place
    reach = 0.5 * place.width * abs(math.sin(math.radians(place.angle))) + _TOLERANCE
    return place.y - reach, place.y + reach


def _empty(n: int) -> dict[str, npt.NDArray[Any]]:
    return {name: np.empty(n, np.int32 if name == "dq" else np.float32) for name in _NAMES}
