"""Slices laid side by side on a common wavelength axis: a quick look at a calibrated arc.

Pixels keep their column within the slice (1 pix) and are averaged along the wavelength (1.25 Angstrom) with weights
that fall with distance. Meant for the eye: neighbouring columns are not interpolated, hence the small wiggles.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from core.ccd.trace_model import Trace
from core.errors import WavelengthError
from core.instruments.muse.facts import SAMPLING, SLICE_WIDTH_LIMITS, SLICE_WIDTH_NOMINAL
from core.spectral.dispersion import Dispersion

__all__ = ["Resampled", "resample_slices"]

_SLICE_PITCH: Final = SLICE_WIDTH_LIMITS[1]  # [pix] from slice to slice in the output
_CRITICAL: Final = 1.25 * SAMPLING  # [Angstrom] radius of influence of a pixel
_HUGE: Final = 1e30
_TINY: Final = 1e-30  # weight beyond the radius: a pixel counts there only if no other does
_WAVE_LIMITS: Final = (3000.0, 11000.0)


@dataclass(frozen=True, eq=False)
class Resampled:
    """A resampled image.

    Attributes
    ----------
    data : ndarray of float32 (n_wave, n_x)
        Zero where nothing contributed.
    first_wave, step : float
        Wavelength of row 1 and step [Angstrom].
    """

    data: NDArray[np.float32]
    first_wave: float
    step: float


@njit(cache=True, nogil=True)
def _wave_at(in_x, x):  # type: ignore[no-untyped-def]
    value = in_x[in_x.size - 1]
    for i in range(in_x.size - 2, -1, -1):
        value = value * x + in_x[i]
    return value


@njit(cache=True, nogil=True)
def _row_polynomial(coef, y, in_x):  # type: ignore[no-untyped-def]
    for i in range(coef.shape[0]):
        value = coef[i, coef.shape[1] - 1]
        for j in range(coef.shape[1] - 2, -1, -1):
            value = value * y + coef[i, j]
        in_x[i] = value


@njit(cache=True, nogil=True)
def _place(x, left, right, middle, width):  # type: ignore[no-untyped-def]
    """Place of a pixel on the common axis, in the precision of a pixel table."""
    return np.float32(middle + (0.5 * (left + right) - x) / (right - left) * width)


@njit(cache=True, nogil=True)
def _ranges(coef, left, right, middle, width, limits):  # type: ignore[no-untyped-def]
    """Smallest and largest wavelength, smallest and largest place of the pixels of a slice."""
    low, high = np.inf, -np.inf
    first, last = np.inf, -np.inf
    in_x = np.empty(coef.shape[0])
    for row in range(left.size):
        _row_polynomial(coef, row + 1.0, in_x)
        for x in range(math.ceil(left[row]), math.floor(right[row]) + 1):
            wave = float(np.float32(_wave_at(in_x, float(x))))
            if limits[0] <= wave <= limits[1]:
                low = min(low, wave)
                high = max(high, wave)
                place = float(_place(x, left[row], right[row], middle, width))
                first = min(first, place)
                last = max(last, place)
    return low, high, first, last


@njit(cache=True, nogil=True)
def _spread(data, dq, coef, left, right, middle, width, limits, first, first_wave, step, x0, sums, weights):  # type: ignore[no-untyped-def]
    """Add the pixels of one slice to their neighbouring output bins; ``sums`` begins at output column ``x0``."""
    n_wave, n_x = sums.shape
    in_x = np.empty(coef.shape[0])
    for row in range(left.size):
        _row_polynomial(coef, row + 1.0, in_x)
        for x in range(max(1, math.ceil(left[row])), min(data.shape[1], math.floor(right[row])) + 1):
            if dq[row, x - 1] != 0:
                continue
            wave = float(np.float32(_wave_at(in_x, float(x))))
            if not limits[0] <= wave <= limits[1]:
                continue
            column = math.floor(float(_place(x, left[row], right[row], middle, width)) - first + 0.5) - x0
            if column < 0 or column >= n_x:
                continue
            position = (wave - first_wave) / step
            nearest = math.floor(position + 0.5)
            for k in range(nearest - 1, nearest + 2):
                if k < 0 or k >= n_wave:
                    continue
                r = abs(position - k) * step
                if r == 0.0:
                    w = _HUGE
                elif r < _CRITICAL:
                    w = ((_CRITICAL - r) / (_CRITICAL * r)) ** 2
                else:
                    w = _TINY
                sums[k, column] += w * data[row, x - 1]
                weights[k, column] += w


def resample_slices(
    data: NDArray[np.float32], dq: NDArray[np.int32], trace: Trace, dispersion: Dispersion
) -> Resampled:
    """Resample all slices that have a trace and a solution.

    Parameters
    ----------
    data : ndarray of float32 (ny, nx)
    dq : ndarray of int32 (ny, nx)
        Flagged pixels are left out.
    trace : Trace
    dispersion : Dispersion

    Returns
    -------
    Resampled

    Raises
    ------
    WavelengthError
        If no slice has a solution.
    """
    rows = np.arange(1.0, data.shape[0] + 1)
    slices = [number for number in dispersion.valid_slices if trace.has(number)]
    edges = {number: (trace.left(number, rows), trace.right(number, rows)) for number in slices}
    pitch, width = _SLICE_PITCH, SLICE_WIDTH_NOMINAL
    middles = {number: (number - 0.5) * pitch for number in slices}
    ranges = [
        _ranges(dispersion.polynomial(number), *edges[number], middles[number], width, _WAVE_LIMITS)
        for number in slices
    ]
    if not ranges or not math.isfinite(min(low for low, *_ in ranges)):
        raise WavelengthError("no slice can be resampled")
    first_wave, last_wave = min(low for low, *_ in ranges), max(high for _, high, *_ in ranges)
    first, last = min(low for *_, low, _ in ranges), max(high for *_, high in ranges)
    n_wave = math.ceil((last_wave - first_wave) / SAMPLING) + 1
    # column 1 is the first pixel of the first slice, pixels go to the nearest column
    out = np.zeros((n_wave, math.ceil(last - first) + 1), dtype=np.float32)
    for number in slices:
        sums = np.zeros((n_wave, int(width) + 3))  # less than the pitch
        weights = np.zeros_like(sums)
        x0 = max(0, math.floor(middles[number] - 0.5 * width - first))
        _spread(
            data, dq, dispersion.polynomial(number), *edges[number], middles[number], width, _WAVE_LIMITS, first,
            first_wave, SAMPLING, x0, sums, weights,
        )  # fmt: skip
        block = out[:, x0 : x0 + sums.shape[1]]
        np.divide(sums, weights, out=sums, where=weights > 0)
        block[:] = sums[:, : block.shape[1]]
    return Resampled(data=out, first_wave=first_wave, step=SAMPLING)
