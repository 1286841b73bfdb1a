"""The peaks of three pinholes tell how a slice lies in the field of view: angle, width, height, and where its ends are.

First from each arc line by itself (`measure_lines`), then averaged over the lines (`average_lines`). At this stage
heights and angles are those of the mask: they grow downwards in the field of view.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.ccd.trace_model import Trace
from core.errors import DataError
from core.instruments.muse.facts import SLICE_WIDTH_LIMITS
from core.spatial.clippedmean import clipped_mean
from core.spatial.mask import MaskScale
from core.spatial.peaks import Peaks

__all__ = ["IfuPeaks", "SliceLines", "SliceMeans", "average_lines", "measure_lines"]

_UNEVEN: Final = 0.3  # error of the spacing from which one of the spots must be wrong [pix]
_SPACING: Final = (26.04644, -0.05537208)  # expected on the detector: constant, and per IFU [pix]
_HOPELESS: Final = 1.5  # [pix]
_NO_ERROR: Final = 99.0
_OTHER_ROW: Final = 0.5  # heights of the spots of a slice that differ more are of two rows of pinholes [mm]
_STEEPEST: Final = 5.0  # [deg]
_STEADY: Final = 0.01  # scatter of heights that needs no care [mm]
_MANY_LINES: Final = 50


@dataclass(frozen=True, eq=False)
class IfuPeaks:
    """Peaks of one IFU, and the edges of its slices at the rows of the spots.

    Attributes
    ----------
    ifu : int
    peaks : Peaks
    left, center, right : ndarray of float64 (n, 3)
        Of the slice, at the row of each spot [pix].
    """

    ifu: int
    peaks: Peaks
    left: NDArray[np.float64]
    center: NDArray[np.float64]
    right: NDArray[np.float64]

    @classmethod
    def on_detector(cls, ifu: int, peaks: Peaks, trace: Trace) -> IfuPeaks:
        """Peaks with the edges that a trace gives."""
        left, center, right = (np.empty_like(peaks.y) for _ in range(3))
        for number in np.unique(peaks.slice_no).tolist():
            rows = peaks.slice_no == number
            left[rows] = trace.left(number, peaks.y[rows])
            center[rows] = trace.center(number, peaks.y[rows])
            right[rows] = trace.right(number, peaks.y[rows])
        return cls(ifu, peaks, left, center, right)


@dataclass(frozen=True, eq=False)
class SliceLines:
    """Slices as single arc lines show them, arrays of shape (n,).

    Attributes
    ----------
    ifu : int
    slice_no : ndarray of int32
    angle, angle_error : ndarray of float64
        Of the slice against the rows of pinholes [deg].
    width, width_error : ndarray of float64
        [pix of 0.2 arcsec]
    offset, offset_error : ndarray of float64
        Centre of the slice from the central pinhole, to the right on the detector [mm].
    left, right : ndarray of float64
        Distance of the outer pinholes from the edges on the detector, in units of the pinhole pitch.
    height : ndarray of float64
        Of the mask when the central pinhole is in the slice [mm].
    """

    ifu: int
    slice_no: NDArray[np.int32]
    angle: NDArray[np.float64]
    angle_error: NDArray[np.float64]
    width: NDArray[np.float64]
    width_error: NDArray[np.float64]
    offset: NDArray[np.float64]
    offset_error: NDArray[np.float64]
    left: NDArray[np.float64]
    right: NDArray[np.float64]
    height: NDArray[np.float64]

    def where(self, wanted: NDArray[np.bool_]) -> SliceLines:
        """Some of the rows."""
        return SliceLines(self.ifu, *(getattr(self, field.name)[wanted] for field in fields(self)[1:]))


@dataclass(frozen=True, eq=False)
class SliceMeans:
    """Slices of one IFU, averaged over the arc lines; arrays of shape (n,), in units of `SliceLines`.

    Attributes
    ----------
    ifu : int
    slice_no : ndarray of int32
        Ascending.
    angle, angle_error, width, width_error, offset, offset_error, height, height_error : ndarray of float64
    left, left_error, right, right_error : ndarray of float64
    """

    ifu: int
    slice_no: NDArray[np.int32]
    angle: NDArray[np.float64]
    angle_error: NDArray[np.float64]
    width: NDArray[np.float64]
    width_error: NDArray[np.float64]
    offset: NDArray[np.float64]
    offset_error: NDArray[np.float64]
    left: NDArray[np.float64]
    left_error: NDArray[np.float64]
    right: NDArray[np.float64]
    right_error: NDArray[np.float64]
    height: NDArray[np.float64]
    height_error: NDArray[np.float64]


def measure_lines(found: IfuPeaks, mask: MaskScale) -> SliceLines:
    """Angle, width, offset and height of slices at each arc line.

    Parameters
    ----------
    found : IfuPeaks
    mask : MaskScale

    Returns
    -------
    SliceLines
        Without those whose width or angle cannot be true.
    """
    x = found.peaks.x
    steps = np.diff(x, axis=1)
    even = 0.5 * (x[:, 2] - x[:, 0])
    error = np.sqrt(((steps - even[:, None]) ** 2).sum(axis=1) / 3.0)
    dx, error = _better_step(found.ifu, steps, even, error)
    on_ccd = found.right[:, 2] - found.left[:, 2]
    scale = mask.pitch / dx  # [mm/pix of the detector]
    width = on_ccd * scale * mask.pix_per_mm
    offset = (found.center[:, 1] - x[:, 1]) * scale
    height = _one_row(found.peaks.height, mask.step)
    slopes = np.degrees(-np.arctan(np.diff(height, axis=1) / mask.pitch))
    angle = slopes.mean(axis=1)
    lines = SliceLines(
        ifu=found.ifu,
        slice_no=found.peaks.slice_no,
        angle=angle,
        angle_error=np.sqrt(((slopes - angle[:, None]) ** 2).sum(axis=1) / 3.0),
        width=width,
        width_error=width * error / dx,
        offset=offset,
        offset_error=np.abs(offset * error / dx),
        left=(x[:, 0] - found.left[:, 0]) / dx,
        right=(found.right[:, 2] - x[:, 2]) / dx,
        height=height[:, 1],
    )
    low, high = SLICE_WIDTH_LIMITS
    return lines.where((width > low) & (width < high) & (np.abs(angle) < _STEEPEST))


def _better_step(
    ifu: int, steps: NDArray[np.float64], even: NDArray[np.float64], error: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Spacing of the spots on the detector, and its error: if one of three spots is wrong, that of the other two."""
    expected = _SPACING[0] + _SPACING[1] * ifu
    deviation = np.abs(steps - expected)
    better = np.take_along_axis(steps, np.argmin(deviation, axis=1)[:, None], axis=1)[:, 0]
    uneven = error > _UNEVEN
    hopeless = uneven & (deviation.min(axis=1) > _HOPELESS)
    return np.where(uneven, better, even), np.where(hopeless, _NO_ERROR, np.where(uneven, 0.5 * error, error))


