"""Rows of a pixel table that follow from few numbers: which pixels of a slice they are, and where these lie.

A pixel table of one exposure, as muse_scibasic makes it, holds in ``xpos``, ``ypos``, ``lambda`` and ``origin`` nothing
but what trace, wavelength solution and geometry say of each pixel of each slice. `SliceRows` is that: the map of the
slice, the shift of its wavelengths, and which of its pixels the table has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from numba import njit

from core.errors import DataError
from core.formats.pixtable_origin import encode_origin, origin_offset
from core.formats.pixtable_ranges import numbers
from core.spatial.positions import SliceMap

__all__ = ["DERIVED", "SliceRows", "runs_of"]

DERIVED: Final = ("xpos", "ypos", "lambda", "origin")
_FEW_RUNS: Final = 256
_NOTHING: Final = np.empty(0, np.float32)
_ROUNDING: Final = 0.01  # [Angstrom] that a shift in the precision of a table may be off


@dataclass(frozen=True, eq=False)
class SliceRows:
    """The rows that a pixel table has of one slice, in the order of the map.

    Attributes
    ----------
    ifu : int
    map : SliceMap
    runs : ndarray of int64, shape (n, 2)
        Which pixels of the map: first, and the one after the last; ascending, apart from each other.
    shift : float
        Added to the wavelengths [Angstrom].
    """

    ifu: int
    map: SliceMap
    runs: npt.NDArray[np.int64]
    shift: float = 0.0

    @classmethod
    def whole(cls, ifu: int, slice_map: SliceMap, shift: float = 0.0) -> SliceRows:
        """All pixels of a slice."""
        return cls(ifu, slice_map, np.array([[0, slice_map.n_rows]], np.int64), shift)

    @property
    def offset(self) -> int:
        """Offset of the columns of the detector in ``origin``."""
        return origin_offset(self.map.left_at_bottom)

    @cached_property
    def _ends(self) -> npt.NDArray[np.int64]:
        return np.cumsum(self.runs[:, 1] - self.runs[:, 0])

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return int(self._ends[-1]) if len(self._ends) else 0

    def wavelengths(self) -> npt.NDArray[np.float32]:
        """Wavelength of each row [Angstrom, air], shifted."""
        return self._shifted(self.of_rows(self.map.wavelengths))

    def of_rows(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Those of values for each pixel of the map that belong to the rows."""
        return _cut(values, self.runs[:, 0], self.runs[:, 1])

    @property
    def chosen(self) -> npt.NDArray[np.bool_]:
        """Of each pixel of the map whether the table has it."""
        if len(self.runs) <= _FEW_RUNS:
            chosen = np.zeros(self.map.n_rows, np.bool_)
            for first, last in self.runs.tolist():
                chosen[first:last] = True
            return chosen
        edges = np.zeros(self.map.n_rows + 1, np.int8)
        edges[self.runs[:, 0]] += 1
        edges[self.runs[:, 1]] -= 1
        return np.cumsum(edges[:-1], dtype=np.int8).view(np.bool_)

    def within(self, low: float, high: float) -> SliceRows:
        """The rows whose wavelengths lie in a range, both ends included [Angstrom]."""
        runs = _runs_within(self.map.wavelengths, self.runs, self.shift, np.float32(low), np.float32(high))
        return SliceRows(self.ifu, self.map, runs, self.shift)

    def wave_limits(self) -> tuple[float, float] | None:
        """Lowest and highest wavelength of the rows [Angstrom, air], shifted; None if there are none."""
        if not self.n_rows:
            return None
        low, high = _extremes(self.map.wavelengths, self.runs, self.shift)
        return float(low), float(high)

    def rows_near(self, low: float, high: float) -> tuple[int, int]:
        """A range of rows, first and last + 1, among which are all with wavelengths from ``low`` to ``high``."""
        pixels = np.array(self.map.pixels_near(low - self.shift - _ROUNDING, high - self.shift + _ROUNDING))
        runs = np.searchsorted(self.runs[:, 1], pixels, "right")
        begins = np.append(self._ends - (self.runs[:, 1] - self.runs[:, 0]), self.n_rows)
        into = np.maximum(pixels - np.append(self.runs[:, 0], self.map.n_rows)[runs], 0)
        first, last = np.minimum(begins[runs] + into, self.n_rows).tolist()
        return first, last

    def only(self, wanted: npt.NDArray[np.bool_]) -> SliceRows:
        """The rows that are wanted, by the pixels of the map."""
        return SliceRows(self.ifu, self.map, runs_of(self.chosen & wanted), self.shift)

    def columns(
        self, first: int = 0, last: int | None = None, names: Sequence[str] = DERIVED
    ) -> dict[str, npt.NDArray[Any]]:
        """``xpos``, ``ypos``, ``lambda`` (float32) and ``origin`` (int32) of the rows ``first`` to ``last`` - 1."""
        stop = self.n_rows if last is None else last
        n = max(stop - first, 0)
        columns = {name: np.empty(n, np.int32 if name == "origin" else np.float32) for name in names}
        self.fill(first, stop, columns)
        return columns

    def fill(self, first: int, last: int, out: Mapping[str, npt.NDArray[Any]]) -> None:
        """Fill arrays for `columns`, of the rows ``first`` to ``last`` - 1."""
        low, high = self._spans(first, last)
        xpos, ypos, wave = (out.get(name, _NOTHING) for name in ("xpos", "ypos", "lambda"))
        self.map.fill_positions(low, high, self.shift, (xpos, ypos, wave))
        if "origin" in out:
            start, stop = (int(low[0]), int(high[-1])) if len(low) else (0, 0)
            x, y = (_cut(values, low - start, high - start) for values in self.map.pixels(start, stop))
            out["origin"][:] = encode_origin(x, y, self.ifu, self.map.slice_no, self.offset)

    def pixels(self, first: int = 0, last: int | None = None) -> npt.NDArray[np.int64]:
        """Numbers in the map of the rows ``first`` to ``last`` - 1."""
        return numbers(np.stack(self._spans(first, self.n_rows if last is None else last), axis=1))

    def _spans(self, first: int, last: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Runs of the rows ``first`` to ``last`` - 1 in the map: first pixels, and the ones after the last."""
        begins = self._ends - (self.runs[:, 1] - self.runs[:, 0])
        hit = slice(int(np.searchsorted(self._ends, first, "right")), int(np.searchsorted(begins, last, "left")))
        low = self.runs[hit, 0] + np.maximum(first - begins[hit], 0)
        high = self.runs[hit, 1] - np.maximum(self._ends[hit] - last, 0)
        return low, np.maximum(high, low)

    def _shifted(self, wave: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return _add(wave, self.shift) if self.shift else wave

    def matching(self, columns: Mapping[str, npt.NDArray[Any]]) -> SliceRows:
        """The rows of a table, if they are rows of this slice.

        Parameters
        ----------
        columns : mapping
            ``xpos``, ``ypos``, ``lambda``, ``origin`` of all rows of the slice.

        Raises
        ------
        DataError
            Naming the first column that is not, bit for bit, what trace, wavelength solution and geometry say.
        """
        found = self.at(columns["origin"])
        for name, values in found.columns().items():
            if (worst := _unlike(values, columns[name])) is not None:
                raise DataError(f"{self._where}: the column {name} is not what the tables say, by up to {worst:.3g}")
        return found

    def at(self, origin: npt.NDArray[np.int32]) -> SliceRows:
        """The rows of these places on the detector.

        Raises
        ------
        DataError
            If they are not in the order of the detector, or some are none of the slice.
        """
        x, y = (origin >> 24) + self.offset, (origin >> 11) & 8191
        all_places = self.map.places()
        key, known = _ordered(x, y), _ordered(all_places.x, all_places.y)
        if np.any(np.diff(key) <= 0):
            raise DataError(f"{self._where}: the rows are not in the order of the detector")
        places = np.searchsorted(known, key)
        if np.any(places >= len(known)) or np.any(known[places] != key):
            raise DataError(f"{self._where}: the table has pixels that are none of the slice")
        wanted = np.zeros(len(known), np.bool_)
        wanted[places] = True
        return self.only(wanted)

    @property
    def _where(self) -> str:
        return f"IFU {self.ifu}, slice {self.map.slice_no}"


def _cut(values: npt.NDArray[Any], low: npt.NDArray[np.int64], high: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
    """Runs of values, one after the other."""
    if len(low) > _FEW_RUNS:
        return values[numbers(np.stack([low, high], axis=1))]
    parts = [values[first:last] for first, last in zip(low.tolist(), high.tolist(), strict=True)]
    return parts[0] if len(parts) == 1 else np.concatenate([values[:0], *parts])


@njit(cache=True, nogil=True)
def _add(wave, shift):  # type: ignore[no-untyped-def]
    shifted = np.empty_like(wave)
    for k in range(wave.size):
        shifted[k] = np.float32(np.float64(wave[k]) + shift)
    return shifted


@njit(cache=True, nogil=True)
def _extremes(wave, runs, shift):  # type: ignore[no-untyped-def]
    """Lowest and highest of the shifted wavelengths in some runs."""
    low, high = np.float32(np.inf), np.float32(-np.inf)
    for run in range(runs.shape[0]):
        for k in range(runs[run, 0], runs[run, 1]):
            low, high = min(low, wave[k]), max(high, wave[k])
    return np.float32(np.float64(low) + shift), np.float32(np.float64(high) + shift)


@njit(cache=True, nogil=True)
def _runs_within(wave, runs, shift, low, high):  # type: ignore[no-untyped-def]
    """Runs of shifted wavelengths that lie in a range, both ends included, of what lies in some runs."""
    found = np.empty((wave.size // 2 + 1, 2), np.int64)
    n, before = 0, -1  # runs; the end of the last one
    for run in range(runs.shape[0]):
        for k in range(runs[run, 0], runs[run, 1]):
            shifted = np.float32(np.float64(wave[k]) + shift)
            if not low <= shifted <= high:
                continue
            if before == k:
                found[n - 1, 1] = k + 1
            else:
                found[n, 0], found[n, 1] = k, k + 1
                n += 1
            before = k + 1
    return found[:n].copy()


def _ordered(x: npt.NDArray[np.int32], y: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    return y.astype(np.int64) * 8192 + x


def _unlike(mine: npt.NDArray[Any], its: npt.NDArray[Any]) -> float | None:
    """Largest difference; None if all bits are the same."""
    if np.array_equal(mine.view(np.int32), np.asarray(its).view(np.int32)):
        return None
    return float(np.max(np.abs(mine.astype(np.float64) - its)))


def runs_of(wanted: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Runs of true values: first, and the one after the last; shape (n, 2)."""
    padded = np.zeros(len(wanted) + 2, np.int8)
    padded[1:-1] = wanted
    return np.flatnonzero(np.diff(padded)).reshape(-1, 2).astype(np.int64)
