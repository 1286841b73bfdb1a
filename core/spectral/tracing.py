"""Arc lines followed from column to column across a slice.

A line whose rough position is known becomes one Gaussian centre per column; blended lines are fitted together. Then a
low-order polynomial per line tells good columns from bad ones and how much a centre is worth.

Flagged pixels are left out of the fits (the reference fits them), and a column whose line core is flagged gives no
point: saturated cores, cosmic rays known to the flags and bad columns do not reach the solution. Columns are tracked
outwards from the middle in both directions (the reference forgets its track to the right).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from core.errors import DataError, WavelengthError
from core.instruments.muse.facts import FWHM_PER_SIGMA, SAMPLING, SLIT_WIDTH_ANGSTROM
from core.lanes import padded
from core.spectral.iterfit import iterate_fit_kernel
from core.spectral.linefit import CONVERGED, NOT_CONVERGED, gauss_lm
from core.spectral.multigauss import multi_lm, multi_work_size

__all__ = [
    "HALF_WINDOW",
    "SIGMA_GUESS",
    "LinePoints",
    "Weighting",
    "concatenate_points",
    "trace_multiplet",
    "trace_singlets",
]

SIGMA_GUESS: Final = SLIT_WIDTH_ANGSTROM / SAMPLING / FWHM_PER_SIGMA  # [pix], 0.88671
HALF_WINDOW: Final = int(3 * SLIT_WIDTH_ANGSTROM / SAMPLING)  # [pix], 6
MAX_SHIFT: Final = 2.0  # [pix] from the expected position
TRACK_SHIFT: Final = 0.25  # [pix] from column to column, for the track to follow
CORE: Final = 2  # [pix] around the expected position that must be free of flags
FAILED_FIT_ERROR: Final = 10.0  # [pix] centring error of the points of a line without polynomial
_MAX_COLUMNS: Final = 128
_DRIFT: Final = 12  # [pix] that a line may wander from its start across a slice


class Weighting(StrEnum):
    """What a centring error is made of."""

    UNIFORM = "uniform"
    CERR = "cerr"
    SCATTER = "scatter"
    CERRSCATTER = "cerrscatter"


@dataclass(frozen=True)
class LinePoints:
    """Centres of lines in columns; arrays of equal length, one element per point.

    Attributes
    ----------
    line : ndarray of int
        Index of the line (of the caller's list).
    x : ndarray of int
        CCD column.
    y, error : ndarray of float64
        Centre and its error [pix].
    sigma : ndarray of float64
        Fitted width [pix]; NaN where it was frozen or common to a blend.
    """

    line: NDArray[np.int64]
    x: NDArray[np.int64]
    y: NDArray[np.float64]
    error: NDArray[np.float64]
    sigma: NDArray[np.float64]

    def __len__(self) -> int:
        return int(self.x.size)

    @property
    def fwhm(self) -> NDArray[np.float64]:
        """Full width at half maximum [pix]."""
        return self.sigma * FWHM_PER_SIGMA

    def select(self, index: NDArray[np.bool_] | NDArray[np.intp]) -> LinePoints:
        """The points of an index or mask."""
        return LinePoints(self.line[index], self.x[index], self.y[index], self.error[index], self.sigma[index])


def concatenate_points(parts: list[LinePoints]) -> LinePoints:
    """Points of several lists, one after the other."""
    return LinePoints(
        np.concatenate([np.empty(0, np.int64), *(p.line for p in parts)]),
        np.concatenate([np.empty(0, np.int64), *(p.x for p in parts)]),
        np.concatenate([np.empty(0), *(p.y for p in parts)]),
        np.concatenate([np.empty(0), *(p.error for p in parts)]),
        np.concatenate([np.empty(0), *(p.sigma for p in parts)]),
    )


@njit(cache=True, nogil=True)
def _load_block(data, stat, bad, first, last, low, high, values, weights):  # type: ignore[no-untyped-def]
    """Samples of columns first .. last and rows low .. high (1-based), column by column; weight 0 where flagged.

    The image is read along its rows: reading it column by column would miss the cache at every sample.
    """
    for row in range(low - 1, high):
        k = row - low + 1
        for column in range(first - 1, last):
            value = data[row, column]
            variance = stat[row, column]
            use = not bad[row, column] and variance > 0.0 and math.isfinite(value)
            values[column - first + 1, k] = value if use else 0.0
            weights[column - first + 1, k] = 1.0 / variance if use else 0.0


@njit(cache=True, nogil=True)
def _flagged_core(w, n, position):  # type: ignore[no-untyped-def]
    """Number of left-out samples around a position (index of the window)."""
    middle = int(position + 0.5)
    count = 0
    for i in range(max(0, middle - CORE), min(n, middle + CORE + 1)):
        if w[i] <= 0.0:
            count += 1
    return count


@njit(cache=True, nogil=True)
def _trace_singlets(data, stat, bad, start, left, right, free, half, track, table):  # type: ignore[no-untyped-def]
    """Fill ``table`` with rows (line, x, y, error, sigma); returns their number."""
    ny, nx = data.shape
    size = 2 * int(np.max(half)) + 1
    values = np.empty((_MAX_COLUMNS, size + 2 * _DRIFT))
    weights = np.empty((_MAX_COLUMNS, size + 2 * _DRIFT))
    x, y, w = np.zeros(padded(size)), np.zeros(padded(size)), np.zeros(padded(size))
    work = np.empty(x.size + 64)
    par = np.empty(4)
    cov = np.zeros((4, 4))
    count = 0
    for line in range(start.size):
        h = half[line]
        if start[line] - h < 1.0 or start[line] + h > ny:
            continue
        n = 2 * h + 1
        for i in range(n):
            x[i] = i - h
        w[n:] = 0.0
        middle = int(0.5 * (left[line] + right[line]))
        first = max(1, math.ceil(left[line]))
        last = min(nx, math.floor(right[line]))
        block_low = max(1, int(start[line]) - h - _DRIFT)
        block_high = min(ny, int(start[line]) + h + _DRIFT)
        _load_block(data, stat, bad, first, last, block_low, block_high, values, weights)
        for direction in (-1, 1):
            expected = start[line]
            warm = False
            column = middle if direction == -1 else middle + 1
            while first <= column <= last:
                low = int(expected) - h
                if low >= block_low and low + n - 1 <= block_high:
                    k = low - block_low
                    for i in range(n):
                        y[i] = values[column - first, k + i]
                        w[i] = weights[column - first, k + i]
                    if _flagged_core(w, n, expected - low) == 0:
                        status = NOT_CONVERGED
                        if warm:  # the neighbour's result is nearer to the truth than an estimate from 13 samples
                            par[0] = expected - low - h
                            status = gauss_lm(x, y, w, padded(n), free[line], True, True, par, cov, work)
                        if status != CONVERGED:
                            par[1] = SIGMA_GUESS
                            status = gauss_lm(x, y, w, padded(n), free[line], True, False, par, cov, work)
                        warm = track and status == CONVERGED
                        center = low + h + par[0]
                        if status == CONVERGED and cov[0, 0] > 0.0 and abs(center - expected) <= MAX_SHIFT:
                            table[count, 0] = line
                            table[count, 1] = column
                            table[count, 2] = center
                            table[count, 3] = math.sqrt(cov[0, 0])
                            table[count, 4] = par[1] if free[line] else np.nan
                            count += 1
                            if track and abs(center - expected) < TRACK_SHIFT:
                                expected = center
                column += direction
    return count


@njit(cache=True, nogil=True)
def _trace_multiplet(data, stat, bad, start, fluxes, left, right, work, table):  # type: ignore[no-untyped-def]
    """Fill ``table`` with rows (member, x, y, error, sigma) of one multiplet; returns their number."""
    ny, nx = data.shape
    m = start.size
    npar = 3 + 2 * m
    low = math.floor(np.min(start)) - HALF_WINDOW
    high = math.ceil(np.max(start)) + HALF_WINDOW
    if low < 1 or high > ny:
        return 0
    n = high - low + 1
    values = np.empty((_MAX_COLUMNS, n))
    weights = np.empty((_MAX_COLUMNS, n))
    x = np.empty(n)
    par = np.empty(npar)
    good = np.empty(npar)  # parameters that the next fit starts from, relative to the window
    shifts = np.empty(m)
    cov = np.empty((npar, npar))
    reference = 0.5 * (n - 1)
    for i in range(n):
        x[i] = i - reference
    brightest = 0
    for j in range(m):
        if fluxes[j] > fluxes[brightest]:
            brightest = j
    middle = int(0.5 * (left + right))
    first = max(1, math.ceil(left))
    last = min(nx, math.floor(right))
    _load_block(data, stat, bad, first, last, low, high, values, weights)
    count = 0
    for direction in (-1, 1):
        for j in range(m):
            good[3 + j] = start[j] - low - reference
            good[3 + m + j] = fluxes[j]
        good[2] = SIGMA_GUESS
        tracked = False
        column = middle if direction == -1 else middle + 1
        while first <= column <= last:
            y = values[column - first]
            w = weights[column - first]
            flagged = 0
            for j in range(m):
                flagged = max(flagged, _flagged_core(w, n, good[3 + j] + reference))
            if flagged == 0:
                for k in range(npar):
                    par[k] = good[k]
                if not tracked:
                    floor = np.inf
                    for i in range(n):
                        if w[i] > 0.0:
                            floor = min(floor, y[i])
                    par[0] = max(floor, 0.0)
                    par[1] = 0.0
                status = multi_lm(x, y, w, n, m, True, True, par, cov, work)
                accept = status == CONVERGED
                if accept:
                    if abs(par[3 + brightest] - good[3 + brightest]) > MAX_SHIFT:
                        accept = False
                    for j in range(m):
                        if par[3 + m + j] < 0.0 or not cov[3 + j, 3 + j] > 0.0:
                            accept = False
                if accept:
                    for j in range(m):
                        table[count, 0] = j
                        table[count, 1] = column
                        table[count, 2] = low + reference + par[3 + j]
                        table[count, 3] = math.sqrt(cov[3 + j, 3 + j])
                        table[count, 4] = np.nan
                        count += 1
                        shifts[j] = par[3 + j] - good[3 + j]
                    if abs(np.median(shifts)) < TRACK_SHIFT:
                        for k in range(npar):
                            good[k] = par[k]
                        tracked = True
            column += direction
    return count


@njit(cache=True, nogil=True)
def _clip_lines(table, first, last, order, k_sigma, keep, rms):  # type: ignore[no-untyped-def]
    """Fit centre(x) of each run of equal line numbers; marks what survives, writes the rms of the run."""
    x = np.empty(last - first)
    y = np.empty(last - first)
    kept = np.empty(last - first, dtype=np.bool_)
    coef = np.empty(order + 1)
    i = first
    while i < last:
        j = i
        while j < last and table[j, 0] == table[i, 0]:
            x[j - i] = table[j, 1]
            y[j - i] = table[j, 2]
            kept[j - i] = True
            j += 1
        scatter, _, _ = iterate_fit_kernel(x, y, j - i, order, k_sigma, kept, coef)
        for k in range(i, j):
            keep[k] = kept[k - i] or math.isnan(scatter)
            rms[k] = scatter
        i = j


def _weigh(table: NDArray[np.float64], order: int, k_sigma: float, weighting: Weighting) -> LinePoints:
    """Clip each line and turn scatter into centring errors."""
    table = table[np.argsort(table[:, 0], kind="stable")]
    keep = np.ones(len(table), dtype=np.bool_)
    rms = np.empty(len(table))
    _clip_lines(table, 0, len(table), order, k_sigma, keep, rms)
    table, rms = table[keep], rms[keep]
    error = table[:, 3].copy()
    if weighting is Weighting.SCATTER:
        error = rms.copy()
    elif weighting is Weighting.CERRSCATTER:
        error = np.hypot(error, rms)
    error[np.isnan(rms)] = FAILED_FIT_ERROR
    return LinePoints(
        line=table[:, 0].astype(np.int64),
        x=table[:, 1].astype(np.int64),
        y=table[:, 2].copy(),
        error=error,
        sigma=table[:, 4].copy(),
    )


def _check(data: NDArray[np.float32], stat: NDArray[np.float32], bad: NDArray[np.bool_]) -> None:
    if data.shape != stat.shape or data.shape != bad.shape or data.ndim != 2:
        raise DataError(f"image, variance and mask differ: {data.shape}, {stat.shape}, {bad.shape}")


def trace_singlets(
    data: NDArray[np.float32],
    stat: NDArray[np.float32],
    bad: NDArray[np.bool_],
    start: NDArray[np.float64],
    left: NDArray[np.float64],
    right: NDArray[np.float64],
    free_sigma: NDArray[np.bool_],
    *,
    half_window: NDArray[np.int64] | None = None,
    order: int = 2,
    k_sigma: float = 2.5,
    weighting: Weighting = Weighting.CERRSCATTER,
    track: bool = True,
) -> LinePoints:
    """Follow single lines across one slice.

    Parameters
    ----------
    data, stat : ndarray of float32 (ny, nx)
        Image [count] and variance.
    bad : ndarray of bool (ny, nx)
        Pixels to leave out.
    start : ndarray of float64 (n,)
        Expected row of each line in the middle of the slice (1-based).
    left, right : ndarray of float64 (n,)
        Edges of the slice there [pix].
    free_sigma : ndarray of bool (n,)
        Whether the width is fitted; else it is frozen at the nominal 0.887 pix.
    half_window : ndarray of int (n,), optional
        Half size of the fitted window [pix], default 6.
    order : int
        Degree of the polynomial ``y(x)`` of each line.
    k_sigma : float
        Rejection limit of points from it, in rms.
    weighting : Weighting
        Meaning of the errors that are returned.
    track : bool
        Whether each column starts from the centre of its neighbour.

    Returns
    -------
    LinePoints
        Accepted points; ``line`` is the index into ``start``.

    Raises
    ------
    DataError
        If image, variance and mask differ in shape.
    WavelengthError
        If the edges are too far apart for a slice.
    """
    _check(data, stat, bad)
    if start.size == 0:
        return concatenate_points([])
    half = np.full(start.size, HALF_WINDOW, dtype=np.int64) if half_window is None else half_window
    table = np.empty((start.size * _MAX_COLUMNS, 5))
    if np.max(right - left) >= _MAX_COLUMNS - 1:
        raise WavelengthError(f"a slice {np.max(right - left):.1f} pix wide is not a slice")
    count = _trace_singlets(data, stat, bad, start, left, right, free_sigma, half, track, table)
    return _weigh(table[:count], order, k_sigma, weighting)


def trace_multiplet(
    data: NDArray[np.float32],
    stat: NDArray[np.float32],
    bad: NDArray[np.bool_],
    start: NDArray[np.float64],
    fluxes: NDArray[np.float64],
    left: float,
    right: float,
    *,
    order: int = 2,
    k_sigma: float = 2.5,
    weighting: Weighting = Weighting.CERRSCATTER,
) -> LinePoints:
    """Follow the members of one blend across a slice, fitted together.

    Parameters
    ----------
    data, stat, bad
        As for `trace_singlets`.
    start, fluxes : ndarray of float64 (m,)
        Expected rows and start fluxes [count pix] of the members.
    left, right : float
        Edges of the slice at the mean row of the members [pix].
    order, k_sigma, weighting
        As for `trace_singlets`.

    Returns
    -------
    LinePoints
        ``line`` is the index of the member.
    """
    _check(data, stat, bad)
    if right - left >= _MAX_COLUMNS - 1:
        raise WavelengthError(f"a slice {right - left:.1f} pix wide is not a slice")
    table = np.empty((start.size * _MAX_COLUMNS, 5))
    work = np.empty(multi_work_size(start.size))
    count = _trace_multiplet(data, stat, bad, start, fluxes, float(left), float(right), work, table)
    return _weigh(table[:count], order, k_sigma, weighting)
