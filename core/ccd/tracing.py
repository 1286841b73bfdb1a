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
from core.ccd.trace_bridge import bridge_edges, flagged_blocks
from core.ccd.trace_cuts import Image, Patches, average_blocks, patch_flagged
from core.ccd.trace_find import central_cut, find_slices
from core.ccd.trace_fit import EdgePoints, PointState, find_edges
from core.ccd.trace_model import Trace
from core.ccd.trace_rescue import DAMAGED, expected_widths, rescue_points
from core.errors import DataError, TracingError
from core.instruments.muse.facts import N_SLICES, SLICE_WIDTH_LIMITS, TRACE_SLOPE_WARNING

__all__ = ["SliceReport", "SliceStatus", "TraceResult", "TraceSamples", "trace_slices"]

FloatArray: TypeAlias = npt.NDArray[np.float64]

_WIDTH_SIGMA = 5.0
_RESIDUAL_SIGMA = 5.0
_MIN_POINTS = 3
_FLAGGED_COLUMN = 0.02  # fraction of flagged rows from which on a column counts as flagged
_ODD_WIDTH = 1.5  # difference from the width that the other slices suggest, above which it is told [pix]
_RUNAWAY = (0.5 * SLICE_WIDTH_LIMITS[0], 1.5 * SLICE_WIDTH_LIMITS[1])  # widths outside are no description of a slice
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
    Four points differ from the reference on purpose. Points rejected from the fit of the centre take their widths
    with them, where the reference lets the list of widths get out of step (up to a few 0.01 pix on the edges of
    slices with rejections). A slice that loses a tenth of its points because one edge is contaminated (a hot column,
    flagged columns) gets them back if another measure of them has the width that the other slices suggest, see
    `core.ccd.trace_rescue`; the reference drops them, or keeps a wrong edge. An edge beside a flagged column is placed
    by the opposite edge and the width of the slice, see `core.ccd.trace_bridge`; in the reference the neighbours of
    the column, which stand in for it, move the edge by 0.1 pix. A slice whose polynomials run away on some rows fails,
    where the reference keeps it.
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
    expected = expected_widths(points)
    edges_left, edges_right, states = rescue_points(
        points,
        expected,
        np.bincount(patches.columns, minlength=image.shape[1]) > _FLAGGED_COLUMN * ny,
        lambda: find_edges(average_blocks(image, Patches.none(ny), nsum), positions.centers, edgefrac),
    )
    flagged = flagged_blocks(patches, nsum, len(cuts.y), image.shape[1])
    edges_left, edges_right, states = bridge_edges(points, (edges_left, edges_right), states, flagged)
    if ifu == _VIGNETTED_IFU and year is not None and year >= _VIGNETTED_SINCE:
        _keep_vignetted(points, edges_left, edges_right, states)

    coefficients = np.full((N_SLICES, 3, order + 1), np.nan)
    mse = np.full((N_SLICES, 3), np.nan)
    width = np.full(N_SLICES, np.nan, dtype=np.float32)
    reports, samples = [], []
    for row in range(N_SLICES):
        left, right, state = edges_left[row], edges_right[row], states[row]
        lost = int(np.count_nonzero((state == PointState.SHIFTED) & points.significant[row]))
        good = np.flatnonzero((state == PointState.GOOD) | (state == PointState.RESCUED))
        samples.append((np.full(len(good), row + 1), cuts.y[good], left[good], right[good]))
        used, status, reason = 0, SliceStatus.FAILED, ""
        try:
            fit = _fit_slice(cuts.y[good], left[good], right[good], order, ny)
        except DataError as error:
            reason = error.message
            if not positions.seen[row]:
                reason = f"not seen in the middle of the detector; {reason}"
        else:
            coefficients[row], mse[row], width[row] = fit.coefficients, fit.mse, fit.width
            used = fit.used
            status, reason = _judge(state, lost, int(np.count_nonzero(points.significant[row])), fit, expected[row])
        reports.append(SliceReport(row + 1, status, reason, len(good), lost, used))
    numbers = np.arange(1, N_SLICES + 1, dtype=np.int32)
    return TraceResult(Trace(numbers, width, coefficients, mse), _samples(samples), tuple(reports), positions.fraction)


def _keep_vignetted(points: EdgePoints, left: FloatArray, right: FloatArray, state: npt.NDArray[np.int8]) -> None:
    """Accept all points of the vignetted slices, in place; the further one of both left edges counts."""
    for row in (number - 1 for number in _VIGNETTED_SLICES):
        shifted = points.state[row] == PointState.SHIFTED
        left[row] = np.where(shifted, np.minimum(points.left[row], points.left_threshold[row]), points.left[row])
        right[row] = points.right[row]
        state[row] = np.where(shifted, PointState.GOOD, points.state[row])


@dataclass(frozen=True, eq=False)
class _SliceFit:
    coefficients: FloatArray  # (3, order + 1)
    mse: FloatArray  # (3,)
    width: float
    used: int


def _fit_slice(y: FloatArray, left: FloatArray, right: FloatArray, order: int, ny: int) -> _SliceFit:
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
    rows = np.arange(1.0, ny + 1)
    widths = evaluate_polynomial(fits[2].coefficients, rows) - evaluate_polynomial(fits[1].coefficients, rows)
    if widths.min() < _RUNAWAY[0] or widths.max() > _RUNAWAY[1]:
        raise DataError(
            f"polynomials through {len(y)} points at rows {y[0]:.0f} .. {y[-1]:.0f} run away: "
            f"widths of {widths.min():.0f} .. {widths.max():.0f} pix"
        )
    return _SliceFit(
        np.stack([fit.coefficients for fit in fits]),
        np.array([fit.mse for fit in fits]),
        float(np.mean(width)),
        len(y),
    )


def _judge(
    state: npt.NDArray[np.int8], lost: int, significant: int, fit: _SliceFit, expected: float
) -> tuple[SliceStatus, str]:
    """Status of a slice that has polynomials, and what to say about it."""
    reasons = []
    status = SliceStatus.TRACED
    rescued = int(np.count_nonzero(state == PointState.RESCUED))
    if rescued:
        status = SliceStatus.RESCUED
        reasons.append(f"{rescued} of {len(state)} points were measured past a contaminated edge")
    if lost > DAMAGED * significant:
        reasons.append(f"{lost} of {significant} points with clear signal were lost")
    if (slope := _largest(fit.coefficients[0, 1:2])) > TRACE_SLOPE_WARNING:
        reasons.append(f"slope {slope:.4f} exceeds {TRACE_SLOPE_WARNING}")
    if abs(fit.width - expected) > _ODD_WIDTH:
        reasons.append(f"its width of {fit.width:.1f} pix differs from that of the other slices, {expected:.1f} pix")
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
