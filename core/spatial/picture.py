"""A picture of the spectra of an IFU for the eye: rows resampled along the wavelength, slices side by side."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["RowsOfSlice", "SliceColumns", "StackedLines", "spectra_side_by_side"]

_REACH: Final = 1.25  # of the weights, in pixels
_LARGEST: Final = float(np.finfo(np.float32).max)


@dataclass(frozen=True, eq=False)
class RowsOfSlice:
    """Rows of slices, arrays of shape (n,): position along it [pix], wavelength [Angstrom], value and flags."""

    xpos: NDArray[np.float32]
    wave: NDArray[np.float32]
    data: NDArray[np.float32]
    dq: NDArray[np.int32]


def spectra_side_by_side(
    slices: Iterable[RowsOfSlice], wave_range: tuple[float, float], step: float
) -> NDArray[np.float32]:
    """Resample rows without flags on a common axis of wavelengths.

    Parameters
    ----------
    slices : iterable of RowsOfSlice
        From left to right.
    wave_range : tuple of float
        First wavelength of the picture, and the last one to be covered [Angstrom].
    step : float
        Wavelength per pixel of the picture [Angstrom].

    Returns
    -------
    ndarray of float32 (n_wave, sum of the widths of the slices)
        NaN where no row contributes. Values are averaged with weights ((rc - d) / (rc d))^2 of the distance d in
        wavelength, rc = 1.25 steps (Renka 1988, ACM TOMS 14, 139).
    """
    low, high = wave_range
    n_wave = math.ceil((high - low) / step) + 1
    pictures = [_picture(rows, low, step, n_wave) for rows in slices if rows.xpos.size]
    return np.concatenate(pictures, axis=1) if pictures else np.zeros((n_wave, 0), np.float32)


def _picture(rows: RowsOfSlice, low: float, step: float, n_wave: int) -> NDArray[np.float32]:
    left = float(rows.xpos.min())
    columns = SliceColumns(np.array([left]), np.array([0, math.ceil(float(rows.xpos.max()) - left) + 1]))
    place = np.zeros(rows.xpos.size, np.int64)
    return StackedLines(columns, low, step, range(n_wave)).add(rows, place).picture()


@dataclass(frozen=True, eq=False)
class SliceColumns:
    """Which columns of a picture slices have.

    Attributes
    ----------
    left : ndarray of float64, shape (slices,)
        Position of the first column of each.
    start : ndarray of int64, shape (slices + 1,)
        That column, from 0, and the width of the picture.
    across : float
        Size of a column, in the unit of positions.
    """

    left: NDArray[np.float64]
    start: NDArray[np.int64]
    across: float = 1.0

    @classmethod
    def of(cls, low: NDArray[np.float64], high: NDArray[np.float64], across: float) -> SliceColumns:
        """Side by side, from the lowest and highest position in each slice; NaN of a slice without rows."""
        width = np.where(np.isnan(low), 0, np.ceil((high - low) / across) + 1).astype(np.int64)
        return cls(low, np.concatenate([[0], np.cumsum(width)]), across)


class StackedLines:
    """Some lines of a picture, rows of pixels being added in any portions.

    Parameters
    ----------
    columns : SliceColumns
    low, step : float
        Wavelength of line 0, and that per line [Angstrom].
    lines : range
    """

    def __init__(self, columns: SliceColumns, low: float, step: float, lines: range) -> None:
        self.columns, self.low, self.step, self.lines = columns, low, step, lines
        self._sums = np.zeros((2, len(lines), int(columns.start[-1])))

    @property
    def reach(self) -> tuple[float, float]:
        """Wavelengths [Angstrom] beyond which rows add nothing."""
        return self.low + (self.lines.start - 2) * self.step, self.low + (self.lines.stop + 1) * self.step

    def add(self, rows: RowsOfSlice, place: NDArray[np.int64]) -> StackedLines:
        """Add rows; ``place`` is the number of the slice of each."""
        columns = self.columns
        _gather(
            rows.xpos, rows.wave, rows.data, rows.dq, place, columns.left, columns.start, columns.across,
            self.low, self.step, self.lines.start, _REACH * self.step, self._sums,
        )  # fmt: skip
        return self

    def picture(self) -> NDArray[np.float32]:
        """The lines, shape (lines, width); NaN where no row contributes."""
        values, weights = self._sums
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(weights > 0, values / weights, np.nan).astype(np.float32)


@njit(cache=True, nogil=True)
def _gather(xpos, wave, data, dq, place, left, start, across, low, step, first, reach, sums):  # type: ignore[no-untyped-def]
    """Add each row to the pixel that it lies in and to those before and after it in wavelength."""
    n_lines = sums.shape[1]
    for k in range(data.size):
        if dq[k] != 0:
            continue
        number = place[k]
        column = start[number] + int(np.floor((np.float64(xpos[k]) - left[number]) / across + 0.5))
        nearest = int(np.floor((np.float64(wave[k]) - low) / step + 0.5))
        if not start[number] <= column < start[number + 1]:
            continue
        for line in range(max(nearest - 1, first), min(nearest + 2, first + n_lines)):
            distance = abs(low + line * step - wave[k])
            if distance >= reach:
                continue
            weight = _LARGEST if distance == 0.0 else ((reach - distance) / (reach * distance)) ** 2
            sums[0, line - first, column] += weight * data[k]
            sums[1, line - first, column] += weight
