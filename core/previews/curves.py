"""Curves over wavelength in tables of products, thinned to what a page can show.

A table holds curves if its first column is a wavelength [Angstrom] that ascends; each further column of numbers is one.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from core.errors import BadFitsError, MissingInputError
from core.fitsfile.dataunit import column_cards, column_names, read_columns
from core.fitsfile.header import Header
from core.fitsfile.scan import scan_fits

__all__ = ["Curves", "has_curves", "read_curves"]

_POINTS: Final = 1500  # of a curve at most: means of as many rows as it takes

F64 = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Curves:
    """Curves of a table.

    Attributes
    ----------
    wave : ndarray of float64
        Ascending [Angstrom].
    values : dict of str to ndarray of float64
        By column, one for each wavelength.
    units : dict of str to str
        Of the columns; empty if there is none.
    """

    wave: F64
    values: dict[str, F64]
    units: dict[str, str]

    def at(self, column: str, wave: F64) -> F64:
        """A curve at other wavelengths; NaN beyond its ends, and everywhere if there is no such column."""
        if column not in self.values:
            return np.full(wave.size, np.nan)
        return np.asarray(np.interp(wave, self.wave, self.values[column], left=np.nan, right=np.nan))


def has_curves(header: Header) -> bool:
    """Whether the table of a header may hold curves."""
    names, units, forms = (column_cards(header, card) for card in ("TTYPE", "TUNIT", "TFORM"))
    return len(names) > 1 and units[0] == "Angstrom" and forms[0] in ("D", "1D", "E", "1E")


def read_curves(path: str | os.PathLike[str], index: int) -> Curves:
    """The curves of a table of a file.

    Parameters
    ----------
    path : path-like
    index : int
        Number of its HDU.

    Raises
    ------
    MissingInputError
        If there is no such table, or it holds no curves.
    BadFitsError
        If it is cut.
    """
    path = Path(path)
    hdus = scan_fits(path).hdus
    if not 0 <= index < len(hdus) or hdus[index].kind != "table" or not has_curves(hdus[index].header):
        raise MissingInputError(f"extension {index} holds no curves over wavelength", file=path)
    header = hdus[index].header
    columns = read_columns(path, hdus[index])
    names, units = column_names(header), column_cards(header, "TUNIT")
    wave = np.asarray(columns[names[0]], np.float64)
    if wave.size < 2 or not (np.diff(wave) > 0).all():
        raise MissingInputError("the wavelengths of the table do not ascend: it holds no curves", file=path)
    values = {name: _thinned(columns[name]) for name in names[1:] if _is_curve(columns.get(name), wave.size)}
    if not values:
        raise BadFitsError("the table has no column of numbers beside its wavelengths", file=path)
    return Curves(_thinned(wave), values, dict(zip(names, units, strict=True)))


def _is_curve(cells: npt.NDArray[Any] | None, rows: int) -> bool:
    return cells is not None and cells.shape == (rows,) and cells.dtype.kind in "fiu"


def _thinned(values: npt.NDArray[Any]) -> F64:
    step = -(-values.size // _POINTS)
    first = np.arange(0, values.size, step)
    return np.asarray(np.add.reduceat(values.astype(np.float64), first) / np.diff([*first, values.size]))
