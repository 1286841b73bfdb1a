"""Cosmic rays are found among the pixels that fall next to each other in a cube.

A pixel is compared with those of its own cell and of the cells around. Along a slice a cosmic ray spreads over several
pixels; neighbouring slices see the same sky but other pixels of the detector. So the cells of the neighbouring slices
count, and those along the same slice do not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
from numba import njit

from core.cubes.grid import BAD, COSMIC, Cells
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
_LINES: Final = 32  # rows of cells that a thread takes at a time
_PIECES: Final = 64  # of all cells
_CROWDED: Final = 16  # pixels in a cell, on average, from which on ranks are looked at before all is computed


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
        ranks = _ranks_of(cells, spread) if statistic == _MEDIAN else np.empty((0, 4), np.float32)
        spread(
            lambda first: _search(
                cells, ranks, first, min(first + _LINES, n_lines), most, statistic, direction, rejection.sigma, found
            ),
            range(0, n_lines, _LINES),
        )
    return found


def _ranks_of(cells: Cells, spread: Spread) -> npt.NDArray[np.float32]:
    """Values of four ranks in each cell (`_rank`); none where cells hold too few pixels for that to be of use."""
    n_cells = cells.starts.size - 1
    if cells.row.size < _CROWDED * n_cells:
        return np.empty((0, 4), np.float32)
    ranks = np.empty((n_cells, 4), np.float32)
    step = -(-n_cells // _PIECES)
    spread(lambda first: _rank(cells, first, min(first + step, n_cells), ranks), range(0, n_cells, step))
    return ranks


def without_cosmics(cells: Cells, found: npt.NDArray[np.bool_]) -> Cells:
    """The same cells, in which the cosmic rays that were found are not `core.cubes.grid.GOOD`."""
    state = cells.state.copy()
    np.maximum(state, COSMIC, out=state, where=found)
    return cells._replace(state=state)


@njit(cache=True, nogil=True)
def _rank(cells, first, last, ranks):  # type: ignore[no-untyped-def]
    """Lower quarter, lower and upper median, and upper quarter of the usable pixels of cells; NaN in empty ones."""
    values = np.empty(64, np.float32)
    for cell in range(first, last):
        begin, end = cells.starts[cell], cells.starts[cell + 1]
        if end - begin > values.size:
            values = np.empty(2 * (end - begin), np.float32)
        n = 0
        for k in range(begin, end):
            if cells.state[k] != BAD:
                values[n] = cells.data[k]
                n += 1
        ranks[cell] = np.nan
        if n:
            ordered = np.sort(values[:n])
            ranks[cell, 0], ranks[cell, 3] = ordered[n // 4], ordered[n - 1 - n // 4]
            ranks[cell, 1], ranks[cell, 2] = ordered[(n - 1) // 2], ordered[n // 2]


@njit(cache=True, nogil=True)
def _surely_below(ranks, box, own, direction, sigma, highest):  # type: ignore[no-untyped-def]
    """Whether a value is no cosmic ray, whatever the median and its deviation are exactly.

    The median of all cells lies between the lowest and the highest of their medians. Half of all values lie at or below
    the highest of the lower quarters, or at or above the lowest of the upper ones; so the median deviation is not less
    than the distance of the median from these.
    """
    low, high, least, most = -np.inf, np.inf, np.inf, -np.inf
    for dz in range(-1, 2):
        for dy in range(-1, 2):
            middle = own + (dz * box.ny + dy) * box.nx
            for dx in range(-1, 2):
                here = dz == 0 and dy == 0 and dx == 0
                if not here and ((direction == _ALONG_X and dy == 0) or (direction == _ALONG_Y and dx == 0)):
                    continue
                lower = np.float64(ranks[middle + dx, 1])
                if not np.isnan(lower):
                    low, high = (
                        max(low, np.float64(ranks[middle + dx, 0])),
                        min(high, np.float64(ranks[middle + dx, 3])),
                    )
                    least, most = min(least, lower), max(most, np.float64(ranks[middle + dx, 2]))
    deviation = min(least - low, high - most)
    return deviation > 0 and (highest - least) * _WIDER < sigma * deviation


@njit(cache=True, nogil=True)
def _search(cells, ranks, first, last, most, statistic, direction, sigma, found):  # type: ignore[no-untyped-def]
    """Search rows of cells, counted without the outermost."""
    box = cells.box
    values, spare = np.empty(_NEIGHBOURS * most, np.float32), np.empty(_NEIGHBOURS * most)
    for number in range(first, last):
        z, y = number // (box.ny - 2) + 1, number % (box.ny - 2) + 1
        line = (z * box.ny + y) * box.nx
        for own in range(line + 1, line + box.nx - 1):
            begin, end = cells.starts[own], cells.starts[own + 1]
            if begin == end:
                continue
            highest = cells.data[begin:end].max()
            if ranks.size and _surely_below(ranks, box, own, direction, sigma, np.float64(highest)):
                continue
            n, variance = _collect(cells, own, direction, values)
            if n < _FEWEST:
                continue
            limit = _limit(values, spare, n, variance, statistic, sigma, highest)
            for k in range(begin, end):
                if cells.data[k] > limit:
                    found[k] = True


@njit(cache=True, nogil=True)
def _collect(cells, own, direction, values):  # type: ignore[no-untyped-def]
    """The values to compare those of a cell with, their number and the sum of their variances."""
    n, variance = 0, 0.0
    for dz in range(-1, 2):
        for dy in range(-1, 2):
            left, right, step = -1, 2, 3
            if direction == _ALONG_X and dy == 0:
                if dz != 0:
                    continue
                left, right = 0, 1
            elif direction == _ALONG_Y and (dy != 0 or dz != 0):
                step = 2  # the cells left and right, without that between them
            middle = own + (dz * cells.box.ny + dy) * cells.box.nx
            for dx in range(left, right, step):
                beyond = dx + 1 if step == 2 else right
                for k in range(cells.starts[middle + dx], cells.starts[middle + beyond]):
                    if cells.state[k] != BAD:
                        values[n] = cells.data[k]
                        variance += cells.stat[k]
                        n += 1
    return n, variance


@njit(cache=True, nogil=True)
def _limit(values, spare, n, variance, statistic, sigma, highest):  # type: ignore[no-untyped-def]
    """What a cosmic ray exceeds; infinite where ``highest`` is seen not to, before all is computed."""
    if statistic == _MEDIAN:
        return _median_limit(values, spare, n, sigma, highest)
    level = 0.0
    for k in range(n):
        level += values[k]
    level /= n
    if statistic == _IRAF:
        return level + sigma * (math.sqrt(variance) / n)
    squares = 0.0
    for k in range(n):
        squares += (values[k] - level) ** 2
    return level + sigma * math.sqrt(squares / (n - 1))


@njit(cache=True, nogil=True)
def _median_limit(values, spare, n, sigma, highest):  # type: ignore[no-untyped-def]
    not_below = 0
    for k in range(n):
        not_below += values[k] >= highest
    if 2 * not_below > n:  # not above the median
        return np.inf
    level = _median(values, n)
    enough = (highest - level) / sigma * _WIDER
    within = 0
    for k in range(n):
        spare[k] = abs(values[k] - level)
        within += spare[k] < enough
    if 2 * within < n:  # the median deviation is larger
        return np.inf
    return level + sigma * _median(spare, n)


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
