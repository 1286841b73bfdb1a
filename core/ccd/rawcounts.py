"""Raw pixels become counts: saturated pixels, and exact medians of ports while the frames stream by."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from core.ccd.geometry import Detector
from core.instruments.muse.facts import SATURATION_ADU

__all__ = ["PortMedians", "count_saturated"]

_SATURATION = int(SATURATION_ADU)
_BINS = 4096
_MAX_LEVEL = 65535


@njit(cache=True, nogil=True)
def _count_saturated(raw, saturation):  # type: ignore[no-untyped-def]
    count = 0
    for y in range(raw.shape[0]):
        for x in range(raw.shape[1]):
            value = raw[y, x]
            count += 1 if (value > saturation) | (value == 0) else 0
    return count


@njit(cache=True, nogil=True)
def _count_values(raw, start, nx, first, even, odd):  # type: ignore[no-untyped-def]
    # Neighbours mostly fall into the same bins: two tables keep the additions independent.
    last = even.shape[0] - 1
    for y in range(raw.shape[0]):
        for x in range(start, start + nx - 1, 2):
            even[min(max(np.int64(raw[y, x]) - first, 0), last)] += 1
            odd[min(max(np.int64(raw[y, x + 1]) - first, 0), last)] += 1
        if nx % 2:
            even[min(max(np.int64(raw[y, start + nx - 1]) - first, 0), last)] += 1


def count_saturated(raw: NDArray[np.uint16]) -> int:
    """Number of raw pixels that are saturated or zero."""
    return int(_count_saturated(raw, _SATURATION))


class PortMedians:
    """Exact medians of the ports of raw frames that stream by, from counts of the values near the expected level.

    Parameters
    ----------
    detector : Detector
    levels : ndarray, float64, shape (n, 4)
        Expected levels of ports 1..4 of each frame [adu]: the overscan.
    """

    def __init__(self, detector: Detector, levels: NDArray[np.float64]) -> None:
        self._detector = detector
        middle = np.nan_to_num(np.asarray(levels, np.float64)).astype(np.int64)
        self._first = np.clip(middle - _BINS // 2, 0, _MAX_LEVEL + 1 - _BINS)
        self._counts = np.zeros((*self._first.shape, 2, _BINS), np.int32)

    def add_rows(self, frame: int, raw: NDArray[np.uint16], port: int) -> None:
        """Add raw rows of the half of a port; ports may be filled at the same time."""
        start = self._detector.raw_window(port)[1].start
        even, odd = self._counts[frame, port - 1]
        _count_values(raw, start, self._detector.nx, self._first[frame, port - 1], even, odd)

    def median(self, frame: int, port: int) -> float | None:
        """Median of all pixels added [adu]; None if it lies too far from the expected level."""
        ends = np.cumsum(self._counts[frame, port - 1].sum(axis=0))
        count = int(ends[-1])
        bins = np.searchsorted(ends, ((count - 1) // 2, count // 2), side="right")
        first = int(self._first[frame, port - 1])
        # The bins at the ends also hold what lies beyond them, unless nothing can.
        low, high = (0 if first == 0 else 1), (_BINS - 1 if first + _BINS > _MAX_LEVEL else _BINS - 2)
        if bins.min() < low or bins.max() > high:
            return None
        return float(bins.mean()) + first
