"""Points of a slice whose edge is damaged are measured another way, where that gives the slice its width.

Two things spoil an edge in many rows: a bright column beside it, which pulls the fit to the derivative; and a run of
flagged columns across it (a cosmic ray in a bias is enough to flag its column), whose pixels the neighbours replaced,
so that the edge is theirs. All slices of an IFU have nearly the same width, and it changes smoothly from slice to
slice: this tells which points are spoilt, and which other measure of them is not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from core.ccd.polyfit import evaluate_polynomial, fit_polynomial
from core.ccd.trace_fit import EdgePoints, PointState
from core.errors import DataError
from core.instruments.muse.facts import SLICE_WIDTH_LIMITS

__all__ = ["DAMAGED", "expected_widths", "rescue_points"]

FloatArray: TypeAlias = npt.NDArray[np.float64]

DAMAGED = 0.1  # fraction of the significant points of a slice above which it counts as damaged
_TOLERANCE = 1.0  # deviation from the expected width of a good point [pix]: more than slices differ, less than damage
_GAIN = 0.2  # by which another measure must be nearer to the expected width to be taken [pix]
_REACH = 6.0  # distance from an edge within which a column takes part in its measure [pix]
_WIDTH_ORDER = 4  # of the polynomial that describes the widths of all slices
_WIDTH_SIGMA = 2.5  # its rejection limit
_LOST = 0.5  # fraction of lost points above which those without the expected width are kept as well


def expected_widths(points: EdgePoints) -> FloatArray:
    """Width of each slice as the others have it [pix], shape (48,); NaN if too few slices are there to tell."""
    widths = points.right - points.left
    low, high = SLICE_WIDTH_LIMITS
    usable = points.significant & (points.state == PointState.GOOD) & (widths > low) & (widths < high)
    numbers = np.arange(len(widths), dtype=np.float64)
    medians = np.array([np.median(w[u]) if u.any() else np.nan for w, u in zip(widths, usable, strict=True)])
    if np.count_nonzero(np.isfinite(medians)) < len(widths) // 2:
        return np.full(len(widths), np.nan)
    try:
        fit = fit_polynomial(numbers, medians, _WIDTH_ORDER, _WIDTH_SIGMA)
    except DataError:
        return np.full(len(widths), np.nan)
    return evaluate_polynomial(fit.coefficients, numbers)


def rescue_points(
    points: EdgePoints,
    expected: FloatArray,
    flagged: npt.NDArray[np.bool_],
    measure_unpatched: Callable[[], EdgePoints],
) -> tuple[FloatArray, FloatArray, npt.NDArray[np.int8]]:
    """Replace spoilt points of damaged slices.

    Parameters
    ----------
    points : EdgePoints
        As measured.
    expected : ndarray of float64, shape (48,)
        See `expected_widths`.
    flagged : ndarray of bool, shape (nx,)
        Columns that are flagged in many rows.
    measure_unpatched : callable
        Measures all points again, flagged pixels at their own values; only called if such a column lies at an edge.

    Returns
    -------
    left, right : ndarray of float64, shape (48, n)
        FITS columns of the edges.
    state : ndarray of int8, shape (48, n)
        `PointState`; RESCUED where a point was replaced.
    """
    left, right, state = points.left.copy(), points.right.copy(), points.state.copy()
    total = np.count_nonzero(points.significant, axis=1)
    mixed = _mixed(points)
    if np.isfinite(expected).all():
        deviation = _deviation(left, right, expected)
        crossed = _crossed(points, flagged)
        if crossed.any():
            plain = measure_unpatched()
            better = _deviation(plain.left, plain.right, expected)
            use = crossed[:, None] & (plain.state == PointState.GOOD) & (better + _GAIN < deviation)
            left[use], right[use], state[use] = plain.left[use], plain.right[use], PointState.RESCUED
            deviation[use] = better[use]
        spoilt = (state == PointState.SHIFTED) | ((state != PointState.NO_EDGE) & (deviation > _TOLERANCE))
        damaged = np.count_nonzero(spoilt & points.significant, axis=1) > DAMAGED * total
        spoilt &= damaged[:, None]
        # Both edges as refined: an edge far from the threshold is right as well if the light falls towards it.
        for new_left, new_right in ((points.left, points.right), *mixed) if spoilt.any() else ():
            use = spoilt & (_deviation(new_left, new_right, expected) <= _TOLERANCE)
            left[use], right[use], state[use] = new_left[use], new_right[use], PointState.RESCUED
            spoilt &= ~use
    # A slice is worth more with inexact edges than without a trace.
    lost = np.count_nonzero((state == PointState.SHIFTED) & points.significant, axis=1) > _LOST * total
    keep = (state == PointState.SHIFTED) & lost[:, None]
    left[keep], right[keep], state[keep] = mixed[0][0][keep], mixed[0][1][keep], PointState.RESCUED
    return left, right, state


def _deviation(left: FloatArray, right: FloatArray, expected: FloatArray) -> FloatArray:
    """Distance of the widths from the expected ones [pix], shape (48, n); infinite where there are no edges."""
    deviation = np.abs(right - left - expected[:, None])
    return np.where(np.isfinite(deviation), deviation, np.inf)


def _crossed(points: EdgePoints, flagged: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Slices that have a flagged column within reach of an edge, shape (48,)."""
    columns = np.flatnonzero(flagged) + 1.0
    result = np.zeros(len(points.left), dtype=np.bool_)
    for edges in (points.left_threshold, points.right_threshold):
        for row in np.flatnonzero(np.isfinite(edges).any(axis=1)):
            low, high = np.nanmin(edges[row]) - _REACH, np.nanmax(edges[row]) + _REACH
            result[row] |= bool(((columns > low) & (columns < high)).any())
    return result


def _mixed(points: EdgePoints) -> tuple[tuple[FloatArray, FloatArray], tuple[FloatArray, FloatArray]]:
    """Edges with the threshold position of one of them: of the edge that the refinement moved more, of the other."""
    with np.errstate(invalid="ignore"):
        more_left = np.abs(points.left - points.left_threshold) >= np.abs(points.right - points.right_threshold)
    of_left = (points.left_threshold, points.right)
    of_right = (points.left, points.right_threshold)
    return (
        (np.where(more_left, of_left[0], of_right[0]), np.where(more_left, of_left[1], of_right[1])),
        (np.where(more_left, of_right[0], of_left[0]), np.where(more_left, of_right[1], of_left[1])),
    )
