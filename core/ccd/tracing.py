"""A master flat becomes a trace: 48 slices, each with polynomials for its centre and both edges.

`trace_slices` finds the slices in the middle of the detector, measures their edges in blocks of rows, and fits
polynomials in the FITS row. What fails for one slice is told as data of that slice; only if the slices as a whole
cannot be found an error is raised.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from core.ccd.polyfit import evaluate_polynomial, fit_polynomial
from core.ccd.trace_cuts import Image, average_blocks, patch_flagged
from core.ccd.trace_find import central_cut, find_slices
from core.ccd.trace_fit import EdgePoints, PointState, find_edges
from core.ccd.trace_model import Trace
from core.errors import DataError, TracingError
from core.instrument import N_SLICES, SLICE_WIDTH_LIMITS, TRACE_SLOPE_WARNING

__all__ = ["SliceReport", "SliceStatus", "TraceResult", "TraceSamples", "trace_slices"]

FloatArray: TypeAlias = npt.NDArray[np.float64]

_WIDTH_SIGMA = 5.0
_RESIDUAL_SIGMA = 5.0
_MIN_POINTS = 3
_LOSS_WARNING = 0.1  # fraction of significant points that may be lost without a word
_LOSS_RESCUE = 0.5  # fraction of significant points lost to one bad edge above which a slice is rescued
_VIGNETTED_IFU = 24
_VIGNETTED_SINCE = 2014
_VIGNETTED_SLICES = range(37, N_SLICES + 1)


class SliceStatus(StrEnum):
    """How the tracing of one slice ended."""

    TRACED = "traced"
    RESCUED = "rescued"  # traced, but one edge of many points is less exact
    FAILED = "failed"


@dataclass(frozen=True)
class SliceReport:
    """What became of one slice.

    Attributes
    ----------
    slice_no : int
        Number on the detector, 1..48 from left to right.
    status : SliceStatus
    reason : str
        Why the slice failed or deserves a warning; empty if all is well.
    points : int
        Points measured (rows in the table of samples).
    lost : int
        Points with clear signal that were lost.
    used : int
        Points that the polynomials were fitted to.
    """

    slice_no: int
    status: SliceStatus
    reason: str
    points: int
    lost: int
    used: int


@dataclass(frozen=True, eq=False)
class TraceSamples:
    """Measured points, in the order of slices, then rows.

    Attributes
    ----------
    slice_no : ndarray of int32, shape (n,)
    y, mid, left, right : ndarray of float32, shape (n,)
        FITS row, and FITS columns of the centre and the edges [pix].
    """

    slice_no: npt.NDArray[np.int32]
    y: npt.NDArray[np.float32]
    mid: npt.NDArray[np.float32]
    left: npt.NDArray[np.float32]
    right: npt.NDArray[np.float32]

    def columns(self) -> dict[str, npt.NDArray[np.int32] | npt.NDArray[np.float32]]:
        """Columns of TRACE_SAMPLES in their order."""
        return {
            "slice": self.slice_no, "y": self.y, "mid": self.mid, "left": self.left, "right": self.right
        }  # fmt: skip


@dataclass(frozen=True, eq=False)
class TraceResult:
    """Trace of one IFU with all that was measured on the way.

    Attributes
    ----------
    trace : Trace
        48 rows; NaN in the rows of slices that failed.
    samples : TraceSamples
    slices : tuple of SliceReport
        One per slice.
    fraction : float
        Fraction of the median of the central cut at which the slices stood apart.
    """

    trace: Trace
    samples: TraceSamples
    slices: tuple[SliceReport, ...]
    fraction: float

    @property
    def failed(self) -> tuple[SliceReport, ...]:
        """Slices without a trace."""
        return tuple(report for report in self.slices if report.status is SliceStatus.FAILED)

    @property
    def warnings(self) -> tuple[SliceReport, ...]:
        """Slices that have a trace and something to tell about it."""
        return tuple(report for report in self.slices if report.reason and report.status is not SliceStatus.FAILED)


def trace_slices(
    image: Image,
    dq: npt.NDArray[np.int32],
    *,
    middle: int,
    nsum: int = 32,
    order: int = 5,
    edgefrac: float = 0.5,
    ifu: int | None = None,
    year: int | None = None,
) -> TraceResult:
    """Trace the 48 slices of one IFU on a flat field.

    Parameters
    ----------
    image : ndarray of float32, shape (ny, nx)
        Trimmed flat field, any unit.
    dq : ndarray of int32, shape (ny, nx)
        Flagged pixels (not 0) are replaced by the mean of their good neighbours.
    middle : int
        Uppermost FITS row of the lower ports (2056 on the real detector).
    nsum : int
        Rows averaged for each point.
    order : int
        Order of the polynomials.
    edgefrac : float
        Fraction of the median flux at which an edge lies.
    ifu, year : int, optional
        Needed for IFU 24 only, whose slices 37..48 are vignetted at their left edge since 2014.

    Returns
    -------
    TraceResult

    Raises
    ------
    TracingError
        If the slices cannot be found at all.

    Notes
    -----
    Two points differ from the reference on purpose. Points rejected from the fit of the centre take their widths
    with them, where the reference lets the list of widths get out of step (up to a few 0.01 pix on the edges of
    slices with rejections). A slice that loses half of its points because one edge is contaminated (a hot column)
    keeps them with the threshold position of that edge, where the reference drops the slice.
    """
    ny = image.shape[0]
    if image.ndim != 2 or dq.shape != image.shape:
        raise TracingError(f"flat field {image.shape} and its flags {dq.shape} do not fit together")
    if not 1 <= nsum < ny // 2:
        raise TracingError(f"nsum={nsum} rows cannot be averaged on {ny} rows", parameter="nsum")
    patches = patch_flagged(image, dq)
    positions = find_slices(central_cut(image, patches, middle), edgefrac)
    cuts = average_blocks(image, patches, nsum)
    points = find_edges(cuts, positions.centers, edgefrac)
    vignetted = ifu == _VIGNETTED_IFU and year is not None and year >= _VIGNETTED_SINCE

    coefficients = np.full((N_SLICES, 3, order + 1), np.nan)
    mse = np.full((N_SLICES, 3), np.nan)
    width = np.full(N_SLICES, np.nan, dtype=np.float32)
    reports, samples = [], []
    for row in range(N_SLICES):
        left, right, state = _accept(points, row, vignetted and row + 1 in _VIGNETTED_SLICES)
        lost = int(np.count_nonzero((state == PointState.SHIFTED) & points.significant[row]))
        good = np.flatnonzero((state == PointState.GOOD) | (state == PointState.RESCUED))
        samples.append((np.full(len(good), row + 1), cuts.y[good], left[good], right[good]))
        used, status, reason = 0, SliceStatus.FAILED, ""
        try:
            fit = _fit_slice(cuts.y[good], left[good], right[good], order)
        except DataError as error:
            reason = error.message
            if not positions.seen[row]:
                reason = f"not seen in the middle of the detector; {reason}"
        else:
            coefficients[row], mse[row], width[row] = fit.coefficients, fit.mse, fit.width
            used = fit.used
            status, reason = _judge(state, lost, int(np.count_nonzero(points.significant[row])), fit, ny)
        reports.append(SliceReport(row + 1, status, reason, len(good), lost, used))
    numbers = np.arange(1, N_SLICES + 1, dtype=np.int32)
    return TraceResult(Trace(numbers, width, coefficients, mse), _samples(samples), tuple(reports), positions.fraction)


def _accept(points: EdgePoints, row: int, vignetted: bool) -> tuple[FloatArray, FloatArray, npt.NDArray[np.int8]]:
    """Edges and states of the points of a slice, after rescuing what can be."""
    left, right = points.left[row].copy(), points.right[row].copy()
    state = points.state[row].copy()
    shifted = state == PointState.SHIFTED
    if vignetted:
        left[shifted] = np.minimum(left[shifted], points.left_threshold[row][shifted])
        state[shifted] = PointState.GOOD
        return left, right, state
    significant = points.significant[row]
    if np.count_nonzero(shifted & significant) > _LOSS_RESCUE * np.count_nonzero(significant):
        left_moved = np.abs(left - points.left_threshold[row])
        right_moved = np.abs(right - points.right_threshold[row])
        worse_left = shifted & (left_moved >= right_moved)
        worse_right = shifted & ~worse_left
        left[worse_left] = points.left_threshold[row][worse_left]
        right[worse_right] = points.right_threshold[row][worse_right]
        state[shifted] = PointState.RESCUED
    return left, right, state


@dataclass(frozen=True, eq=False)
class _SliceFit:
    coefficients: FloatArray  # (3, order + 1)
    mse: FloatArray  # (3,)
    width: float
    used: int


def _fit_slice(y: FloatArray, left: FloatArray, right: FloatArray, order: int) -> _SliceFit:
    """Polynomials of one slice; a DataError says why there are none."""
    if len(y) < _MIN_POINTS:
        raise DataError(f"only {len(y)} points found")
    middle, width = (left + right) / 2, right - left
    low, high = SLICE_WIDTH_LIMITS
    plausible = (width > low) & (width < high)
    if np.count_nonzero(plausible) < _MIN_POINTS:
        raise DataError(
            f"only {np.count_nonzero(plausible)} of {len(y)} points have a width within {low} .. {high} pix "
            f"(median {np.median(width):.1f} pix); a lower edgefrac may help if the slice is vignetted"
        )
    y, middle, width = y[plausible], middle[plausible], width[plausible]
    median = float(np.median(width))
    deviation = float(np.mean(np.abs(width - median)))
    # Equal widths (deviation zero) all lie on the median.
    alike = (np.abs(width - median) < _WIDTH_SIGMA * deviation) | (width == median)
    y, middle, width = y[alike], middle[alike], width[alike]
    center = fit_polynomial(y, middle, order, _RESIDUAL_SIGMA)
    y, middle, width = y[center.kept], middle[center.kept], width[center.kept]
    fits = [center, fit_polynomial(y, middle - width / 2, order), fit_polynomial(y, middle + width / 2, order)]
    return _SliceFit(
        np.stack([fit.coefficients for fit in fits]),
        np.array([fit.mse for fit in fits]),
        float(np.mean(width)),
        len(y),
    )


def _judge(
    state: npt.NDArray[np.int8], lost: int, significant: int, fit: _SliceFit, ny: int
) -> tuple[SliceStatus, str]:
    """Status of a slice that has polynomials, and what to say about it."""
    reasons = []
    status = SliceStatus.TRACED
    rescued = int(np.count_nonzero(state == PointState.RESCUED))
    if rescued:
        status = SliceStatus.RESCUED
        reasons.append(f"{rescued} of {len(state)} points kept the threshold position of a contaminated edge")
    if lost > _LOSS_WARNING * significant:
        reasons.append(f"{lost} of {significant} points with clear signal were lost")
    if (slope := _largest(fit.coefficients[0, 1:2])) > TRACE_SLOPE_WARNING:
        reasons.append(f"slope {slope:.4f} exceeds {TRACE_SLOPE_WARNING}")
    ends = np.array([1.0, (1.0 + ny) / 2, float(ny)])
    if (evaluate_polynomial(fit.coefficients[2], ends) <= evaluate_polynomial(fit.coefficients[1], ends)).any():
        reasons.append("the edges cross outside the measured rows")
    return status, "; ".join(reasons)


def _largest(values: FloatArray) -> float:
    return float(np.max(np.abs(values), initial=0.0))


def _samples(parts: Sequence[tuple[npt.NDArray[np.int64], FloatArray, FloatArray, FloatArray]]) -> TraceSamples:
    slice_no, y, left, right = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return TraceSamples(
        slice_no.astype(np.int32),
        y.astype(np.float32),
        ((left + right) / 2).astype(np.float32),
        left.astype(np.float32),
        right.astype(np.float32),
    )
