"""Pairs of frames become gains: photon transfer in small windows of the slices.

The noise of a difference of two equal exposures is that of the photons and of the read-out. In windows of few pixels
between the edges of a slice, ``gain = signal / (variance - read-out variance)``; the gain of a port is that at no
signal, on a straight line through the mean gains of bins of the logarithm of the signal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, lgamma, sqrt

import numpy as np
from numpy.typing import NDArray

from core.ccd.geometry import Detector, all_ports
from core.ccd.trace_model import Trace, TraceLine
from core.errors import DataError

__all__ = [
    "BinOptions",
    "GainFit",
    "PairImage",
    "PortNoise",
    "SampleWindow",
    "WindowNoise",
    "fit_gain",
    "measure_noise",
    "measure_pair",
    "sample_windows",
    "summarise_noise",
]

_SATURATED = 65500.0  # [adu] windows whose medians reach this tell nothing
_EXCESS = 5.0  # deviations of the read-out noise above which a window is not normal
_FEWEST_BINS = 3


@dataclass(frozen=True)
class SampleWindow:
    """A window of a slice within one port.

    Attributes
    ----------
    port : int
        1..4.
    slice_no : int
        1..48.
    rows, columns : slice
        Of the trimmed image, 0-based; columns may be empty.
    """

    port: int
    slice_no: int
    rows: slice
    columns: slice


@dataclass(frozen=True)
class PairImage:
    """One frame of a pair, bias subtracted.

    Attributes
    ----------
    data : ndarray of float32, shape (ny, nx)
        [adu]
    bad : ndarray of bool, shape (ny, nx)
        Pixels that are not used.
    """

    data: NDArray[np.float32]
    bad: NDArray[np.bool_]


@dataclass(frozen=True)
class WindowNoise:
    """Read-out noise of windows.

    Attributes
    ----------
    ron, error : ndarray of float64, shape (n windows,)
        [adu]; NaN where less than two pixels are good.
    """

    ron: NDArray[np.float64]
    error: NDArray[np.float64]

    def of(self, chosen: NDArray[np.bool_]) -> WindowNoise:
        """Of some of the windows."""
        return WindowNoise(self.ron[chosen], self.error[chosen])


@dataclass(frozen=True)
class PortNoise:
    """Read-out noise of the windows of a port taken together [adu].

    Attributes
    ----------
    ron, error : float
        Mean weighted by the errors of the windows, and its error.
    median, mad, stdev : float
        Median of the windows, median absolute deviation about it (no factor), standard deviation (n - 1).
    """

    ron: float
    error: float
    median: float
    mad: float
    stdev: float


@dataclass(frozen=True)
class BinOptions:
    """Bins of log10(signal in adu).

    Attributes
    ----------
    low, high, width : float
        The bins are ``low + i * width``; lower limits belong to them.
    gain_limit : float
        Smallest centre of a bin that is used [adu].
    sigma : float
        Gains in a bin farther from their median than that many standard deviations are left out.
    """

    low: float
    high: float
    width: float
    gain_limit: float
    sigma: float


@dataclass(frozen=True)
class GainFit:
    """The gain of a port.

    Attributes
    ----------
    gain : float
        Straight line at no signal [count/adu].
    error : float
        Root of the sum of squared residuals of the bins [count/adu].
    low, high : float
        Smallest and largest centre of a bin in the fit [adu].
    centres, gains : ndarray of float64
        The bins: centres [adu] and mean gains [count/adu].
    """

    gain: float
    error: float
    low: float
    high: float
    centres: NDArray[np.float64]
    gains: NDArray[np.float64]


def sample_windows(trace: Trace, detector: Detector, *, height: int, gap: int, border: int) -> tuple[SampleWindow, ...]:
    """Windows between the edges of the slices, from the bottom of each port.

    Parameters
    ----------
    trace : Trace
        Slices without a trace have no windows.
    detector : Detector
    height : int
        Of a window [pix].
    gap : int
        Columns left out at each edge of a slice [pix].
    border : int
        Slices whose edges (at row 0) are nearer to a side of the port are left out [pix].

    Returns
    -------
    tuple of SampleWindow
        By port, slice and row.

    Raises
    ------
    DataError
        If a port has no windows.
    """
    found: list[SampleWindow] = []
    for port in all_ports():
        rows, columns = detector.port_window(port)
        before = len(found)
        for slice_no in trace.valid_slices:
            edges = [float(trace.polynomial(slice_no, line)[0]) for line in (TraceLine.LEFT, TraceLine.RIGHT)]
            if edges[0] < columns.start + 1 + border or edges[1] > columns.stop - border:
                continue
            for start in range(rows.start, rows.stop - height + 1, height):
                middle = start + 1 + 0.5 * height
                left = int(np.rint(trace.left(slice_no, middle))) + gap
                right = int(np.rint(trace.right(slice_no, middle))) - gap
                inside = slice(max(left - 1, columns.start), max(min(right, columns.stop), left - 1, columns.start))
                found.append(SampleWindow(port, slice_no, slice(start, start + height), inside))
        if len(found) == before:
            raise DataError(f"no slice lies in port {port}: its gain cannot be measured")
    return tuple(found)


def _cut(pair: tuple[PairImage, PairImage], window: SampleWindow) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Pixels of a window that are good in both frames."""
    place = window.rows, window.columns
    good = ~(pair[0].bad[place] | pair[1].bad[place])
    return pair[0].data[place][good], pair[1].data[place][good]


