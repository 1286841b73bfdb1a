"""A seed becomes window positions: the random sampling used for read-out noise and dark current.

The positions follow the published additive-feedback generator of the C library, r(i) = r(i-3) + r(i-31), so that the
numbers derived from them are the same as those of the reference pipeline, run after run.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from core.errors import DataError

__all__ = ["HALF_SIZE", "FeedbackGenerator", "random_windows"]

HALF_SIZE = 9  # windows of 19 x 19 pix
_RAND_MAX = 2147483647


class FeedbackGenerator:
    """Additive-feedback random numbers (degree 31, separation 3).

    Parameters
    ----------
    seed : int
        0 counts as 1.

    Examples
    --------
    >>> generator = FeedbackGenerator(1)
    >>> [generator.next_integer() for _ in range(3)]
    [1804289383, 846930886, 1681692777]
    """

    def __init__(self, seed: int) -> None:
        state = [seed or 1]
        for _ in range(30):
            # Minimal standard generator of Park and Miller fills the state.
            state.append(16807 * state[-1] % _RAND_MAX)
        self._state = state
        self._index = 3
        for _ in range(310):
            self.next_integer()

    def next_integer(self) -> int:
        """Next integer, 0 .. 2^31 - 1."""
        i = self._index
        value = (self._state[i] + self._state[i - 3 if i >= 3 else i + 28]) & 0xFFFFFFFF
        self._state[i] = value
        self._index = i + 1 if i < 30 else 0
        return value >> 1

    def next_fraction(self) -> float:
        """Next number between 0 and 1."""
        return self.next_integer() / _RAND_MAX


@dataclass(frozen=True)
class _Placement:
    x_low: float
    x_high: float
    y_low: float
    y_high: float


def _place(area: _Placement, n: int, generator: FeedbackGenerator) -> NDArray[np.float64]:
    width, height = area.x_high - area.x_low, area.y_high - area.y_low
    # The reference compares squared distances with this area; the first point is a dummy at the origin.
    closest = width * height / (math.sqrt(2.0) * (n + 2))
    points = np.zeros((n + 1, 2))
    accepted = 1
    tries = 0
    while accepted <= n:
        tries += 1
        if tries > 1000 * (n + 1):
            raise DataError(f"cannot place {n} windows on {width:.0f} x {height:.0f} pix")
        x = generator.next_fraction() * width + area.x_low
        y = generator.next_fraction() * height + area.y_low
        distance = (points[:accepted, 0] - x) ** 2 + (points[:accepted, 1] - y) ** 2
        if np.all(distance >= closest):
            points[accepted] = x, y
            accepted += 1
    return points[1:]


@lru_cache(maxsize=64)
def random_windows(x1: int, x2: int, y1: int, y2: int, n: int, seed: int, gap: int = 1) -> NDArray[np.int32]:
    """Corners of ``n`` windows of 19 x 19 pix placed at random in a rectangle, well spread.

    Parameters
    ----------
    x1, x2, y1, y2 : int
        Limits of the rectangle, 1-based and inclusive; windows lie completely inside.
    n : int
        Number of windows.
    seed : int
        Seed of the generator.
    gap : int
        Pixels kept free at the left and lower limit; the reference has 1 for ports and 0 for whole images.

    Returns
    -------
    ndarray, int32, shape (n, 2)
        0-based column and row of the lower left pixel of each window.

    Raises
    ------
    DataError
        If the rectangle is too small.
    """
    if x2 - x1 < 2 * HALF_SIZE + 3 or y2 - y1 < 2 * HALF_SIZE + 3:
        raise DataError(f"{x2 - x1 + 1} x {y2 - y1 + 1} pix are too small for windows of 19 x 19 pix")
    area = _Placement(x1 + HALF_SIZE + gap, x2 - HALF_SIZE - 1, y1 + HALF_SIZE + gap, y2 - HALF_SIZE - 1)
    centres = _place(area, n, FeedbackGenerator(seed))
    corners = np.trunc(centres).astype(np.int32) - HALF_SIZE - 1
    corners.flags.writeable = False
    return corners
