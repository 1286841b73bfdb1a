"""Arc lines in the centre of a slice: where they are, how bright and how wide.

A few central columns become one spectrum; what stands above its local noise becomes a list of lines, each with a
Gaussian fit. Pixel positions are 1-based FITS rows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from core.errors import DataError
from core.instruments.muse.facts import FWHM_PER_SIGMA
from core.lanes import padded
from core.spectral.linefit import CONVERGED, NO_DATA, gauss_lm

__all__ = ["DetectedLines", "central_spectrum", "detect_lines", "running_median"]

N_COLUMNS: Final = 4  # columns imid-1 .. imid+2, as the reference takes them
BACKGROUND_WINDOW: Final = 51  # [pix]
MIN_THRESHOLD: Final = 0.1  # in units of S/N
MAX_ENLARGE: Final = 5  # a run of bright pixels grows at most so far on each side
MAX_CENTER_ERROR: Final = 1.25  # [pix]
FWHM_LIMITS: Final = (1.0, 5.0)  # [pix]
MIN_FLUX: Final = 50.0  # [count]


@dataclass(frozen=True)
class DetectedLines:
    """Lines of one spectrum, in ascending order; arrays of equal length.

    Attributes
    ----------
    center, center_error, sigma : ndarray of float64
        Gaussian centre, its error and width [pix].
    flux, background : ndarray of float64
        Area and constant background [count pix, count].
    peak : ndarray of float64
        Brightest pixel, background included [count].
    """

    center: NDArray[np.float64]
    center_error: NDArray[np.float64]
    sigma: NDArray[np.float64]
    flux: NDArray[np.float64]
    background: NDArray[np.float64]
    peak: NDArray[np.float64]

    def __len__(self) -> int:
        return int(self.center.size)

    @property
    def fwhm(self) -> NDArray[np.float64]:
        """Full width at half maximum [pix]."""
        return self.sigma * FWHM_PER_SIGMA

    def select(self, index: NDArray[np.bool_] | NDArray[np.intp]) -> DetectedLines:
        """The lines of an index or mask."""
        return DetectedLines(
            self.center[index],
            self.center_error[index],
            self.sigma[index],
            self.flux[index],
            self.background[index],
            self.peak[index],
        )


def central_spectrum(
    data: NDArray[np.float32], stat: NDArray[np.float32], dq: NDArray[np.int32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Median of a few columns, as the pipeline combines images.

    Parameters
    ----------
    data, stat : ndarray of float32 (ny, ncol)
        Values [count] and variances.
    dq : ndarray of int32 (ny, ncol)
        Flags; flagged pixels are left out. Where all are flagged the pixel with the smallest flag (unsigned) is taken.

    Returns
    -------
    data, stat : ndarray of float32 (ny,)
        An even number of values gives the mean of the central two and the *sum* of their variances (as the
        reference does; the detection threshold is tuned to it).
    """
    if data.shape != stat.shape or data.shape != dq.shape or data.ndim != 2:
        raise DataError(f"columns, variances and flags differ: {data.shape}, {stat.shape}, {dq.shape}")
    out = np.empty(data.shape[0], dtype=np.float32)
    out_stat = np.empty(data.shape[0], dtype=np.float32)
    _median_columns(data, stat, dq.view(np.uint32) if dq.dtype == np.int32 else dq, out, out_stat)
    return out, out_stat