def _stdev(values: NDArray[np.float32]) -> float:
    return float(np.std(values, ddof=1, dtype=np.float64)) if values.size > 1 else float("nan")


def _error_of_stdev(stdev: float, n: int) -> float:
    """Error of the standard deviation of n normal values."""
    half = n / 2
    log_ratio = lgamma(half) - lgamma(half - 0.5)
    return stdev * exp(-log_ratio) * sqrt(max(half - 0.5 - exp(2 * log_ratio), 0.0))


def measure_noise(pair: tuple[PairImage, PairImage], windows: Sequence[SampleWindow]) -> WindowNoise:
    """Read-out noise of windows from two biases."""
    ron, error = np.full((2, len(windows)), np.nan)
    for i, window in enumerate(windows):
        first, second = _cut(pair, window)
        if first.size > 1:
            ron[i] = _stdev(first - second) / sqrt(2)
            error[i] = _error_of_stdev(ron[i], first.size)
    return WindowNoise(ron, error)


def summarise_noise(noise: WindowNoise) -> PortNoise:
    """Read-out noise of windows taken together.

    Raises
    ------
    DataError
        If no window has any.
    """
    known = noise.of(np.isfinite(noise.ron) & (noise.error > 0))
    if known.ron.size == 0:
        raise DataError("no window has good pixels in both biases, with noise: the read-out noise is unknown")
    weights = 1 / known.error**2
    median = float(np.median(known.ron))
    return PortNoise(
        ron=float(np.sum(known.ron * weights) / np.sum(weights)),
        error=float(1 / sqrt(np.sum(weights))),
        median=median,
        mad=float(np.median(np.abs(known.ron - median))),
        stdev=float(np.std(known.ron, ddof=1)) if known.ron.size > 1 else 0.0,
    )


def measure_pair(
    pair: tuple[PairImage, PairImage],
    windows: Sequence[SampleWindow],
    noise: WindowNoise,
    usual: Sequence[PortNoise],
    sigma: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Signal and gain of windows in two equal exposures.

    Parameters
    ----------
    pair : tuple of PairImage
    windows : sequence of SampleWindow
    noise : WindowNoise
        Of these windows; those that are far noisier than usual give no value.
    usual : sequence of PortNoise
        Of ports 1..4.
    sigma : float
        Pixels farther from the median of the window than that many standard deviations, in either frame, are left
        out; 0: none.

    Returns
    -------
    signal : ndarray of float64, shape (n windows,)
        Mean of both frames [adu]; NaN where there is no value.
    gain : ndarray of float64, shape (n windows,)
        [count/adu]
    """
    signal, gain = np.full((2, len(windows)), np.nan)
    for i, window in enumerate(windows):
        port = usual[window.port - 1]
        if noise.ron[i] - port.median > _EXCESS * port.stdev:
            continue
        first, second = _cut(pair, window)
        if first.size == 0:
            continue
        middles = float(np.median(first)), float(np.median(second))
        if max(middles) >= _SATURATED:
            continue
        if sigma > 0:
            kept = (np.abs(first - middles[0]) < sigma * _stdev(first)) & (
                np.abs(second - middles[1]) < sigma * _stdev(second)
            )
            first, second = first[kept], second[kept]
        if first.size < 2:
            continue
        variance = _stdev(first - second) ** 2 / 2 - port.median**2
        if variance == 0:
            continue
        signal[i] = (first.mean(dtype=np.float64) + second.mean(dtype=np.float64)) / 2
        gain[i] = signal[i] / variance
    return signal, gain


def fit_gain(signal: NDArray[np.float64], gain: NDArray[np.float64], options: BinOptions) -> GainFit | None:
    """The gain at no signal.

    Parameters
    ----------
    signal, gain : ndarray of float64, shape (n,)
        Of all windows of a port in all pairs; NaN where there is no value.
    options : BinOptions

    Returns
    -------
    GainFit or None
        None if less than three bins have gains.
    """
    known = np.isfinite(gain) & (signal > 0)
    gain, level = gain[known], np.log10(signal[known])
    number = int((options.high - options.low) / options.width + 0.5)
    place = np.floor((level - options.low) / options.width)
    lowest = np.log10(options.gain_limit) if options.gain_limit > 0 else -np.inf
    centres, means = [], []
    for i in range(number):
        centre = options.low + (i + 0.5) * options.width
        values = gain[place == i]
        if centre < lowest or values.size < 2:
            continue
        kept = values[np.abs(values - np.median(values)) < options.sigma * np.std(values, ddof=1)]
        if kept.size:
            centres.append(10.0**centre)
            means.append(float(np.mean(kept)))
    if len(centres) < _FEWEST_BINS:
        return None
    x, y = np.array(centres), np.array(means)
    slope = np.sum((x - x.mean()) * (y - y.mean())) / np.sum((x - x.mean()) ** 2)
    at_zero = float(y.mean() - slope * x.mean())
    residuals = y - at_zero - slope * x
    return GainFit(at_zero, float(sqrt(np.sum(residuals**2))), float(x[0]), float(x[-1]), x, y)
