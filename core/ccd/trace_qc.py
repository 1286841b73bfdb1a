"""A trace becomes its quality-control numbers: positions, tilts, slopes, widths and gaps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from core.ccd.trace_model import Trace, TraceLine
from core.instruments.muse.facts import N_SLICES

__all__ = ["CORNER_SLICES", "Spread", "TraceQuality", "largest_slope", "measure_trace", "tilt_of"]

FloatArray: TypeAlias = npt.NDArray[np.float64]

# Slices whose width is told: top left, top right, bottom left, bottom right of the IFU.
CORNER_SLICES = (10, 46, 3, 39)


@dataclass(frozen=True)
class Spread:
    """Median, mean, standard deviation (n - 1), minimum and maximum of a few values; NaN if there are none."""

    median: float
    mean: float
    stdev: float
    minimum: float
    maximum: float

    @classmethod
    def of(cls, values: npt.ArrayLike) -> Spread:
        """Spread of the finite ones among the values."""
        array = np.asarray(values, dtype=np.float64)
        array = array[np.isfinite(array)]
        if array.size == 0:
            return cls(*(float("nan"),) * 5)
        stdev = float(array.std(ddof=1)) if array.size > 1 else 0.0
        return cls(float(np.median(array)), float(array.mean()), stdev, float(array.min()), float(array.max()))


@dataclass(frozen=True, eq=False)
class TraceQuality:
    """Quality control of the trace of one IFU; NaN where a slice has no trace.

    Attributes
    ----------
    left_position, right_position : float
        Centre of slices 1 and 48 in the middle of the detector [pix].
    left_tilt, right_tilt : float
        Angle of slices 1 and 48 from the vertical [deg].
    max_slope : ndarray of float64, shape (48,)
        Derivative of largest modulus of any line of each slice, with its sign [pix/pix].
    corner_widths : dict of int to float
        Widths of the slices in the corners of the IFU [pix].
    gaps, widths : Spread
        Gaps between neighbouring slices in the middle of the detector, and widths of the slices [pix].
    """

    left_position: float
    right_position: float
    left_tilt: float
    right_tilt: float
    max_slope: FloatArray
    corner_widths: dict[int, float]
    gaps: Spread
    widths: Spread


def tilt_of(trace: Trace, slice_no: int, ny: int) -> float:
    """Angle between the ends of a slice's centre and the vertical [deg]; NaN without a trace."""
    if not trace.has(slice_no):
        return float("nan")
    low, high = trace.center(slice_no, [1.0, float(ny)])
    return float(np.degrees(np.arctan((high - low) / (ny - 1))))


def largest_slope(trace: Trace, slice_no: int, ny: int) -> float:
    """Derivative of largest modulus of the three lines of a slice on rows 1..ny; NaN without a trace.

    The first one counts on ties, in the order centre, left, right.
    """
    if not trace.has(slice_no):
        return float("nan")
    y = np.arange(1, ny + 1, dtype=np.float64)
    slopes = np.concatenate([trace.slope(slice_no, line, y) for line in TraceLine])
    return float(slopes[np.argmax(np.abs(slopes))])


def measure_trace(trace: Trace, middle: int, ny: int) -> TraceQuality:
    """Quality control of a trace.

    Parameters
    ----------
    trace : Trace
    middle : int
        FITS row in the middle of the detector (2056 on the real one).
    ny : int
        Number of rows of the trimmed image.
    """
    row = float(middle)

    def position(slice_no: int, line: TraceLine) -> float:
        return float(trace.evaluate(slice_no, line, row)) if trace.has(slice_no) else float("nan")

    numbers = range(1, N_SLICES + 1)
    left = np.array([position(number, TraceLine.LEFT) for number in numbers])
    right = np.array([position(number, TraceLine.RIGHT) for number in numbers])
    return TraceQuality(
        left_position=position(1, TraceLine.CENTER),
        right_position=position(N_SLICES, TraceLine.CENTER),
        left_tilt=tilt_of(trace, 1, ny),
        right_tilt=tilt_of(trace, N_SLICES, ny),
        max_slope=np.array([largest_slope(trace, number, ny) for number in numbers]),
        corner_widths={number: trace.width_of(number) for number in CORNER_SLICES},
        gaps=Spread.of(left[1:] - right[:-1]),
        widths=Spread.of(trace.width),
    )
