"""Images become numbers: medians, deviations, moments and slopes.

Every "sigma" of the CCD steps is the mean absolute deviation about the median (here *adev*), never the classical
MAD. Sums are accumulated in float64; medians of an even count are the mean of the two central values. Nothing here
copies an image: the exact median of millions of pixels is found by counting bit patterns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from core.errors import DataError
from core.lanes import LANES, fma, greater, greatest, least, load, padded, smaller, spread, total

__all__ = [
    "ImageStatistics",
    "adev",
    "image_median",
    "image_median_and_adev",
    "image_statistics",
    "line_slope",
    "row_moments",
    "slopes",
]

_NO_DQ = np.zeros((0, 0), dtype=np.int32)
_SIGN = 1 << 31


@dataclass(frozen=True)
class ImageStatistics:
    """Statistics of an image or of a window of it, in the unit of the image.

    Attributes
    ----------
    median, mean, stdev, minimum, maximum : float
        The standard deviation is that of a sample (``n - 1``).
    count : int
        Number of pixels used.
    """

    median: float
    mean: float
    stdev: float
    minimum: float
    maximum: float
    count: int

    @property
    def flux(self) -> float:
        """Sum of the pixels used."""
        return self.mean * self.count


def adev(values: NDArray[np.floating]) -> tuple[float, float]:
    """Median and mean absolute deviation about it of a few values.

    Raises
    ------
    DataError
        If there are no values.
    """
    if values.size == 0:
        raise DataError("cannot compute the median of no values")
    middle = float(np.median(values))
    return middle, float(np.mean(np.abs(values - middle)))


@njit(cache=True, nogil=True)
def _order_key(bits):  # type: ignore[no-untyped-def]
    # Maps the bit pattern of a float32 to an integer that sorts like the number.
    b = np.int64(bits)
    return b + _SIGN if b >= 0 else _SIGN - 1 - (b & (_SIGN - 1))


@njit(cache=True, nogil=True)
def _count_upper(bits, dq, histogram):  # type: ignore[no-untyped-def]
    use_dq = dq.size > 0
    for y in range(bits.shape[0]):
        for x in range(bits.shape[1]):
            if use_dq and dq[y, x] != 0:
                continue
            histogram[_order_key(bits[y, x]) >> 16] += 1


@njit(cache=True, nogil=True)
def _count_lower(bits, dq, upper, histogram):  # type: ignore[no-untyped-def]
    use_dq = dq.size > 0
    for y in range(bits.shape[0]):
        for x in range(bits.shape[1]):
            if use_dq and dq[y, x] != 0:
                continue
            key = _order_key(bits[y, x])
            if key >> 16 == upper:
                histogram[key & 65535] += 1


@njit(cache=True, nogil=True)
def row_moments(row):  # type: ignore[no-untyped-def]
    """Sum, sum of squares, minimum and maximum of a contiguous row."""
    whole = row.size // LANES * LANES
    sums = squares = spread(0.0)
    low = high = spread(row[0])
    for x in range(0, whole, LANES):
        value = load(row, x)
        sums = sums + value
        squares = fma(value, value, squares)
        low = smaller(value, low)
        high = greater(value, high)
    row_sum, row_squares, lowest, highest = total(sums), total(squares), least(low), greatest(high)
    for x in range(whole, row.size):
        rest = np.float64(row[x])
        row_sum += rest
        row_squares += rest * rest
        lowest = min(lowest, rest)
        highest = max(highest, rest)
    return row_sum, row_squares, lowest, highest


@njit(cache=True, nogil=True)
def _sum(row):  # type: ignore[no-untyped-def]
    """Sum of a padded row."""
    sums = spread(0.0)
    for x in range(0, row.size, LANES):
        sums = sums + load(row, x)
    return total(sums)


@njit(cache=True, nogil=True)
def _moments(data, dq):  # type: ignore[no-untyped-def]
    use_dq = dq.size > 0
    count = 0
    all_rows = 0.0
    low = np.inf
    high = -np.inf
    row = np.empty(data.shape[1], data.dtype)
    for y in range(data.shape[0]):
        if not use_dq:
            row[:] = data[y]  # rows of a window are not contiguous
            row_sum, _, lowest, highest = row_moments(row)
            count += row.size
            all_rows += row_sum
            low = min(low, lowest)
            high = max(high, highest)
            continue
        for x in range(data.shape[1]):
            if dq[y, x] != 0:
                continue
            value = np.float64(data[y, x])
            all_rows += value
            count += 1
            low = min(low, value)
            high = max(high, value)
    return count, all_rows, low, high


@njit(cache=True, nogil=True)
def _squares(data, dq, centre):  # type: ignore[no-untyped-def]
    use_dq = dq.size > 0
    squares = np.zeros(padded(data.shape[1]))
    all_rows = 0.0
    for y in range(data.shape[0]):
        if use_dq:
            for x in range(data.shape[1]):
                d = np.float64(data[y, x]) - centre
                squares[x] = d * d if dq[y, x] == 0 else 0.0
        else:
            for x in range(data.shape[1]):
                d = np.float64(data[y, x]) - centre
                squares[x] = d * d
        all_rows += _sum(squares)
    return all_rows


@njit(cache=True, nogil=True)
def _absolute_deviation(data, dq, centre):  # type: ignore[no-untyped-def]
    use_dq = dq.size > 0
    deviations = np.zeros(padded(data.shape[1]))
    all_rows = 0.0
    for y in range(data.shape[0]):
        if use_dq:
            for x in range(data.shape[1]):
                d = abs(np.float64(data[y, x]) - centre)
                deviations[x] = d if dq[y, x] == 0 else 0.0
        else:
            for x in range(data.shape[1]):
                deviations[x] = abs(np.float64(data[y, x]) - centre)
        all_rows += _sum(deviations)
    return all_rows


@njit(cache=True, nogil=True)
def _axis_sums(data, by_column, by_row):  # type: ignore[no-untyped-def]
    row = np.zeros(padded(data.shape[1]))
    for y in range(data.shape[0]):
        for x in range(data.shape[1]):
            row[x] = data[y, x]
            by_column[x] += row[x]
        by_row[y] = _sum(row)


def _key_value(key: int) -> float:
    bits = key - _SIGN if key >= _SIGN else (_SIGN - 1 - key) - _SIGN
    return float(np.array([bits], dtype=np.int32).view(np.float32)[0])


def _mask(data: NDArray[np.float32], dq: NDArray[np.int32] | None) -> NDArray[np.int32]:
    if dq is None:
        return _NO_DQ
    if dq.shape != data.shape:
        raise DataError(f"data {data.shape} and flags {dq.shape} differ in shape")
    return dq


def image_median(data: NDArray[np.float32], dq: NDArray[np.int32] | None = None) -> float:
    """Exact median of an image or a window of it, without sorting or copying.

    Parameters
    ----------
    data : ndarray, float32, shape (ny, nx)
    dq : ndarray, int32, shape (ny, nx), optional
        Pixels with flags other than 0 are left out.

    Raises
    ------
    DataError
        If no pixel is left.
    """
    mask = _mask(data, dq)
    bits = data.view(np.int32)
    upper = np.zeros(65536, dtype=np.int64)
    _count_upper(bits, mask, upper)
    ends = np.cumsum(upper)
    count = int(ends[-1])
    if count == 0:
        raise DataError("cannot compute the median of an image without good pixels")
    values = []
    lower_ends: dict[int, NDArray[np.int64]] = {}
    for rank in ((count - 1) // 2, count // 2):
        bucket = int(np.searchsorted(ends, rank, side="right"))
        if bucket not in lower_ends:
            lower = np.zeros(65536, dtype=np.int64)
            _count_lower(bits, mask, bucket, lower)
            lower_ends[bucket] = ends[bucket] - upper[bucket] + np.cumsum(lower)
        low_bits = int(np.searchsorted(lower_ends[bucket], rank, side="right"))
        values.append(_key_value((bucket << 16) + low_bits))
    return sum(values) / 2


def image_median_and_adev(data: NDArray[np.float32], dq: NDArray[np.int32] | None = None) -> tuple[float, float]:
    """Exact median of an image and the mean absolute deviation about it; see `image_median`."""
    mask = _mask(data, dq)
    middle = image_median(data, dq)
    count = _moments(data, mask)[0]
    return middle, float(_absolute_deviation(data, mask, middle)) / count


def image_statistics(data: NDArray[np.float32], dq: NDArray[np.int32] | None = None) -> ImageStatistics:
    """Median, mean, standard deviation and extremes of an image; see `image_median` for the arguments."""
    mask = _mask(data, dq)
    median = image_median(data, dq)
    count, total, low, high = _moments(data, mask)
    mean = total / count
    stdev = float(np.sqrt(_squares(data, mask, mean) / (count - 1))) if count > 1 else 0.0
    return ImageStatistics(median, float(mean), stdev, float(low), float(high), int(count))


def line_slope(values: NDArray[np.float64]) -> float:
    """Least-squares slope of equally spaced values, per step.

    Raises
    ------
    DataError
        If there are fewer than two values.
    """
    if values.size < 2:
        raise DataError("a slope needs at least two values")
    x = np.arange(values.size, dtype=np.float64)
    x -= x.mean()
    return float(np.dot(x, values) / np.dot(x, x))


def slopes(data: NDArray[np.float32]) -> tuple[float, float]:
    """Slopes of the column averages along x and of the row averages along y, per pixel.

    Examples
    --------
    >>> import numpy as np
    >>> slopes(np.array([[1, 1.5, 2], [2, 2.5, 3]], dtype=np.float32))
    (0.5, 1.0)
    """
    by_column = np.zeros(data.shape[1], dtype=np.float64)
    by_row = np.zeros(data.shape[0], dtype=np.float64)
    _axis_sums(data, by_column, by_row)
    return line_slope(by_column / data.shape[0]), line_slope(by_row / data.shape[1])
