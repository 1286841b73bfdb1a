"""Differences of bias frames become the read-out noise of each port.

The noise of a difference image is measured in 100 random windows per port; the sums of all windows are collected
slab by slab while the frames stream by, for all sets of windows that may be needed, so that no frame has to be kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from core.ccd.geometry import Detector
from core.ccd.windows import HALF_SIZE, random_windows
from core.errors import DataError

__all__ = ["N_TRIES", "N_WINDOWS", "ReadNoise", "ReadNoiseSampler", "variance_of_bias"]

N_WINDOWS = 100
N_TRIES = 5
_SIZE = 2 * HALF_SIZE + 1
_MAX_RELATIVE_ERROR = 0.1


@dataclass(frozen=True)
class ReadNoise:
    """Read-out noise of one port and its error [count]."""

    ron: float
    error: float


def variance_of_bias(noise: ReadNoise, gain: float) -> float:
    """Variance [adu^2] of each pixel of a bias frame of a port with this noise."""
    return (1.0 + 1.0 / (_SIZE**2 * N_WINDOWS)) * (noise.ron / gain) ** 2


@njit(cache=True, nogil=True)
def _add_rows(  # type: ignore[no-untyped-def]
    raw, levels, first_row, x_offset, left_nx, raw_gap, corners, sums
):
    """Add the part of the windows of one set that lies in a slab of raw rows to the sums of each pair."""
    n, height = raw.shape[0], raw.shape[1]
    for w in range(corners.shape[0]):
        for row in range(max(corners[w, 1], first_row), min(corners[w, 1] + _SIZE, first_row + height)):
            y = row - first_row
            for column in range(corners[w, 0], corners[w, 0] + _SIZE):
                side = 1 if column >= left_nx else 0
                x = column + x_offset + side * raw_gap
                before = np.float32(np.float64(raw[0, y, x]) - levels[0, side, y])
                for k in range(1, n):
                    after = np.float32(np.float64(raw[k, y, x]) - levels[k, side, y])
                    difference = np.float64(np.float32(before - after))
                    sums[k - 1, w, 0] += difference
                    sums[k - 1, w, 1] += difference * difference
                    before = after


class ReadNoiseSampler:
    """Collects window statistics of the differences of consecutive frames.

    Parameters
    ----------
    detector : Detector
    n_frames : int
        At least 2.

    Raises
    ------
    DataError
        If there are fewer than two frames, or if the ports are too small.
    """

    def __init__(self, detector: Detector, n_frames: int) -> None:
        if n_frames < 2:
            raise DataError("the read-out noise needs at least two bias frames")
        self._detector = detector
        self._corners = {
            (port, attempt): _port_windows(detector, port, attempt)
            for port in range(1, 5)
            for attempt in range(N_TRIES)
        }
        self._sums = {key: np.zeros((n_frames - 1, N_WINDOWS, 2)) for key in self._corners}

    def add_rows(self, raw: NDArray[np.uint16], levels: NDArray[np.float64], first_row: int, upper: bool) -> None:
        """Add a slab of rows of all frames.

        Parameters
        ----------
        raw : ndarray, uint16, shape (n, ny, nx_raw)
            Raw rows of the data sections.
        levels : ndarray, float64, shape (n, 2, ny)
            Bias level to subtract, left and right port [adu].
        first_row : int
            0-based row of the slab in the trimmed image.
        upper : bool
            Whether the slab belongs to the upper ports.
        """
        det = self._detector
        for port in det.ports_of_half(upper):
            for attempt in range(N_TRIES):
                key = (port, attempt)
                _add_rows(
                    raw, levels, first_row, det.prescan_x, det.nx, 2 * det.overscan_x,
                    self._corners[key], self._sums[key],
                )  # fmt: skip

    def noise(self, port: int, gains: Sequence[float]) -> ReadNoise:
        """Read-out noise of a port: the average over all pairs.

        Parameters
        ----------
        port : int
        gains : sequence of float
            Gain of the port in the first frame of each pair [count/adu].
        """
        pairs = [self._pair_noise(port, k) for k in range(len(gains))]
        ron = [gain * noise / np.sqrt(2.0) for gain, (noise, _) in zip(gains, pairs, strict=True)]
        err = [gain * error / np.sqrt(2.0) for gain, (_, error) in zip(gains, pairs, strict=True)]
        return ReadNoise(float(np.mean(ron)), float(np.mean(err)))

    def _pair_noise(self, port: int, pair: int) -> tuple[float, float]:
        n = _SIZE * _SIZE
        noise = error = 0.0
        for attempt in range(N_TRIES):
            sums = self._sums[port, attempt][pair]
            spread = np.sqrt(np.maximum(sums[:, 1] - sums[:, 0] ** 2 / n, 0.0) / (n - 1))
            noise, error = float(np.median(spread)), float(np.std(spread, ddof=1))
            if error <= _MAX_RELATIVE_ERROR * noise:
                break
        return noise, error


def _port_windows(detector: Detector, port: int, attempt: int) -> NDArray[np.int32]:
    rows, cols = detector.port_window(port)
    # Rows of the slabs are counted in the trimmed image, as the port windows are.
    return random_windows(cols.start + 1, cols.stop, rows.start + 1, rows.stop, N_WINDOWS, 100 * attempt + 1)
