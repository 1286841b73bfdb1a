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

from core.errors import DataError
from core.formats.pixtable_origin import encode_origin, origin_offset
from core.spatial.positions import SliceMap

__all__ = ["DERIVED", "SliceRows", "runs_of"]

DERIVED: Final = ("xpos", "ypos", "lambda", "origin")
_FEW_RUNS: Final = 256


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
        if len(self.runs) > _FEW_RUNS:
            return values[self.chosen]
        parts = [values[first:last] for first, last in self.runs.tolist()]
        return parts[0] if len(parts) == 1 else np.concatenate([values[:0], *parts])

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
        wave = self._shifted(self.map.wavelengths)
        return self.only((wave >= low) & (wave <= high))

    def only(self, wanted: npt.NDArray[np.bool_]) -> SliceRows:
        """The rows that are wanted, by the pixels of the map."""
        return SliceRows(self.ifu, self.map, runs_of(self.chosen & wanted), self.shift)

    def columns(
        self, first: int = 0, last: int | None = None, names: Sequence[str] = DERIVED
    ) -> dict[str, npt.NDArray[Any]]:
        """``xpos``, ``ypos``, ``lambda`` (float32) and ``origin`` (int32) of the rows ``first`` to ``last`` - 1."""
        pixels = self.pixels(first, last)
        start, stop = (int(pixels[0]), int(pixels[-1]) + 1) if len(pixels) else (0, 0)
        found = self.map.places(start, stop)
        inside: slice | npt.NDArray[np.int64] = slice(None) if len(pixels) == stop - start else pixels - start
        columns: dict[str, npt.NDArray[Any]] = {}
        for name in names:
            if name == "origin":
                x, y = found.x[inside], found.y[inside]
                columns[name] = encode_origin(x, y, self.ifu, self.map.slice_no, self.offset)
            elif name == "lambda":
                columns[name] = self._shifted(found.wave[inside])
            else:
                columns[name] = getattr(found, name)[inside]
        return columns

    def pixels(self, first: int = 0, last: int | None = None) -> npt.NDArray[np.int64]:
        """Numbers in the map of the rows ``first`` to ``last`` - 1."""
        stop = self.n_rows if last is None else last
        begins = self._ends - (self.runs[:, 1] - self.runs[:, 0])
        hit = slice(int(np.searchsorted(self._ends, first, "right")), int(np.searchsorted(begins, stop, "left")))
        low = self.runs[hit, 0] + np.maximum(first - begins[hit], 0)
        high = self.runs[hit, 1] - np.maximum(self._ends[hit] - stop, 0)
        lengths = np.maximum(high - low, 0)
        starts = np.repeat(low - (np.cumsum(lengths) - lengths), lengths)
        return starts + np.arange(int(lengths.sum()))

    def _shifted(self, wave: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return (wave.astype(np.float64) + self.shift).astype(np.float32) if self.shift else wave

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