@njit(cache=True, nogil=True)
def _median_columns(data, stat, dq, out, out_stat):  # type: ignore[no-untyped-def]
    ny, nc = data.shape
    values = np.empty(nc)
    variances = np.empty(nc)
    for y in range(ny):
        m = 0
        best = 0
        for c in range(nc):
            if dq[y, c] != 0:
                if dq[y, c] < dq[y, best]:
                    best = c
                continue
            k = m
            while k > 0 and values[k - 1] > data[y, c]:
                values[k] = values[k - 1]
                variances[k] = variances[k - 1]
                k -= 1
            values[k] = data[y, c]
            variances[k] = stat[y, c]
            m += 1
        if m == 0:
            out[y] = data[y, best]
            out_stat[y] = stat[y, best]
        elif m % 2 == 1:
            out[y] = values[m // 2]
            out_stat[y] = variances[m // 2]
        else:
            out[y] = 0.5 * (values[m // 2 - 1] + values[m // 2])
            out_stat[y] = variances[m // 2 - 1] + variances[m // 2]


def running_median(values: NDArray[np.floating[Any]], window: int) -> NDArray[np.float64]:
    """Median in a centred window that shrinks at the ends.

    Parameters
    ----------
    values : ndarray (n,)
    window : int
        Odd number of samples.

    Returns
    -------
    ndarray of float64 (n,)
    """
    out = np.empty(values.size)
    _running_median(np.ascontiguousarray(values, dtype=np.float64), window // 2, out)
    return out


@njit(cache=True, nogil=True)
def _running_median(values, half, out):  # type: ignore[no-untyped-def]
    n = values.size
    ordered = np.empty(2 * half + 1)
    m = 0
    for i in range(min(half, n)):
        k = m
        while k > 0 and ordered[k - 1] > values[i]:
            ordered[k] = ordered[k - 1]
            k -= 1
        ordered[k] = values[i]
        m += 1
    for i in range(n):
        if i - half - 1 >= 0:  # leave
            v = values[i - half - 1]
            lo, hi = 0, m
            while lo < hi:
                mid = (lo + hi) // 2
                if ordered[mid] < v:
                    lo = mid + 1
                else:
                    hi = mid
            for k in range(lo, m - 1):
                ordered[k] = ordered[k + 1]
            m -= 1
        if i + half < n:  # enter
            v = values[i + half]
            k = m
            while k > 0 and ordered[k - 1] > v:
                ordered[k] = ordered[k - 1]
                k -= 1
            ordered[k] = v
            m += 1
        out[i] = ordered[m // 2] if m % 2 == 1 else 0.5 * (ordered[m // 2 - 1] + ordered[m // 2])


@njit(cache=True, nogil=True)
def _fit_runs(data, stat, signal, threshold, out):  # type: ignore[no-untyped-def]
    """Fit every run of at least two pixels above the threshold; returns the number of lines."""
    ny = data.size
    x, y, w = np.zeros(padded(ny)), np.zeros(padded(ny)), np.zeros(padded(ny))
    work = np.empty(x.size + 64)
    par = np.empty(4)
    cov = np.empty((4, 4))
    count = 0
    first = 0
    while first < ny:
        if not signal[first] > threshold:
            first += 1
            continue
        last = first
        while last + 1 < ny and signal[last + 1] > threshold:
            last += 1
        if last > first:
            lo, hi = first, last
            while lo > 0 and first - lo < MAX_ENLARGE and data[lo - 1] < data[first]:
                lo -= 1
            while hi < ny - 1 and hi - last < MAX_ENLARGE and data[hi + 1] < data[last]:
                hi += 1
            n = hi - lo + 1
            peak = -np.inf
            for i in range(n):
                x[i] = i
                y[i] = data[lo + i]
                w[i] = 1.0 / stat[lo + i]
                peak = max(peak, y[i])
            w[n : padded(n)] = 0.0
            status = gauss_lm(x, y, w, padded(n), True, True, False, par, cov, work)
            if status == CONVERGED and cov[0, 0] >= 0.0:
                error = math.sqrt(cov[0, 0])
            else:
                error = math.sqrt(par[1] * par[1] / par[2]) if par[2] > 0.0 else 100.0
            if status == NO_DATA:
                error = 100.0
            out[count, 0] = lo + 1 + par[0]
            out[count, 1] = error
            out[count, 2] = par[1]
            out[count, 3] = par[2]
            out[count, 4] = par[3]
            out[count, 5] = peak
            count += 1
        first = last + 1
    return count


def detect_lines(data: NDArray[np.float32], stat: NDArray[np.float32], sigma: float = 1.0) -> DetectedLines:
    """Find and fit the emission lines of one spectrum.

    Parameters
    ----------
    data, stat : ndarray of float32 (ny,)
        Spectrum [count] and its variance, which must be positive.
    sigma : float
        Threshold above the median of the S/N spectrum, in mean absolute deviations of it.

    Returns
    -------
    DetectedLines
        Well centred lines of plausible width (1 to 5 pix) and at least 50 count.

    Raises
    ------
    DataError
        If a variance is not positive.
    """
    values = np.ascontiguousarray(data, dtype=np.float64)
    variance = np.ascontiguousarray(stat, dtype=np.float64)
    usable = (variance > 0) & np.isfinite(values)
    if not np.all(usable):
        raise DataError(f"{int(np.sum(~usable))} pixels of the spectrum have no value or no positive variance")
    signal = (values - running_median(values, BACKGROUND_WINDOW)) / np.sqrt(variance)
    median = float(np.median(signal))
    threshold = max(MIN_THRESHOLD, median + sigma * float(np.mean(np.abs(signal - median))))
    table = np.empty((values.size // 2 + 1, 6))
    count = _fit_runs(values, variance, signal, threshold, table)
    lines = DetectedLines(*(np.ascontiguousarray(table[:count, k]) for k in range(6)))
    good = (
        (lines.center_error <= MAX_CENTER_ERROR)
        & (lines.fwhm >= FWHM_LIMITS[0])
        & (lines.fwhm <= FWHM_LIMITS[1])
        & (lines.flux >= MIN_FLUX)
    )
    return lines.select(good)
