"""Where the slices lie on the detector: the polynomials of a trace table become positions.

A `Trace` holds, for each slice of one IFU, three polynomials ``x(y)`` (centre, left edge, right edge) in
plain powers of the FITS row ``y`` of the trimmed image, as they are stored in TRACE_TABLE (columns
``SliceNo``, ``Width``, ``tc0_00..``, ``MSE0``, ``tc1_00..``, ``MSE1``, ``tc2_00..``, ``MSE2``). A slice that
could not be traced has NaN in its row; it is data, and only who asks for that slice gets an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from core.errors import TracingError

__all__ = ["Trace", "TraceLine"]

FloatArray: TypeAlias = npt.NDArray[np.float64]

_COEFFICIENT = re.compile(r"tc([012])_(\d\d)$")


class TraceLine(IntEnum):
    """The three lines of a slice; the value is the digit in the column names of a trace table."""

    CENTER = 0
    LEFT = 1
    RIGHT = 2


@dataclass(frozen=True, eq=False)
class Trace:
    """Trace polynomials of the slices of one IFU.

    Attributes
    ----------
    slice_no : ndarray of int32, shape (n,)
        Slice numbers on the detector (1..48 from left to right), one per row.
    width : ndarray of float32, shape (n,)
        Mean width of each slice [pix].
    coefficients : ndarray of float64, shape (n, 3, order + 1)
        ``coefficients[row, line, k]`` belongs to ``y**k`` of `TraceLine` ``line``; NaN where there is none.
    mse : ndarray of float64, shape (n, 3)
        Mean squared residual of each fit [pix**2].
    """

    slice_no: npt.NDArray[np.int32]
    width: npt.NDArray[np.float32]
    coefficients: FloatArray
    mse: FloatArray

    def __post_init__(self) -> None:
        n = len(self.slice_no)
        if self.coefficients.ndim != 3 or self.coefficients.shape[:2] != (n, 3) or self.mse.shape != (n, 3):
            raise TracingError(
                f"a trace of {n} slices needs coefficients of shape ({n}, 3, order + 1), not {self.coefficients.shape}"
            )

    # -- from and to the columns of a table ----------------------------------------------------------

    @classmethod
    def from_columns(cls, columns: Mapping[str, Any]) -> Trace:
        """Trace from the columns of a TRACE_TABLE.

        Parameters
        ----------
        columns : mapping of str to array
            Columns by name; those of other names are ignored. A row without a usable ``SliceNo`` (NULL, for a
            slice that could not be traced) takes the number of its place if that is free.

        Raises
        ------
        TracingError
            If columns are missing or their polynomial orders differ.
        """
        found: dict[int, set[int]] = {0: set(), 1: set(), 2: set()}
        for name in columns:
            if match := _COEFFICIENT.match(name):
                found[int(match[1])].add(int(match[2]))
        order = max(found[0], default=-1)
        for line, powers in found.items():
            if order < 0 or powers != set(range(order + 1)):
                raise TracingError(f"not a trace table: incomplete coefficients tc{line}_NN")
        missing = [name for name in ("SliceNo", "Width", "MSE0", "MSE1", "MSE2") if name not in columns]
        if missing:
            raise TracingError(f"not a trace table: no column {', '.join(missing)}")
        coefficients = np.stack(
            [
                np.stack([_plain(columns[f"tc{line}_{k:02d}"], np.float64) for k in range(order + 1)], axis=-1)
                for line in TraceLine
            ],
            axis=1,
        )
        return cls(
            slice_no=_numbered(_plain(columns["SliceNo"], np.int32)),
            width=_plain(columns["Width"], np.float32),
            coefficients=coefficients,
            mse=np.stack([_plain(columns[f"MSE{line}"], np.float64) for line in TraceLine], axis=1),
        )

    def columns(self) -> dict[str, npt.NDArray[Any]]:
        """Columns of a TRACE_TABLE in their order."""
        result: dict[str, npt.NDArray[Any]] = {"SliceNo": self.slice_no, "Width": self.width}
        for line in TraceLine:
            for k in range(self.order + 1):
                result[f"tc{line}_{k:02d}"] = np.ascontiguousarray(self.coefficients[:, line, k])
            result[f"MSE{line}"] = np.ascontiguousarray(self.mse[:, line])
        return result

    # -- what is there ----------------------------------------------------------------------------------

    @property
    def order(self) -> int:
        """Order of the polynomials."""
        return self.coefficients.shape[2] - 1

    @cached_property
    def valid(self) -> npt.NDArray[np.bool_]:
        """Shape (n,): whether the row holds three complete polynomials."""
        return np.asarray(np.isfinite(self.coefficients).all(axis=(1, 2)), dtype=np.bool_)

    @property
    def valid_slices(self) -> list[int]:
        """Numbers of the slices that have a trace, ascending."""
        return sorted(int(number) for number in self.slice_no[self.valid])

    def has(self, slice_no: int) -> bool:
        """Whether a slice has a trace."""
        row = self._rows.get(slice_no)
        return row is not None and bool(self.valid[row])

    @cached_property
    def _rows(self) -> dict[int, int]:
        return {int(number): row for row, number in enumerate(self.slice_no)}

    # -- positions -------------------------------------------------------------------------------------

    def polynomial(self, slice_no: int, line: TraceLine) -> FloatArray:
        """Coefficients of one line of one slice, ascending powers of the FITS row.

        Raises
        ------
        TracingError
            If the slice has no trace.
        """
        row = self._rows.get(slice_no)
        if row is None or not self.valid[row]:
            raise TracingError(f"slice {slice_no} has no trace", slice=slice_no)
        result: FloatArray = self.coefficients[row, line]
        return result

    def evaluate(self, slice_no: int, line: TraceLine, y: npt.ArrayLike) -> FloatArray:
        """FITS column of one line of one slice at the FITS rows ``y`` [pix], float64, shape of ``y``."""
        return _horner(self.polynomial(slice_no, line), y)

    def slope(self, slice_no: int, line: TraceLine, y: npt.ArrayLike) -> FloatArray:
        """Derivative dx/dy of one line of one slice at the FITS rows ``y`` [pix/pix], float64."""
        coefficients = self.polynomial(slice_no, line)
        return _horner(coefficients[1:] * np.arange(1, len(coefficients)), y)

    def center(self, slice_no: int, y: npt.ArrayLike) -> FloatArray:
        """FITS column of the centre of a slice at the FITS rows ``y`` [pix]."""
        return self.evaluate(slice_no, TraceLine.CENTER, y)

    def left(self, slice_no: int, y: npt.ArrayLike) -> FloatArray:
        """FITS column of the left edge of a slice at the FITS rows ``y`` [pix]."""
        return self.evaluate(slice_no, TraceLine.LEFT, y)

    def right(self, slice_no: int, y: npt.ArrayLike) -> FloatArray:
        """FITS column of the right edge of a slice at the FITS rows ``y`` [pix]."""
        return self.evaluate(slice_no, TraceLine.RIGHT, y)

    def width_of(self, slice_no: int) -> float:
        """Mean width of a slice as measured [pix]; NaN if there is none."""
        row = self._rows.get(slice_no)
        return float("nan") if row is None else float(self.width[row])

    @classmethod
    def from_polynomials(
        cls, slice_no: Iterable[int], center: FloatArray, left: FloatArray, right: FloatArray
    ) -> Trace:
        """Trace of known polynomials, each of shape (n, order + 1), e.g. the truth of a simulation."""
        numbers = np.asarray(list(slice_no), dtype=np.int32)
        coefficients = np.stack([center, left, right], axis=1).astype(np.float64)
        width = (right[:, 0] - left[:, 0]).astype(np.float32)
        return cls(numbers, width, coefficients, np.zeros((len(numbers), 3)))


def _horner(coefficients: FloatArray, y: npt.ArrayLike) -> FloatArray:
    rows = np.asarray(y, dtype=np.float64)
    result = np.zeros_like(rows)
    for coefficient in coefficients[::-1]:
        result = result * rows + coefficient
    return result


def _plain(column: Any, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Plain array of a column; NULL becomes NaN (floats) or 0 (integers)."""
    if isinstance(column, np.ma.MaskedArray):
        column = column.filled(np.nan if np.issubdtype(dtype, np.floating) else 0)
    return np.array(column, dtype=dtype)


def _numbered(slice_no: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """Slice numbers in which a row without one takes the number of its place, if that is free."""
    taken = set(slice_no[slice_no > 0].tolist())
    result = slice_no.copy()
    for row in np.flatnonzero(slice_no <= 0):
        if row + 1 not in taken:
            result[row] = row + 1
    return result
