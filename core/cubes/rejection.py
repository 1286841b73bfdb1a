"""Cosmic rays are found among the pixels that fall next to each other in a cube.

A pixel is compared with those of its own cell and of the cells around. Along a slice a cosmic ray spreads over several
pixels; neighbouring slices see the same sky but other pixels of the detector. So the cells of the neighbouring slices
count, and those along the same slice do not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
from numba import njit

from core.cubes.grid import BAD, COSMIC, Box, Cells
from core.errors import ParameterError
from core.spread import Spread, in_turn

__all__ = ["CosmicStatistic", "Direction", "Rejection", "find_cosmics", "slice_direction", "without_cosmics"]

CosmicStatistic = Literal["iraf", "mean", "median"]
Direction = Literal["x", "y", "none"]

_STATISTICS: Final[dict[CosmicStatistic, int]] = {"iraf": 0, "mean": 1, "median": 2}
_IRAF, _MEAN, _MEDIAN = range(3)
_DIRECTIONS: Final[dict[Direction, int]] = {"x": 0, "y": 1, "none": 2}
_ALONG_X, _ALONG_Y, _NOWHERE = range(3)
_NEIGHBOURS: Final = 27  # a cell and those around it
_FEWEST: Final = 3  # pixels that make a statistic
_ANGLE: Final = 5.0  # [deg] that slices may be off an axis of the cube
_WIDER: Final = 1 + 1e-12  # so that rounding does not decide which of two ways is taken
_ROUNDING: Final = np.float32(2e-7)
_LINES: Final = 32  # rows of cells that a thread takes at a time
_TRIES: Final = 4  # to enclose a median by counting, before it is computed
_BESIDE: Final = 0.5  # median deviations from where a median is expected to the ends of the interval
_USUAL: Final = 8  # pixels in three cells that lie side by side, at most


@dataclass(frozen=True)
class Rejection:
    """How cosmic rays are found.

    Attributes
    ----------
    statistic : {'iraf', 'mean', 'median'}
        Level and deviation: mean and the error that the variances give; mean and standard deviation; or median and
        median absolute deviation.
    sigma : float
        Pixels that lie more deviations above the level are cosmic rays; 0 or less switches the search off.
    direction : {'x', 'y', 'none'}
        Axis of the cube that slices run along (`slice_direction`).

    Raises
    ------
    ParameterError
        If there is no such statistic or direction.
    """

    statistic: CosmicStatistic = "median"
    sigma: float = 15.0
    direction: Direction = "x"

    def __post_init__(self) -> None:
        if self.statistic not in _STATISTICS or self.direction not in _DIRECTIONS:
            raise ParameterError(f"cosmic rays are not found by {self.statistic!r} along {self.direction!r}")

    @property
    def active(self) -> bool:
        """Whether there is a search."""
        return self.sigma > 0


def slice_direction(celestial: bool, position_angle: float = 0.0) -> Direction:
    """Axis of a cube that the slices run along.

    Parameters
    ----------
    celestial : bool
        Whether the cube is on the sky; if not, slices lie along x.
    position_angle : float
        Of the (first) exposure [deg].
    """
    if not celestial:
        return "x"
    off = abs((position_angle + 90) % 180 - 90)  # from the nearest multiple of 180
    if off <= _ANGLE:
        return "x"
    return "y" if off >= 90 - _ANGLE else "none"


def find_cosmics(cells: Cells, rejection: Rejection, spread: Spread = in_turn) -> npt.NDArray[np.bool_]:
    """Which pixels are cosmic rays; those that were flagged as such before are among the pixels to compare with.

    Parameters
    ----------
    cells : Cells
        The outermost cells of their margin are compared with, not searched.
    rejection : Rejection
    spread : Spread
        Threads of the caller.

    Returns
    -------
    ndarray of bool, shape (pixels,)
        In the order of the cells. What is flagged does not depend on what was flagged before it.
    """
    found = np.zeros(cells.row.size, np.bool_)
    if rejection.active:
        statistic, direction = _STATISTICS[rejection.statistic], _DIRECTIONS[rejection.direction]
        n_lines = (cells.box.nz - 2) * (cells.box.ny - 2)
        most = int(np.diff(cells.starts).max())
        usable = _usable(cells.data, cells.state)
        variances = _usable(cells.stat, cells.state) if statistic == _IRAF else usable
        given = cells, usable, variances, _runs(cells.box, direction)
        how = most, statistic, direction, rejection.sigma
        spread(
            lambda first: _search(*given, first, min(first + _LINES, n_lines), *how, found),
            range(0, n_lines, _LINES),
        )
    return found


def without_cosmics(cells: Cells, found: npt.NDArray[np.bool_]) -> Cells:
    """The same cells, in which the cosmic rays that were found are not `core.cubes.grid.GOOD`."""
    state = cells.state.copy()
    np.maximum(state, COSMIC, out=state, where=found)
    return cells._replace(state=state)


def _runs(box: Box, direction: int) -> npt.NDArray[np.int32]:
    """Which cells one is compared with: runs of neighbours, by their distances from it, first and last + 1."""
    found = []
    for dz, dy in product((-1, 0, 1), repeat=2):
        beside = (0, 1) if direction == _ALONG_X and dy == 0 else (-1, 2)
        if direction == _ALONG_X and dy == 0 and dz != 0:
            continue
        middle = (dz * box.ny + dy) * box.nx
        if direction == _ALONG_Y and (dz, dy) != (0, 0):
            found += [(middle - 1, middle), (middle + 1, middle + 2)]
        else:
            found.append((middle + beside[0], middle + beside[1]))
    return np.array(found, np.int32)


@njit(cache=True, nogil=True)
def _usable(of_pixels, state):  # type: ignore[no-untyped-def]
    """Values of the pixels that may be compared with, NaN of others and of some behind the last."""
    usable = np.empty(of_pixels.size + _USUAL, np.float32)
    usable[of_pixels.size :] = np.nan
    for k in range(of_pixels.size):
        usable[k] = np.nan if state[k] == BAD else of_pixels[k]
    return usable


@njit(cache=True, nogil=True)
def _search(cells, usable, variances, runs, first, last, most, statistic, direction, sigma, found):  # type: ignore[no-untyped-def]
    """Search rows of cells, counted without the outermost; ``usable`` and ``variances`` are from `_usable`."""
    box = cells.box
    values, spare = np.empty(_NEIGHBOURS * most + _USUAL, np.float32), np.empty(_NEIGHBOURS * most)
    middle, deviation = np.nan, np.nan  # of the cells before
    for number in range(first, last):
        z, y = number // (box.ny - 2) + 1, number % (box.ny - 2) + 1
        line = (z * box.ny + y) * box.nx
        for own in range(line + 1, line + box.nx - 1):
            begin, end = cells.starts[own], cells.starts[own + 1]
            if begin == end:
                continue
            highest = cells.data[begin]
            for k in range(begin + 1, end):
                highest = max(highest, cells.data[k])
            n = _collect(usable, cells.starts, runs, own, values)
            if statistic == _MEDIAN:
                below, middle = _counted_below(values, n, middle, deviation, sigma, highest)
                if below:
                    continue
            n = _numbers(values, n)
            if n < _FEWEST:
                continue
            if statistic == _MEDIAN:
                middle, deviation, limit = _median_limit(values, spare, n, sigma)
            elif statistic == _MEAN:
                limit = _mean_limit(values, n, sigma)
            else:
                limit = _sum(values, n) / n
                n = _numbers(values, _collect(variances, cells.starts, runs, own, values))
                limit += sigma * (math.sqrt(_sum(values, n)) / n)
            for k in range(begin, end):
                if cells.data[k] > limit:
                    found[k] = True


@njit(cache=True, nogil=True)
def _collect(usable, starts, runs, own, values):  # type: ignore[no-untyped-def]
    """Gather what is to be compared with a cell, NaN among it, and tell how much it is.

    A run is copied with what lies behind it, over which the next one goes: in this way nothing is to be asked.
    """
    n, longest = 0, 0
    for run in range(runs.shape[0]):
        begin, end = starts[own + runs[run, 0]], starts[own + runs[run, 1]]
        longest = max(longest, end - begin)
        if longest > _USUAL:
            return _collect_many(usable, starts, runs, own, values)
        k, to = np.uintp(begin), np.uintp(n)
        for i in range(_USUAL):
            values[to + np.uintp(i)] = usable[k + np.uintp(i)]
        n += end - begin
    return n


@njit(cache=True, nogil=True)
def _collect_many(usable, starts, runs, own, values):  # type: ignore[no-untyped-def]
    n = 0
    for run in range(runs.shape[0]):
        for k in range(starts[own + runs[run, 0]], starts[own + runs[run, 1]]):
            values[n] = usable[k]
            n += 1
    return n


@njit(cache=True, nogil=True)
def _numbers(values, n):  # type: ignore[no-untyped-def]
    """Put those of the first n values that are numbers together, and tell how many these are."""
    known = 0
    for k in range(n):
        values[known] = values[k]
        known += values[k] == values[k]
    return known


@njit(cache=True, nogil=True)
def _sum(values, n):  # type: ignore[no-untyped-def]
    total = 0.0
    for k in range(n):
        total += values[k]
    return total


@njit(cache=True, nogil=True)
def _mean_limit(values, n, sigma):  # type: ignore[no-untyped-def]
    """What a cosmic ray exceeds, by mean and standard deviation."""
    level, squares = _sum(values, n) / n, 0.0
    for k in range(n):
        squares += (values[k] - level) ** 2
    return level + sigma * math.sqrt(squares / (n - 1))


@njit(cache=True, nogil=True)
def _counted_below(values, n, middle, deviation, sigma, highest):  # type: ignore[no-untyped-def]
    """Whether ``highest`` is seen to be no cosmic ray by counting, and where the median is expected next time.

    An interval around ``middle`` encloses the median if less than half of the values lie below it, and above it. If
    then less than half lie so near to it that ``sigma`` times their distance reaches ``highest``, the median deviation
    is larger. Nothing is lost by a bad guess but time.
    """
    low, high = middle - _BESIDE * deviation, middle + _BESIDE * deviation
    for attempt in range(_TRIES):
        first, last = np.float32(low), np.float32(high)
        near = max((np.float64(highest) - first) / sigma, 0.0) * _WIDER
        least, most = np.float32(first - near), np.float32(last + near)
        least, most = least - abs(least) * _ROUNDING, most + abs(most) * _ROUNDING
        known, beneath, above, not_below, within = _count(values, n, first, last, highest, least, most)
        not_lower, not_higher = 2 * beneath < known, 2 * above < known
        enclosed = first <= last and not_lower and not_higher
        off = deviation * (above - beneath) / max(known, 1)
        if 2 * not_below > known or (enclosed and 2 * within < known):
            return True, 0.5 * (low + high) + off
        if not deviation > 0 or (enclosed and 3 * near > deviation):
            break
        low, high = _other_interval(low, high, middle + off, (1 + attempt) * deviation, not_lower, not_higher)
    return False, middle


@njit(cache=True, nogil=True)
def _other_interval(low, high, middle, step, not_lower, not_higher):  # type: ignore[no-untyped-def]
    """A smaller interval if a median was enclosed, else one where it is."""
    if not_lower and not_higher:
        quarter = 0.25 * (high - low)
        return max(low, middle - quarter), min(high, middle + quarter)
    if not_lower:
        return high - 0.15 * step, high + 0.75 * step
    if not_higher:
        return low - 0.75 * step, low + 0.15 * step
    return low - 0.25 * step, high + 0.25 * step


@njit(cache=True, nogil=True)
def _count(values, n, low, high, highest, least, most):  # type: ignore[no-untyped-def]
    """Numbers of values: all, below ``low``, above ``high``, not below ``highest``, between ``least`` and ``most``."""
    none, one = np.int32(0), np.int32(1)  # numbers of the size of the values, of which many are counted at a time
    known, beneath, above, not_below, within = none, none, none, none, none
    for k in range(n):
        value = values[k]
        known += one if value == value else none
        beneath += one if value < low else none
        above += one if value > high else none
        not_below += one if value >= highest else none
        within += one if (value > least) & (value < most) else none
    return known, beneath, above, not_below, within


@njit(cache=True, nogil=True)
def _median_limit(values, spare, n, sigma):  # type: ignore[no-untyped-def]
    """Median, median deviation, and what a cosmic ray exceeds."""
    level = _median(values, n)
    for k in range(n):
        spare[k] = abs(values[k] - level)
    deviation = _median(spare, n)
    return level, deviation, level + sigma * deviation


@njit(cache=True, nogil=True)
def _median(values, n):  # type: ignore[no-untyped-def]
    """Median of the first n values, the mean of two if n is even; changes their order."""
    middle = n // 2
    left, right = 0, n - 1
    while left < right:
        pivot = values[middle]
        i, j = left, right
        while i <= j:
            while values[i] < pivot:
                i += 1
            while pivot < values[j]:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if j < middle:
            left = i
        if middle < i:
            right = j
    upper = np.float64(values[middle])
    if n % 2:
        return upper
    lower = values[0]
    for k in range(1, middle):
        lower = max(lower, values[k])
    return 0.5 * (upper + lower)
