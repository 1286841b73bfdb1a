"""Raw pixels become counts: saturated pixels, and exact medians of ports from histograms of 16-bit values."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from core.ccd.geometry import Detector
from core.errors import DataError
from core.instrument import SATURATION_ADU

__all__ = ["count_histograms", "count_saturated", "histogram_median"]

_SATURATION = int(SATURATION_ADU)


@njit(cache=True, nogil=True)
def _count_saturated(raw, saturation):  # type: ignore[no-untyped-def]
    count = 0
    for y in range(raw.shape[0]):
        for x in range(raw.shape[1]):
            value = raw[y, x]
            count += 1 if (value > saturation) | (value == 0) else 0
    return count


@njit(cache=True, nogil=True)
def _count_histogram(raw, start, nx, even, odd):  # type: ignore[no-untyped-def]
    # Neighbours mostly fall into the same bins: two tables keep the additions independent.
    for y in range(raw.shape[0]):
        for x in range(start, start + nx - 1, 2):
            even[raw[y, x]] += 1
            odd[raw[y, x + 1]] += 1
        if nx % 2:
            even[raw[y, start + nx - 1]] += 1


def count_saturated(raw: NDArray[np.uint16]) -> int:
    """Number of raw pixels that are saturated or zero."""
    return int(_count_saturated(raw, _SATURATION))


def count_histograms(raw: NDArray[np.uint16], detector: Detector, port: int, histogram: NDArray[np.int32]) -> None:
    """Add the pixels of a port in raw rows of its half to a histogram, shape (2, 65536), in place."""
    start = detector.raw_window(port)[1].start
    _count_histogram(raw, start, detector.nx, histogram[0], histogram[1])


def histogram_median(histogram: NDArray[np.int32]) -> float:
    """Median of the values counted by `count_histograms`."""
    ends = np.cumsum(histogram.sum(axis=0))
    count = int(ends[-1])
    if count == 0:
        raise DataError("cannot compute the median of an empty histogram")
    ranks = ((count - 1) // 2, count // 2)
    return float(np.mean(np.searchsorted(ends, ranks, side="right")))
