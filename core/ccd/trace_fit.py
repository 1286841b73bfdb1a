"""Averaged cuts become edges: threshold crossing, then a Gaussian through the derivative.

Both edges of a slice are found where the cut falls below a fraction of its median, and refined to the centre of a
Gaussian without background that is fitted to the derivative of the cut around each edge. All of this runs in
compiled loops: 48 slices times 128 blocks times 2 edges.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from numba import njit

from core.ccd.trace_cuts import BlockCuts
from core.instruments.muse.facts import SLICE_WIDTH_LIMITS, TRACE_HALF_WIDTH

__all__ = ["EdgePoints", "PointState", "find_edges"]

FloatArray: TypeAlias = npt.NDArray[np.float64]

_REFINE = 5  # half-width of the refinement [pix]
_MAX_SHIFT = 0.25  # largest shift of the midpoint by the refinement [pix]
_MIN_WIDTH = SLICE_WIDTH_LIMITS[0]
_HALF = TRACE_HALF_WIDTH
_SQRT_2PI = float(np.sqrt(2 * np.pi))
_MAX_ITERATIONS = 1000
_MAX_DAMPING = 1e30


class PointState(IntEnum):
    """What became of one slice in one block of rows."""

    GOOD = 0
    NO_EDGE = 1  # no edge inside the cut
    SHIFTED = 2  # the refinement moved the midpoint too far
    RESCUED = 3  # shifted, but accepted with the threshold position of the moved edge


@dataclass(frozen=True, eq=False)
class EdgePoints:
    """Edges of the slices, for each slice and block.

    Attributes
    ----------
    left, right : ndarray of float64, shape (48, n)
        FITS columns of the edges after refinement; NaN where none was found.
    left_threshold, right_threshold : ndarray of float64, shape (48, n)
        FITS columns of the edges before refinement.
    state : ndarray of int8, shape (48, n)
        `PointState` of each point.
    significant : ndarray of bool, shape (48, n)
        Whether the cut holds clear signal (median above its deviation and mean above standard deviation).
    """

    left: FloatArray
    right: FloatArray
    left_threshold: FloatArray
    right_threshold: FloatArray
    state: npt.NDArray[np.int8]
    significant: npt.NDArray[np.bool_]


def find_edges(cuts: BlockCuts, centers: npt.NDArray[np.int64], edgefrac: float) -> EdgePoints:
    """Find and refine both edges of each slice in each block of rows.

    Parameters
    ----------
    cuts : BlockCuts
        Averages of blocks of rows.
    centers : ndarray of int64, shape (48,)
        FITS columns around which the slices are searched, within 55 pix.
    edgefrac : float
        Fraction of the median of a cut at which the edge lies.
    """
    shape = (len(centers), len(cuts.y))
    left, right = np.full(shape, np.nan), np.full(shape, np.nan)
    first_left, first_right = np.full(shape, np.nan), np.full(shape, np.nan)
    state = np.zeros(shape, dtype=np.int8)
    significant = np.zeros(shape, dtype=np.bool_)
    _trace_points(cuts.flux, cuts.slope, centers, edgefrac, left, right, first_left, first_right, state, significant)
    return EdgePoints(left, right, first_left, first_right, state, significant)


@njit(cache=True, nogil=True)
def _trace_points(flux, slope, centers, edgefrac, left, right, first_left, first_right, state, significant):  # type: ignore[no-untyped-def]
    n = 2 * _HALF + 1
    nx = flux.shape[1]
    values = np.empty(n)
    slopes = np.empty(n)
    scratch = np.empty(n)
    for s in range(len(centers)):
        offset = centers[s] - _HALF  # FITS column of the first pixel of the cut
        for b in range(flux.shape[0]):
            for i in range(n):
                # What a cut sees beyond the border of the detector is dark.
                x = offset + i - 1
                inside = 0 <= x < nx
                values[i] = flux[b, x] if inside else 0.0
                slopes[i] = slope[b, x] if inside else 0.0
            clear, median = _significance(values, scratch)
            significant[s, b] = clear
            low, high = _threshold_edges(values, edgefrac * median, clear)
            if not (low > 0 and high > 0 and low < n and high < n and high > low):
                state[s, b] = PointState.NO_EDGE
                continue
            refined_low = _refine_edge(slopes, low, 1.0)
            refined_high = _refine_edge(slopes, high, -1.0)
            first_left[s, b] = low + offset
            first_right[s, b] = high + offset
            left[s, b] = refined_low + offset
            right[s, b] = refined_high + offset
            shift = (refined_low + refined_high) / 2 - (low + high) / 2
            state[s, b] = PointState.SHIFTED if abs(shift) > _MAX_SHIFT else PointState.GOOD


@njit(cache=True, nogil=True)
def _significance(values, scratch):  # type: ignore[no-untyped-def]
    """Whether a cut holds clear signal, and its median."""
    n = len(values)
    total = 0.0
    for i in range(n):
        scratch[i] = values[i]
        total += values[i]
    mean = total / n
    scratch.sort()
    median = scratch[n // 2] if n % 2 else (scratch[n // 2 - 1] + scratch[n // 2]) / 2
    deviation, squares = 0.0, 0.0
    for i in range(n):
        deviation += abs(values[i] - median)
        squares += (values[i] - mean) ** 2
    return median > deviation / n and mean > np.sqrt(squares / (n - 1)), median


@njit(cache=True, nogil=True)
def _right_crossing(values, start, limit, clear):  # type: ignore[no-untyped-def]
    """Index where the cut falls below the limit, going right from ``start``; 0 if it does not."""
    for i in range(max(start, 1), len(values)):
        if values[i] < limit:
            edge = i - 1 + (limit - values[i - 1]) / (values[i] - values[i - 1] + 1e-300)
            if abs(edge - i) <= 1:
                return edge
            if clear and i - start > 2:
                return 0.0
    return 0.0


@njit(cache=True, nogil=True)
def _left_crossing(values, start, limit, clear):  # type: ignore[no-untyped-def]
    """Index where the cut falls below the limit, going left from ``start``; 0 if it does not."""
    for i in range(min(start, len(values) - 2), -1, -1):
        if values[i] < limit:
            edge = i + (limit - values[i]) / (values[i + 1] - values[i] + 1e-300)
            if abs(edge - i) <= 1:
                return edge
            if clear and start - i > 2:
                return 0.0
    return 0.0


@njit(cache=True, nogil=True)
def _threshold_edges(values, limit, clear):  # type: ignore[no-untyped-def]
    """Threshold edges of a slice; if they are too close (a dark column inside), search again further out.

    As in the reference, the edges of the last complete search stand if a later one runs out of the cut.
    """
    start = _HALF
    low, high = 0.0, 0.0
    step = 0
    while step <= _HALF:
        found = _right_crossing(values, start + step, limit, clear)
        if found == 0:
            break
        high = found
        found = _left_crossing(values, start - step, limit, clear)
        if found == 0:
            break
        low = found
        if high - low + 1 >= _MIN_WIDTH:
            break
        step = max(int(min(start - low, high - start) + 2), step + 1)
    return low, high


@njit(cache=True, nogil=True)
def _refine_edge(slopes, edge, sign):  # type: ignore[no-untyped-def]
    """Refined index of an edge; the given one if the fit fails."""
    center = int(edge + 0.5)
    first = center - _REFINE
    n = 2 * _REFINE + 1
    if first < 0 or first + n > len(slopes):
        return edge
    y = np.empty(n)
    for i in range(n):
        y[i] = max(sign * slopes[first + i], 0.0)
    good, x0 = _fit_gauss(y)
    # A pixel of the derivative image sits half a pixel right of the step that it measures.
    refined = x0 + first - 0.5
    if good or abs(refined - edge) < _MAX_SHIFT:
        return refined
    return edge


@njit(cache=True, nogil=True)
def _quantile(y, total, fraction):  # type: ignore[no-untyped-def]
    """Position where the running sum over pixels reaches a fraction of the total."""
    goal = fraction * total
    running = 0.0
    for i in range(len(y)):
        if running + y[i] >= goal and y[i] > 0:
            return i - 0.5 + (goal - running) / y[i]
        running += y[i]
    return len(y) - 0.5


@njit(cache=True, nogil=True)
def _gauss_normal_equations(y, x0, sigma, area):  # type: ignore[no-untyped-def]
    """Chi square of a Gaussian, its gradient (3) and curvature (xx, xs, xa, ss, sa, aa), by centre, sigma, area."""
    chi2 = gx = gs = ga = xx = xs = xa = ss = sa = aa = 0.0
    scale = 1 / (_SQRT_2PI * sigma)
    for i in range(len(y)):
        u = (i - x0) / sigma
        unit = np.exp(-0.5 * u * u) * scale
        value = area * unit
        residual = y[i] - value
        dx = value * u / sigma
        ds = value * (u * u - 1) / sigma
        chi2 += residual * residual
        gx += dx * residual
        gs += ds * residual
        ga += unit * residual
        xx += dx * dx
        xs += dx * ds
        xa += dx * unit
        ss += ds * ds
        sa += ds * unit
        aa += unit * unit
    return chi2, (gx, gs, ga), (xx, xs, xa, ss, sa, aa)


@njit(cache=True, nogil=True)
def _solve_damped(gradient, curvature, damping):  # type: ignore[no-untyped-def]
    """Solve the 3x3 normal equations with the diagonal enlarged (Cholesky); the first value is False if singular."""
    xx, xs, xa, ss, sa, aa = curvature
    xx, ss, aa = xx * (1 + damping), ss * (1 + damping), aa * (1 + damping)
    if xx <= 0:
        return False, 0.0, 0.0, 0.0
    l00 = np.sqrt(xx)
    l10, l20 = xs / l00, xa / l00
    rest = ss - l10 * l10
    if rest <= 0:
        return False, 0.0, 0.0, 0.0
    l11 = np.sqrt(rest)
    l21 = (sa - l20 * l10) / l11
    rest = aa - l20 * l20 - l21 * l21
    if rest <= 0:
        return False, 0.0, 0.0, 0.0
    l22 = np.sqrt(rest)
    z0 = gradient[0] / l00
    z1 = (gradient[1] - l10 * z0) / l11
    z2 = (gradient[2] - l20 * z0 - l21 * z1) / l22
    area = z2 / l22
    sigma = (z1 - l21 * area) / l11
    return True, (z0 - l10 * sigma - l20 * area) / l00, sigma, area


@njit(cache=True, nogil=True)
def _fit_gauss(y):  # type: ignore[no-untyped-def]
    """Least-squares Gaussian without background through samples at 0, 1, ...

    Levenberg-Marquardt. It stops when chi square changed by less than 1 per cent in 5 steps in a row and the steps
    no longer shrink: samples with two peaks (a defect column beside the edge) have no clear minimum, and there the
    result depends on when one stops; this is how the reference does. Returns whether the result is a plausible peak,
    and its centre; if it is not, the median position of the samples.
    """
    n = len(y)
    total, peak = 0.0, 0.0
    for i in range(n):
        total += y[i]
        peak = max(peak, y[i])
    if total <= 0:
        return False, (n - 1) / 2
    start = x0 = _quantile(y, total, 0.5)
    sigma = (_quantile(y, total, 0.75) - _quantile(y, total, 0.25)) / 1.3488
    area = peak * _SQRT_2PI * sigma
    chi2, gradient, curvature = _gauss_normal_equations(y, x0, sigma, area)
    damping = 1e-3
    calm = 0
    last_length = np.inf
    for _ in range(_MAX_ITERATIONS):
        solved, step_x0, step_sigma, step_area = _solve_damped(gradient, curvature, damping)
        better = False
        if solved and sigma + step_sigma != 0:
            trial = _gauss_normal_equations(y, x0 + step_x0, sigma + step_sigma, area + step_area)
            better = trial[0] <= chi2
        if not better:
            damping *= 9
            if damping > _MAX_DAMPING:
                break
            continue
        damping /= 10
        calm = calm + 1 if chi2 - trial[0] < 0.01 * chi2 else 0
        chi2, gradient, curvature = trial
        x0 += step_x0
        sigma += step_sigma
        area += step_area
        length = step_x0 * step_x0 + step_sigma * step_sigma + step_area * step_area
        if calm >= 5 and length >= last_length:
            break
        last_length = length
    if not (0 <= x0 <= n - 1 and 0 < sigma < n and area > 0):
        return False, start
    return True, x0
