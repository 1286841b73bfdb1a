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

__all__ = [
    "ImageStatistics",
    "adev",
    "image_median",
    "image_median_and_adev",
    "image_statistics",
    "line_slope",
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


@njit(cache=True, nogil=True, fastmath={"reassoc", "nsz", "nnan"})
def _row_moments(row):  # type: ignore[no-untyped-def]
    total = 0.0
    low = row[0]
    high = row[0]
    for x in range(row.shape[0]):
        total += np.float64(row[x])
        low = row[x] if row[x] < low else low
        high = row[x] if row[x] > high else high
    return total, np.float64(low), np.float64(high)


@njit(cache=True, nogil=True)
def _moments(data, dq):  # type: ignore[no-untyped-def]
    use_dq = dq.size > 0
    count = 0
    total = 0.0
    low = np.inf
    high = -np.inf
    for y in range(data.shape[0]):
        if not use_dq:
            row, least, most = _row_moments(data[y])
            count += data.shape[1]
            total += row
            low = min(low, least)
            high = max(high, most)
            continue
        for x in range(data.shape[1]):
            if dq[y, x] != 0:
                continue
            value = np.float64(data[y, x])
            total += value
            count += 1
            low = min(low, value)
            high = max(high, value)
    return count, total, low, high


@njit(cache=True, nogil=True, fastmath={"reassoc", "nsz", "nnan"})
def _squares(data, dq, centre):  # type: ignore[no-untyped-def]
    use_dq = dq.size > 0
    total = 0.0
    for y in range(data.shape[0]):
        row = 0.0
        if use_dq:
            for x in range(data.shape[1]):
                d = np.float64(data[y, x]) - centre
                row += d * d if dq[y, x] == 0 else 0.0
        else:
            for x in range(data.shape[1]):
                d = np.float64(data[y, x]) - centre
                row += d * d
        total += row
    return total


@njit(cache=True, nogil=True, fastmath={"reassoc", "nsz", "nnan"})
def _absolute_deviation(data, dq, centre):  # type: ignore[no-untyped-def]
    use_dq = dq.size > 0
    total = 0.0
    for y in range(data.shape[0]):
        row = 0.0
        if use_dq:
            for x in range(data.shape[1]):
                d = abs(np.float64(data[y, x]) - centre)
                row += d if dq[y, x] == 0 else 0.0
        else:
            for x in range(data.shape[1]):
                row += abs(np.float64(data[y, x]) - centre)
        total += row
    return total


@njit(cache=True, nogil=True, fastmath={"reassoc", "nsz"})
def _axis_sums(data, by_column, by_row):  # type: ignore[no-untyped-def]
    for y in range(data.shape[0]):
        total = 0.0
        for x in range(data.shape[1]):
            value = np.float64(data[y, x])
            by_column[x] += value
            total += value
        by_row[y] = total


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
