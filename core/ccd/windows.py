"""A seed becomes window positions: the random sampling used for read-out noise and dark current.

The positions follow the published additive-feedback generator of the C library, r(i) = r(i-3) + r(i-31), so that the
numbers derived from them are the same as those of the reference pipeline, run after run.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

from core.errors import DataError

__all__ = ["HALF_SIZE", "random_integers", "random_windows"]

HALF_SIZE = 9  # windows of 19 x 19 pix
_RAND_MAX = 2147483647
_DEGREE = 31
_SEPARATION = 3
_DISCARDED = 310


@njit(cache=True, nogil=True)
def _next_integer(state):  # type: ignore[no-untyped-def]
    # state[31] is the place of the oldest number, the other 31 are the last numbers.
    i = state[_DEGREE]
    value = (state[i] + state[(i + _DEGREE - _SEPARATION) % _DEGREE]) & 0xFFFFFFFF
    state[i] = value
    state[_DEGREE] = (i + 1) % _DEGREE
    return value >> 1


@njit(cache=True, nogil=True)
def _seeded(seed):  # type: ignore[no-untyped-def]
    state = np.zeros(_DEGREE + 1, np.int64)
    state[0] = seed if seed != 0 else 1
    for i in range(1, _DEGREE):
        # Minimal standard generator of Park and Miller fills the state.
        state[i] = 16807 * state[i - 1] % _RAND_MAX
    state[_DEGREE] = _SEPARATION
    for _ in range(_DISCARDED):
        _next_integer(state)
    return state


@njit(cache=True, nogil=True)
def _draw(seed, n):  # type: ignore[no-untyped-def]
    state = _seeded(seed)
    numbers = np.empty(n, np.int64)
    for i in range(n):
        numbers[i] = _next_integer(state)
    return numbers


@njit(cache=True, nogil=True)
def _place(x_low, x_high, y_low, y_high, n, closest, seed):  # type: ignore[no-untyped-def]
    """Points at least sqrt(closest) apart; the first one is a dummy at the origin. Returns how many were placed."""
    state = _seeded(seed)
    points = np.zeros((n + 1, 2))
    accepted = 1
    for _ in range(1000 * (n + 1)):
        x = _next_integer(state) / _RAND_MAX * (x_high - x_low) + x_low
        y = _next_integer(state) / _RAND_MAX * (y_high - y_low) + y_low
        apart = True
        for i in range(accepted):
            if (points[i, 0] - x) ** 2 + (points[i, 1] - y) ** 2 < closest:
                apart = False
                break
        if apart:
            points[accepted, 0] = x
            points[accepted, 1] = y
            accepted += 1
            if accepted > n:
                break
    return points[1:], accepted - 1


def random_integers(seed: int, n: int) -> NDArray[np.int64]:
    """The first ``n`` random integers (0 .. 2^31 - 1) after seeding.

    Examples
    --------
    >>> random_integers(1, 3).tolist()
    [1804289383, 846930886, 1681692777]
    """
    numbers: NDArray[np.int64] = _draw(seed, n)
    return numbers


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
    x_low, x_high = float(x1 + HALF_SIZE + gap), float(x2 - HALF_SIZE - 1)
    y_low, y_high = float(y1 + HALF_SIZE + gap), float(y2 - HALF_SIZE - 1)
    # The reference compares squared distances with this area.
    closest = (x_high - x_low) * (y_high - y_low) / (math.sqrt(2.0) * (n + 2))
    centres, placed = _place(x_low, x_high, y_low, y_high, n, closest, seed)
    if placed < n:
        raise DataError(f"only {placed} of {n} windows fit into {x2 - x1 + 1} x {y2 - y1 + 1} pix")
    corners: NDArray[np.int32] = np.trunc(centres).astype(np.int32) - HALF_SIZE - 1
    corners.flags.writeable = False
    return corners
