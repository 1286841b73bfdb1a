"""A traced master flat gives away its dark and bright pixels, and the flux of its slices.

Inside each slice every row is compared with its own median; only there a flat field says something about a pixel.
Pixels without positive value are flagged everywhere, since nothing can be divided by them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from numba import njit

from core.ccd.trace_model import Trace
from core.errors import DataError
from core.instruments.muse.facts import Dq
from core.spread import Spread, in_turn

__all__ = ["FlatPixels", "SliceFlux", "flag_flat_pixels", "slice_fluxes"]

Image: TypeAlias = npt.NDArray[np.float32]
Flags: TypeAlias = npt.NDArray[np.int32]

_LOW_QE = 0.2  # fraction of the mean flux below which a dark pixel is of low quantum efficiency
_SKIP_LEFT = 11  # pixels at the edges in which the rise of the light is skipped
_SKIP_RIGHT = 9
_LOWEST_LIMIT = 1e-4
_QC_ROWS = 100  # rows on either side of the middle used for the flux of a slice


@dataclass(frozen=True)
class FlatPixels:
    """Numbers of pixels found.

    Attributes
    ----------
    dark, low_qe, bright : int
        Inside the slices; those of low quantum efficiency are among the dark ones.
    not_positive : int
        Everywhere on the image.
    incomplete : tuple of int
        Slices whose trace leaves the detector; the search in them ended there.
    """

    dark: int
    low_qe: int
    bright: int
    not_positive: int
    incomplete: tuple[int, ...]


@dataclass(frozen=True)
class SliceFlux:
    """Mean and standard deviation (n - 1) of a slice around the middle of the detector; NaN without a trace."""

    slice_no: int
    mean: float
    stdev: float


def flag_flat_pixels(
    data: Image, dq: Flags, trace: Trace, *, losigma: float, hisigma: float, mean: float, spread: Spread = in_turn
) -> FlatPixels:
    """Flag the dark, bright and non-positive pixels of a master flat, in place.

    Parameters
    ----------
    data : ndarray of float32, shape (ny, nx)
        Master flat before normalisation [count].
    dq : ndarray of int32, shape (ny, nx)
        Flags; changed in place: 512 dark, 64 low quantum efficiency, 256 bright, 16384 not positive.
    trace : Trace
        Slices to search; those without a trace are left out.
    losigma, hisigma : float
        Limits in units of the mean absolute deviation of a row of a slice about its median.
    mean : float
        Mean of the whole master flat; dark pixels below a fifth of it are of low quantum efficiency.
    spread : Spread
        How the parts of the image are gone through.

    Raises
    ------
    DataError
        If data and flags differ in shape.
    """
    if data.shape != dq.shape:
        raise DataError(f"data {data.shape} and flags {dq.shape} differ in shape")
    ny, nx = data.shape
    y = np.arange(1, ny + 1, dtype=np.float64)
    searched, incomplete = [], []
    for slice_no in trace.valid_slices:
        first = np.ceil(trace.left(slice_no, y)).astype(np.int64)
        last = np.floor(trace.right(slice_no, y)).astype(np.int64)
        outside = np.flatnonzero((first < 1) | (last > nx))
        if len(outside):
            incomplete.append(slice_no)
        rows = int(outside[0]) if len(outside) else ny
        searched.append((first[:rows], last[:rows]))

    def flag_rows(rows: slice) -> tuple[npt.NDArray[np.int64], int]:
        counts = np.zeros(3, dtype=np.int64)
        for first, last in searched:
            _flag_slice(data[rows], dq[rows], first[rows], last[rows], losigma, hisigma, _LOW_QE * mean, counts)
        return counts, int(_flag_not_positive(data[rows], dq[rows]))

    parts = spread(flag_rows, (slice(0, ny // 2), slice(ny // 2, ny)))
    dark, low_qe, bright = np.sum([counts for counts, _ in parts], axis=0).tolist()
    return FlatPixels(dark, low_qe, bright, sum(count for _, count in parts), tuple(incomplete))


def slice_fluxes(data: Image, trace: Trace, middle: int) -> tuple[SliceFlux, ...]:
    """Flux of each slice in the 201 rows around the middle of the detector, without its outermost pixels.

    Parameters
    ----------
    data : ndarray of float32, shape (ny, nx)
        Master flat before normalisation [count].
    trace : Trace
    middle : int
        FITS row in the middle of the detector (2056 on the real one).
    """
    rows = slice(max(middle - _QC_ROWS - 1, 0), min(middle + _QC_ROWS, data.shape[0]))
    result = []
    for slice_no in sorted(int(number) for number in trace.slice_no):
        values = np.zeros(0)
        if trace.has(slice_no):
            left = int(np.floor(trace.left(slice_no, middle) + 0.5)) + 1
            right = int(np.floor(trace.right(slice_no, middle) + 0.5)) - 1
            values = data[rows, max(left - 1, 0) : right].astype(np.float64)
        if values.size < 2:
            result.append(SliceFlux(slice_no, float("nan"), float("nan")))
        else:
            result.append(SliceFlux(slice_no, float(values.mean()), float(values.std(ddof=1))))
    return tuple(result)


@njit(cache=True, nogil=True)
def _select(values, n, k):  # type: ignore[no-untyped-def]
    """The k-th smallest (0-based) of the first n values; reorders them so that smaller ones come before it.

    Partitions without branches on the data, which the processor could not predict.
    """
    low, high = 0, n - 1
    while low < high:
        middle = (low + high) // 2
        a, b, c = values[low], values[middle], values[high]
        pivot = max(min(a, b), min(max(a, b), c))
        at = low if pivot == a else (middle if pivot == b else high)
        values[at] = c
        i = low
        for j in range(low, high):
            value = values[j]
            values[j] = values[i]
            values[i] = value
            i += value < pivot
        values[high] = values[i]
        values[i] = pivot
        if k == i:
            break
        if k < i:
            high = i - 1
        else:
            low = i + 1
    return values[k]


@njit(cache=True, nogil=True)
def _median_and_adev(values, n):  # type: ignore[no-untyped-def]
    """Median of the first n values and the mean absolute deviation about it; reorders the values."""
    median = np.float64(_select(values, n, n // 2))
    if n % 2 == 0:
        below = values[0]
        for i in range(1, n // 2):
            below = max(below, values[i])
        median = (median + below) / 2
    total = 0.0
    for i in range(n):
        total += abs(values[i] - median)
    return median, total / n


@njit(cache=True, nogil=True)
def _flag_slice(data, dq, first, last, losigma, hisigma, low_qe, counts):  # type: ignore[no-untyped-def]
    values = np.empty(data.shape[1], dtype=np.float32)
    for row in range(len(first)):
        start, stop = first[row] - 1, last[row]  # 0-based, half open
        n = stop - start
        if n < 1:
            continue
        for i in range(n):
            values[i] = data[row, start + i]
        median, deviation = _median_and_adev(values, n)
        low = median - losigma * deviation
        if low <= 0:
            low = _LOWEST_LIMIT
        high = median + hisigma * deviation
        begin, end = start, stop
        for x in range(start, min(start + _SKIP_LEFT, stop)):
            if data[row, x] > low:
                begin = x
                break
        for x in range(stop - 1, max(stop - 1 - _SKIP_RIGHT, start - 1), -1):
            if data[row, x] > low:
                end = x + 1
                break
        for x in range(begin, end):
            value = data[row, x]
            if value < low:
                dq[row, x] |= _DARK
                counts[0] += 1
                if value < low_qe:
                    dq[row, x] |= _LOW_QE_BIT
                    counts[1] += 1
            elif value > high:
                dq[row, x] |= _HOT
                counts[2] += 1


@njit(cache=True, nogil=True)
def _flag_not_positive(data, dq):  # type: ignore[no-untyped-def]
    count = 0
    for y in range(data.shape[0]):
        for x in range(data.shape[1]):
            if not data[y, x] > 0:
                dq[y, x] |= _BAD
                count += 1
    return count


_DARK = int(Dq.DARK)
_LOW_QE_BIT = int(Dq.LOW_QE)
_HOT = int(Dq.HOT)
_BAD = int(Dq.BAD_OTHER)