def _one_row(height: NDArray[np.float64], step: float) -> NDArray[np.float64]:
    """Heights (n, 3) of the spots of a slice, brought to the same row of pinholes."""
    spread = np.ptp(height, axis=1)
    moved = height - np.where(height > height.mean(axis=1, keepdims=True), step, 0.0)
    other = (spread > _OTHER_ROW) & (np.ptp(moved, axis=1) < spread)
    return np.where(other[:, None], moved, height)


def average_lines(lines: SliceLines, mask: MaskScale) -> SliceMeans:
    """Means of the arc lines.

    Parameters
    ----------
    lines : SliceLines
    mask : MaskScale

    Returns
    -------
    SliceMeans

    Raises
    ------
    DataError
        If there are too few lines and slices.
    """
    if lines.slice_no.size < _MANY_LINES:
        raise DataError(
            f"{lines.slice_no.size} measurements of slices with three pinholes are too few, {_MANY_LINES} are needed",
            ifu=lines.ifu,
        )
    rows = []
    for number in np.unique(lines.slice_no):
        part = lines.where(lines.slice_no == number)
        rows.append(
            (
                *clipped_mean(part.angle, part.angle_error, 2.0),
                *clipped_mean(part.width, part.width_error, 1.5),
                *clipped_mean(part.offset, part.offset_error, 1.5),
                *clipped_mean(part.left, None, 2.0),
                *clipped_mean(part.right, None, 2.0),
                *_mean_height(part.height, mask),
            )
        )
    return SliceMeans(lines.ifu, np.unique(lines.slice_no), *np.array(rows).T)


def _mean_height(height: NDArray[np.float64], mask: MaskScale) -> tuple[float, float]:
    """Mean of the heights, and their scatter; some lines may have seen the next row of pinholes."""
    mean, scatter = float(height.mean()), float(height.std(ddof=1)) if height.size > 1 else 0.1
    if scatter < _STEADY or height.size < 2:
        return mean, scatter
    off = np.abs(height - np.median(height))
    two_rows = (np.abs(off - 0.5 * mask.distance) <= _STEADY).all() or off.max() >= 0.9 * mask.step
    if two_rows:
        moved = np.where(height > mean, height - mask.step, height)
        again, smaller = float(moved.mean()), float(moved.std(ddof=1))
    else:
        again, smaller = clipped_mean(height, None, 2.0)
    return (again, smaller) if smaller < scatter else (mean, scatter)
