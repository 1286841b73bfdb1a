"""Pixels of a slice on the detector become positions in the field of view and wavelengths.

A slice has two edges ``x(y)``, a wavelength ``lambda(x, y)`` (both polynomials in 1-based pixels of the trimmed image)
and a place in the field: centre, angle and width (GEOMETRY_TABLE; MUSE manual, A.3.10). Its pixels, from the first
one inside the left edge to the last inside the right one, row by row, are its *rows* in a pixel table, numbered from
0. Left on the detector is right in the field, within a slice.

Everything follows from the few numbers of a `SliceMap`, bit for bit, whenever it is asked for.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from numba import njit
from numpy.typing import NDArray

from core.instruments.muse.facts import SLICE_WIDTH_LIMITS, SLICE_WIDTH_NOMINAL

__all__ = ["WAVE_LIMITS", "FieldPlace", "PixelPlaces", "SliceMap", "take_together"]

_BLOCK_LINES: Final = 32  # of the detector, 40 Angstrom
_UNKNOWN: Final = np.empty(0, np.float32)
WAVE_LIMITS: Final = (3000.0, 11000.0)  # [Angstrom]; a pixel beyond is none of a slice
_ROUNDING: Final = 1.0  # [Angstrom] that no error of rounding reaches


@dataclass(frozen=True)
class FieldPlace:
    """Where a slice lies in the field of view.

    Attributes
    ----------
    x, y : float
        Its centre [pix of 0.2 arcsec].
    angle : float
        Of its long side against the x axis, counter-clockwise [deg].
    width : float
        [pix of 0.2 arcsec]
    """

    x: float
    y: float
    angle: float
    width: float

    @classmethod
    def beside_others(cls, slice_no: int) -> FieldPlace:
        """Place of a slice when no geometry is known: slices side by side in the order of the detector."""
        pitch = SLICE_WIDTH_LIMITS[1]
        return cls((slice_no - 1) * pitch + 0.5 * pitch, 0.0, 0.0, SLICE_WIDTH_NOMINAL)

    def xpos(self, columns: NDArray[Any], left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
        """Positions of some pixels [pix of 0.2 arcsec], not rounded to the numbers of a pixel table.

        Parameters
        ----------
        columns, left, right : ndarray
            Column of each pixel, and edges of the slice in its row [pix, 1-based].
        """
        along = (0.5 * (left + right) - columns) / (right - left) * self.width
        return along * math.cos(math.radians(self.angle)) + self.x


@dataclass(frozen=True, eq=False)
class PixelPlaces:
    """Places of some rows of a slice, arrays of shape (n,).

    Attributes
    ----------
    xpos, ypos : ndarray of float32
        In the field of view [pix of 0.2 arcsec].
    wave : ndarray of float32
        Wavelength [Angstrom, air].
    x, y : ndarray of int32
        1-based pixels of the trimmed image.
    """

    xpos: NDArray[np.float32]
    ypos: NDArray[np.float32]
    wave: NDArray[np.float32]
    x: NDArray[np.int32]
    y: NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class SliceMap:
    """The pixels of one slice.

    Attributes
    ----------
    slice_no : int
        On the detector, 1..48 from left to right.
    left, right : ndarray of float64 (order + 1,)
        Edges: coefficients of the powers of the row ``y`` [pix].
    wave : ndarray of float64 (xorder + 1, yorder + 1)
        Wavelength: coefficients of ``x**i * y**j`` [Angstrom, air].
    place : FieldPlace
    shape : tuple of int
        (ny, nx) of the trimmed image.
    """

    slice_no: int
    left: NDArray[np.float64]
    right: NDArray[np.float64]
    wave: NDArray[np.float64]
    place: FieldPlace
    shape: tuple[int, int]

    @cached_property
    def edges(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Left and right edge in the rows 1, 2, ... that the slice reaches [pix].

        It ends before the first row in which an edge leaves the detector or the edges cross: what lies beyond is
        no trace of this slice.
        """
        ny, nx = self.shape
        rows = np.arange(1, ny + 1, dtype=np.float64)
        left, right = _horner(self.left, rows), _horner(self.right, rows)
        inside = np.isfinite(left) & np.isfinite(right) & (left >= 1) & (right <= nx) & (left <= right)
        n = ny if inside.all() else int(np.argmin(inside))
        return left[:n], right[:n]

    @property
    def left_at_bottom(self) -> float:
        """Left edge in row 1 [pix]."""
        return float(_horner(self.left, np.ones(1))[0])

    @property
    def is_cut(self) -> bool:
        """Whether the slice ends before the last row of the detector."""
        return len(self.edges[0]) < self.shape[0]

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """First row of the slice in each line of the detector, and the number of rows: shape (lines + 1,)."""
        left, right = self.edges
        counts = np.zeros(len(left) + 1, np.int64)
        _count(left, right, self.wave, WAVE_LIMITS[0], WAVE_LIMITS[1], counts[1:])
        return np.cumsum(counts)

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return int(self.starts[-1])

    def places(self, first: int = 0, last: int | None = None) -> PixelPlaces:
        """Places of the rows ``first`` up to but not including ``last`` (all unless told otherwise)."""
        stop = self.n_rows if last is None else last
        n = stop - first
        xpos, ypos, wave = (np.empty(n, np.float32) for _ in range(3))
        found = PixelPlaces(xpos, ypos, wave, np.empty(n, np.int32), np.empty(n, np.int32))
        if n:
            angle = math.radians(self.place.angle)
            _fill(
                *self.edges, self.wave, WAVE_LIMITS[0], WAVE_LIMITS[1], self.starts, first, stop,
                self.place.x, self.place.y, math.cos(angle), math.sin(angle), self.place.width,
                found.xpos, found.ypos, found.wave, found.x, found.y,
            )  # fmt: skip
        return found

    def field_positions(
        self, first: NDArray[np.int64], last: NDArray[np.int64], shift: float = 0.0
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Positions in the field of view [pix of 0.2 arcsec] and wavelengths [Angstrom] of some runs of rows.

        Parameters
        ----------
        first, last : ndarray of int64 (runs,)
            First row of each run, and the one after its last; ascending.
        shift : float
            Added to the wavelengths [Angstrom].

        Returns
        -------
        tuple of ndarray of float32 (n,)
            ``xpos``, ``ypos`` and wavelength, as `places` has them.
        """
        n = int((last - first).sum())
        xpos, ypos, wave = (np.empty(n, np.float32) for _ in range(3))
        self.fill_positions(first, last, shift, (xpos, ypos, wave))
        return xpos, ypos, wave

    def fill_positions(
        self,
        first: NDArray[np.int64],
        last: NDArray[np.int64],
        shift: float,
        out: tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]],
    ) -> None:
        """Fill arrays for `field_positions`; empty ones are not wanted."""
        if any(values.size for values in out):
            angle = math.radians(self.place.angle)
            _fill_runs(
                *self.edges, self.wave, WAVE_LIMITS[0], WAVE_LIMITS[1], self.starts, first, last,
                self.place.x, self.place.y, math.cos(angle), math.sin(angle), self.place.width, shift,
                self.__dict__.get("wavelengths", _UNKNOWN), *out,
            )  # fmt: skip

    def pixels(self, first: int, last: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Columns and lines (1-based) of the rows ``first`` up to but not including ``last``."""
        if not self.is_gapless:
            found = self.places(first, last)
            return found.x, found.y
        x, y = (np.empty(max(last - first, 0), np.int32) for _ in range(2))
        if x.size:
            _fill_pixels(self.edges[0], self.starts, first, last, x, y)
        return x, y

    @cached_property
    def wavelengths(self) -> NDArray[np.float32]:
        """Wavelength of each row [Angstrom, air]; not to be changed."""
        wave = np.empty(self.n_rows, np.float32)
        left, right = self.edges
        _fill_wave(left, right, self.wave, WAVE_LIMITS[0], WAVE_LIMITS[1], wave)
        wave.flags.writeable = False
        return wave

    def pixels_near(self, low: float, high: float) -> tuple[int, int]:
        """A range of rows, first and last + 1, among which are all with wavelengths from ``low`` to ``high``."""
        least, most = self._wave_of_blocks
        hit = np.flatnonzero((most >= low) & (least <= high))
        if not hit.size:
            return 0, 0
        first, last = int(hit[0]) * _BLOCK_LINES, (int(hit[-1]) + 1) * _BLOCK_LINES
        return int(self.starts[first]), int(self.starts[min(last, self.starts.size - 1)])

    @cached_property
    def _wave_of_blocks(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Lowest and highest wavelength of the rows of some lines of the detector [Angstrom]."""
        left, right = self.edges
        n = -(-len(left) // _BLOCK_LINES)
        least, most = np.full(n, np.inf, np.float32), np.full(n, -np.inf, np.float32)
        if "wavelengths" in self.__dict__:
            _limits_of_blocks(self.wavelengths, self.starts, _BLOCK_LINES, least, most)
        else:
            _wave_limits(left, right, self.wave, WAVE_LIMITS[0], WAVE_LIMITS[1], _BLOCK_LINES, least, most)
        return least, most

    @cached_property
    def is_gapless(self) -> bool:
        """Whether every pixel between the edges has a wavelength."""
        left, right = self.edges
        return self.n_rows == int(np.sum(np.floor(right) - np.ceil(left) + 1))

    def take(self, image: NDArray[Any], rows: NDArray[np.bool_] | None = None) -> NDArray[Any]:
        """Pixels of an image in the order of the rows.

        Parameters
        ----------
        image : ndarray (ny, nx)
        rows : ndarray of bool (n_rows,), optional
            Those that are wanted; all unless told otherwise.

        Returns
        -------
        ndarray (n,), of the type of the image
        """
        left, right = self.edges
        out = np.empty(self.n_rows, image.dtype)
        _take(image, left, right, self.wave, WAVE_LIMITS[0], WAVE_LIMITS[1], self.is_gapless, out)
        return out if rows is None else out[rows]


def take_together(maps: Sequence[SliceMap], slabs: Iterable[NDArray[Any]], kind: npt.DTypeLike) -> list[NDArray[Any]]:
    """`SliceMap.take` for neighbouring slices: the image is read line by line, which is several times as fast.

    Parameters
    ----------
    maps : sequence of SliceMap
    slabs : iterable of ndarray (lines, nx)
        The lines of the image, some at a time.
    kind : dtype
        Of the image.
    """
    if not all(item.is_gapless for item in maps):
        image = np.concatenate(list(slabs))
        return [item.take(image) for item in maps]
    ny = maps[0].shape[0]
    spans = np.zeros((2, len(maps), ny), np.int64)  # first column and number of columns in each line
    for number, item in enumerate(maps):
        left, right = item.edges
        first = np.ceil(left)
        spans[0, number, : len(left)] = first - 1
        spans[1, number, : len(left)] = np.floor(right) - first + 1
    ends = np.cumsum([item.n_rows for item in maps])
    places = np.concatenate([[0], ends[:-1]])
    out = np.empty(int(ends[-1]), kind)
    line = 0
    for slab in slabs:
        _take_lines(slab, spans[0], spans[1], line, places, out)
        line += slab.shape[0]
    return np.split(out, ends[:-1])


def _horner(coefficients: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    result = np.zeros_like(y)
    for coefficient in coefficients[::-1]:
        result = result * y + coefficient
    return result


@njit(cache=True, nogil=True)
def _in_x(wave, y, out):  # type: ignore[no-untyped-def]
    """Coefficients of the powers of x in line ``y``."""
    for i in range(wave.shape[0]):
        value = wave[i, wave.shape[1] - 1]
        for j in range(wave.shape[1] - 2, -1, -1):
            value = value * y + wave[i, j]
        out[i] = value


@njit(cache=True, nogil=True)
def _at(powers, x):  # type: ignore[no-untyped-def]
    value = powers[powers.size - 1]
    for i in range(powers.size - 2, -1, -1):
        value = value * x + powers[i]
    return value


@njit(cache=True, nogil=True)
def _is_between(powers, first, last, low, high):  # type: ignore[no-untyped-def]
    """Whether a polynomial is surely between two values for all x from ``first`` > 0 to ``last``; false for NaN."""
    least = most = powers[powers.size - 1]
    for i in range(powers.size - 2, -1, -1):
        least = least * (first if least > 0 else last) + powers[i]
        most = most * (last if most > 0 else first) + powers[i]
    return low + _ROUNDING <= least and most <= high - _ROUNDING


@njit(cache=True, nogil=True)
def _count(left, right, wave, low, high, counts):  # type: ignore[no-untyped-def]
    powers = np.empty(wave.shape[0])
    for row in range(left.size):
        _in_x(wave, row + 1.0, powers)
        first, last = math.ceil(left[row]), math.floor(right[row])
        if _is_between(powers, float(first), float(last), low, high):
            counts[row] = max(last - first + 1, 0)
            continue
        n = 0
        for x in range(first, last + 1):
            if low <= _at(powers, float(x)) <= high:  # false for NaN
                n += 1
        counts[row] = n


@njit(cache=True, nogil=True)
def _fill(  # type: ignore[no-untyped-def]
    left, right, wave, low, high, starts, first, last, x0, y0, cosine, sine, width, xpos, ypos, lam, xs, ys
):
    powers = np.empty(wave.shape[0])
    row = np.searchsorted(starts, first, side="right") - 1
    while row < left.size and starts[row] < last:
        _in_x(wave, row + 1.0, powers)
        middle = 0.5 * (left[row] + right[row])
        scale = right[row] - left[row]
        k = starts[row]
        for x in range(math.ceil(left[row]), math.floor(right[row]) + 1):
            value = _at(powers, float(x))
            if low <= value <= high:
                if first <= k < last:
                    i = k - first
                    along = float(np.float32((middle - x) / scale * width))
                    xpos[i] = np.float32(along * cosine + x0)
                    ypos[i] = np.float32(along * sine + y0)
                    lam[i] = np.float32(value)
                    xs[i] = x
                    ys[i] = row + 1
                k += 1
        row += 1


@njit(cache=True, nogil=True)
def _fill_pixels(left, starts, first, last, xs, ys):  # type: ignore[no-untyped-def]
    """The same of pixels alone, where every one between the edges is a row."""
    row = np.searchsorted(starts, first, side="right") - 1
    while row < left.size and starts[row] < last:
        begin, end = max(starts[row], first), min(starts[row + 1], last)
        x = math.ceil(left[row]) + begin - starts[row]
        for k in range(end - begin):
            xs[begin - first + k] = x + k
            ys[begin - first + k] = row + 1
        row += 1


@njit(cache=True, nogil=True, error_model="numpy")
def _fill_runs(  # type: ignore[no-untyped-def]
    left, right, wave, low, high, starts, first, last, x0, y0, cosine, sine, width, shift, known, xpos, ypos, lam
):
    powers = np.empty(wave.shape[0])
    longest = np.max(starts[1:] - starts[:-1])
    columns, waves = np.empty(longest), np.empty(longest, np.float32)  # of the rows of a line
    exact, along = np.empty(longest), np.empty(longest)
    row = np.searchsorted(starts, first[0], side="right") - 1
    run = done = 0
    while run < first.size:
        begin, end = starts[row], starts[row + 1]
        if first[run] >= end:
            row += 1
            continue
        given = left[row], right[row], row, wave, low, high, known[begin:end], powers, exact
        _read_line(*given, columns[: end - begin], waves)
        middle, scale = 0.5 * (left[row] + right[row]), right[row] - left[row]
        for k in range(end - begin):
            along[k] = float(np.float32((middle - columns[k]) / scale * width))
        while run < first.size and first[run] < end:
            start, stop = max(first[run], begin), min(last[run], end)
            place = done - (start - begin)
            if xpos.size:
                for k in range(start - begin, stop - begin):
                    xpos[place + k] = np.float32(along[k] * cosine + x0)
            if ypos.size:
                for k in range(start - begin, stop - begin):
                    ypos[place + k] = np.float32(along[k] * sine + y0)
            if lam.size:
                for k in range(start - begin, stop - begin):
                    lam[place + k] = np.float32(waves[k] + shift)
            done += stop - start
            if last[run] > end:
                break
            run += 1
        row += 1


@njit(cache=True, nogil=True)
def _read_line(left, right, row, wave, low, high, known, powers, exact, columns, waves):  # type: ignore[no-untyped-def]
    """Columns and wavelengths of the rows of a line of the detector; ``known`` are the wavelengths, if they are."""
    first = math.ceil(left)
    n = columns.size
    gapless = n == math.floor(right) - first + 1
    if gapless:
        for k in range(n):
            columns[k] = first + k
        if known.size:
            waves[:n] = known
            return
    _in_x(wave, row + 1.0, powers)
    if gapless:  # power after power of all pixels: such loops are several times as fast
        exact[:n] = powers[powers.size - 1]
        for i in range(powers.size - 2, -1, -1):
            for k in range(n):
                exact[k] = exact[k] * columns[k] + powers[i]
        for k in range(n):
            waves[k] = np.float32(exact[k])
        return
    k = 0
    for x in range(first, math.floor(right) + 1):
        value = _at(powers, float(x))
        if low <= value <= high:
            columns[k], waves[k] = x, np.float32(value)
            k += 1


@njit(cache=True, nogil=True)
def _fill_wave(left, right, wave, low, high, out):  # type: ignore[no-untyped-def]
    powers = np.empty(wave.shape[0])
    k = 0
    for row in range(left.size):
        _in_x(wave, row + 1.0, powers)
        for x in range(math.ceil(left[row]), math.floor(right[row]) + 1):
            value = _at(powers, float(x))
            if low <= value <= high:
                out[k] = np.float32(value)
                k += 1


@njit(cache=True, nogil=True)
def _wave_limits(left, right, wave, low, high, lines, least, most):  # type: ignore[no-untyped-def]
    powers = np.empty(wave.shape[0])
    for row in range(left.size):
        _in_x(wave, row + 1.0, powers)
        block = row // lines
        for x in range(math.ceil(left[row]), math.floor(right[row]) + 1):
            value = _at(powers, float(x))
            if low <= value <= high:
                least[block], most[block] = min(least[block], np.float32(value)), max(most[block], np.float32(value))


@njit(cache=True, nogil=True)
def _limits_of_blocks(wave, starts, lines, least, most):  # type: ignore[no-untyped-def]
    for block in range(least.size):
        last = min((block + 1) * lines, starts.size - 1)
        low, high = least[block], most[block]
        for k in range(starts[block * lines], starts[last]):
            low = wave[k] if wave[k] < low else low
            high = wave[k] if wave[k] > high else high
        least[block], most[block] = low, high


@njit(cache=True, nogil=True)
def _take(image, left, right, wave, low, high, gapless, out):  # type: ignore[no-untyped-def]
    powers = np.empty(wave.shape[0])
    k = 0
    for row in range(left.size):
        first, last = math.ceil(left[row]), math.floor(right[row]) + 1
        if gapless:
            n = last - first
            out[k : k + n] = image[row, first - 1 : last - 1]
            k += n
            continue
        _in_x(wave, row + 1.0, powers)
        for x in range(first, last):
            if low <= _at(powers, float(x)) <= high:
                out[k] = image[row, x - 1]
                k += 1


@njit(cache=True, nogil=True)
def _take_lines(image, first, length, above, places, out):  # type: ignore[no-untyped-def]
    """Copy the spans of lines, ``above`` lines after the first; ``places`` (where their next spans go) is changed."""
    for line in range(image.shape[0]):
        for number in range(places.size):
            n = length[number, above + line]
            x = first[number, above + line]
            k = places[number]
            out[k : k + n] = image[line, x : x + n]
            places[number] = k + n
