"""Frames that stream by become statistics: exact moments and medians of each, without keeping a frame."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from core.ccd.statistics import ImageStatistics, row_moments
from core.errors import DataError

__all__ = ["StatisticsCollector", "accumulate_row", "collect_row"]

# Share of the values that is kept about the expected median: as much as a fixed memory holds, but at least what the
# estimate needs (medians of 48 rows of a flat are within 0.1 % of those of the frame, in rank).
_MAX_KEPT, _MIN_KEPT = 0.02, 0.004
_KEPT_VALUES = 1 << 20  # of all frames together


@njit(cache=True, nogil=True)
def accumulate_row(data, sums):  # type: ignore[no-untyped-def]
    row_sum, row_squares, low, high = row_moments(data)
    sums[0] += data.size
    sums[1] += row_sum
    sums[2] += row_squares
    sums[3] = min(sums[3], low)
    sums[4] = max(sums[4], high)


@njit(cache=True, nogil=True)
def collect_row(data, limits, sums, kept):  # type: ignore[no-untyped-def]
    # Values about the expected median are kept, those below are counted.
    low = limits[0]
    high = limits[1]
    below = 0
    inside = int(sums[6])
    for x in range(data.shape[0]):
        value = data[x]
        below += 1 if value < low else 0
        if (value >= low) & (value <= high):
            if inside < kept.shape[0]:
                kept[inside] = value
            inside += 1
    sums[5] += below
    sums[6] = inside


class StatisticsCollector:
    """Exact statistics of every reduced frame while it streams by, medians included.

    The median is found among the values close to an estimate; when the estimate was too far off, `complete` is False
    and the pass is to be repeated with the improved limits.

    Parameters
    ----------
    samples : ndarray, float32, shape (n, rows, nx)
        Reduced pixels of a few rows of each frame.
    n_pixels : int
        Number of pixels of a whole frame.
    n_parts : int
        Parts of the frames that may stream by at the same time.
    """

    def __init__(self, samples: NDArray[np.float32], n_pixels: int, n_parts: int = 1) -> None:
        self._n_pixels, self._n_parts = n_pixels, n_parts
        share = min(max(_KEPT_VALUES / (len(samples) * n_pixels), _MIN_KEPT), _MAX_KEPT)
        ends = (0.5 - share / 2, 0.5 + share / 2)
        self._limits = np.array([np.quantile(sample, ends, method="nearest") for sample in samples], np.float32)
        # Room for all of them in each part: they need not be spread evenly.
        self._start(int(share * n_pixels) + 1024)

    def _start(self, room: int) -> None:
        n = len(self._limits)
        self.sums = np.zeros((self._n_parts, n, 7))
        self.sums[..., 3], self.sums[..., 4] = np.inf, -np.inf
        self.kept = np.empty((self._n_parts, n, room), np.float32)

    @property
    def limits(self) -> NDArray[np.float32]:
        """Range of values that are kept, per frame: shape (n, 2)."""
        return self._limits

    @property
    def complete(self) -> bool:
        """Whether all medians lie within the kept values."""
        return all(self._found(k) for k in range(len(self._limits)))

    def _total(self, k: int) -> tuple[float, float, float, float, float, float, float]:
        """Pixels, sum, sum of squares, minimum, maximum, pixels below and within the limits, of all parts."""
        sums = self.sums[:, k]
        count, total, square, _, _, below, inside = sums.sum(axis=0).tolist()
        return count, total, square, float(sums[:, 3].min()), float(sums[:, 4].max()), below, inside

    def _found(self, k: int) -> bool:
        *_, below, inside = self._total(k)
        enough_room = np.all(self.sums[:, k, 6] <= self.kept.shape[2])
        return bool(enough_room and below <= (self._n_pixels - 1) // 2 and self._n_pixels // 2 < below + inside)

    def restart(self) -> None:
        """Widen the limits of the medians that were missed, for another pass."""
        room = self.kept.shape[2]
        for k in range(len(self._limits)):
            if self._found(k):
                continue
            low, high = self._limits[k]
            *_, lowest, highest, below, inside = self._total(k)
            if below > (self._n_pixels - 1) // 2:
                self._limits[k] = lowest, low
            elif below + inside <= self._n_pixels // 2:
                self._limits[k] = high, highest
            room = self._n_pixels
        self._start(room)

    def results(self) -> tuple[ImageStatistics, ...]:
        """Statistics of the frames.

        Raises
        ------
        DataError
            If the pass was not complete.
        """
        if not self.complete:
            raise DataError("the medians of the frames were not found")
        return tuple(self._result(k) for k in range(len(self._limits)))

    def _result(self, k: int) -> ImageStatistics:
        count, total, square, low, high, below, _ = self._total(k)
        kept = np.concatenate([self.kept[part, k, : int(self.sums[part, k, 6])] for part in range(self._n_parts)])
        ranks = [(int(count) - 1) // 2 - int(below), int(count) // 2 - int(below)]
        values = np.partition(kept, ranks)[ranks].astype(np.float64)
        mean = total / count
        variance = max(square - total * mean, 0.0) / max(count - 1, 1)
        return ImageStatistics(float(values.mean()), mean, float(np.sqrt(variance)), low, high, int(count))
