"""The line-spread function of a slice as an image: distance from the line against wavelength of the line.

`fit_lsf_image` makes the image from the pixels of many lines; `LsfImage` applies it. Values are densities per Angstrom,
each row has unit area.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from core.instruments.muse.facts import NOMINAL_RANGE
from core.spectral.line_pixels import LinePixels
from core.spectral.linefit import cholesky_solve

__all__ = ["LsfImage", "fit_lsf_image"]

_ORDER_X: Final = 2
_ORDER_WAVE: Final = 3
_N_COEF: Final = (_ORDER_X + 1) * (_ORDER_WAVE + 1)
_FAR: Final = 10000.0  # [Angstrom]
_TOGETHER: Final = 256  # profiles


@dataclass(frozen=True, eq=False)
class LsfImage:
    """Line-spread function of one slice.

    Attributes
    ----------
    data : ndarray of float64 (n_wave, n_x)
        Density [1/Angstrom].
    first_x, step_x : float
        Distance from the line of the first column, and step [Angstrom].
    first_wave, step_wave : float
        Wavelength of the first row, and step [Angstrom].
    """

    data: NDArray[np.float64]
    first_x: float
    step_x: float
    first_wave: float
    step_wave: float

    @property
    def x(self) -> NDArray[np.float64]:
        """Distances of the columns [Angstrom]."""
        return np.asarray(self.first_x + self.step_x * np.arange(self.data.shape[1]), dtype=np.float64)

    def profile(self, wave: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Centred profile of unit area at a wavelength [Angstrom]: abscissae and densities, zero at both ends.

        Rows are interpolated linearly; beyond the first and last row these are taken.
        """
        (position,), (area,), (center,) = self.centres(np.array([wave]))
        x = self.x
        if area <= 0:
            return x, np.zeros(x.size)
        low, high = self._rows(position)
        values: NDArray[np.float64] = self.data[low] + (position - low) * (self.data[high] - self.data[low])
        x = np.concatenate([[-_FAR, x[0] - self.step_x], x, [x[-1] + self.step_x, _FAR]]) - center
        return x, np.concatenate([[0.0, 0.0], values / area, [0.0, 0.0]])

    def centres(
        self, wave: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Of the profiles at wavelengths (n,) [Angstrom]: where they lie among the rows, areas, and centres [Angstrom].

        An empty one has no area, and its centre is 0.
        """
        found = np.zeros((3, wave.size))
        if self.step_wave:
            found[0] = np.clip((wave - self.first_wave) / self.step_wave, 0.0, self.data.shape[0] - 1.0)
        for first in range(0, wave.size, _TOGETHER):
            position = found[0, first : first + _TOGETHER]
            low, high = self._rows(position)
            part = (position - low)[:, None]
            values: NDArray[np.float64] = self.data[low] + part * (self.data[high] - self.data[low])
            total, moment = values.sum(axis=1), (self.x * values).sum(axis=1)
            there = total > 0
            found[1, first : first + _TOGETHER] = np.where(there, total, 0.0) * self.step_x
            np.divide(moment, total, out=found[2, first : first + _TOGETHER], where=there)
        return found[0], found[1], found[2]

    def _rows(self, position: Any) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """The two rows around a place among them."""
        rows = self.data.shape[0]
        low = np.minimum(np.asarray(position).astype(np.intp), max(rows - 2, 0))
        return low, np.minimum(low + 1, rows - 1)

    def __call__(self, offset: ArrayLike, wave: float) -> NDArray[np.float64]:
        """Density [1/Angstrom] at distances ``offset`` [Angstrom] from a line at ``wave``."""
        return np.asarray(np.interp(np.asarray(offset, dtype=np.float64), *self.profile(wave)))

    def model(self, pixels: LinePixels) -> NDArray[np.float64]:
        """The lines of a slice at their pixels, without background [count]."""
        model = np.empty(pixels.wave.size)
        for k in range(pixels.n_lines):
            mine = slice(int(pixels.start[k]), int(pixels.start[k + 1]))
            line = float(pixels.line_wave[k])
            model[mine] = self(pixels.wave[mine] - line, line) * pixels.line_flux[k]
        return model

    def folded(self, width: float) -> LsfImage:
        """Convolved with a box (a detector pixel) of a width [Angstrom]; the outermost samples count in part."""
        samples = width / self.step_x
        half = math.ceil(max(samples - 1.0, 0.0) / 2.0)
        kernel = np.ones(2 * half + 1)
        if half:
            kernel[[0, -1]] = (samples - (2 * half - 1)) / 2.0
        kernel /= kernel.sum()
        data = np.array([np.convolve(row, kernel, mode="same") for row in self.data])
        return LsfImage(data, self.first_x, self.step_x, self.first_wave, self.step_wave)

    def fwhm(self) -> NDArray[np.float64]:
        """Full width at half of the value beside the line, of each row [Angstrom]; NaN where there is none."""
        return np.array([_fwhm_of(row) for row in self.data]) * self.step_x


def _fwhm_of(row: NDArray[np.float64]) -> float:
    """Width in columns, interpolated linearly; the reference value is that of column n // 2 (from 1)."""
    middle = row.size // 2 - 1
    half = 0.5 * row[middle]
    below = np.flatnonzero(row < half)
    lower, upper = below[below < middle], below[below > middle]
    if half <= 0 or lower.size == 0 or upper.size == 0:
        return math.nan
    i, j = int(lower[-1]), int(upper[0])
    left = i + (half - row[i]) / (row[i + 1] - row[i])
    right = j - (half - row[j]) / (row[j - 1] - row[j])
    return float(right - left)


@njit(cache=True, nogil=True)
def _fit_columns(start, line_wave, offset, value, x, x_ref, window, t_out, out, bad):  # type: ignore[no-untyped-def]
    """Polynomial fit of each column in (distance, wavelength) and its evaluation; moments are summed line by line."""
    n_lines = line_wave.size
    hess = np.empty((_N_COEF, _N_COEF))
    lower = np.empty((_N_COEF, _N_COEF))
    grad = np.empty(_N_COEF)
    coef = np.empty(_N_COEF)
    s = np.empty(2 * _ORDER_X + 1)
    v = np.empty(_ORDER_X + 1)
    nw = _ORDER_WAVE + 1
    for i in range(x.size):
        hess[:] = 0.0
        grad[:] = 0.0
        count = 0
        for k in range(n_lines):
            segment = offset[start[k] : start[k + 1]]
            lo = start[k] + np.searchsorted(segment, x_ref[i] - window)
            hi = start[k] + np.searchsorted(segment, x_ref[i] + window, side="right")
            if hi <= lo:
                continue
            count += hi - lo
            s0 = s1 = s2 = s3 = s4 = v0 = v1 = v2 = 0.0
            for p in range(lo, hi):
                u = (offset[p] - x_ref[i]) / window
                u2 = u * u
                s0 += 1.0
                s1 += u
                s2 += u2
                s3 += u2 * u
                s4 += u2 * u2
                v0 += value[p]
                v1 += value[p] * u
                v2 += value[p] * u2
            s[0], s[1], s[2], s[3], s[4] = s0, s1, s2, s3, s4
            v[0], v[1], v[2] = v0, v1, v2
            t = line_wave[k]
            for a in range(_ORDER_X + 1):
                tb = 1.0
                for b in range(nw):
                    grad[a * nw + b] += v[a] * tb
                    for c in range(_ORDER_X + 1):
                        td = tb
                        for d in range(nw):
                            hess[a * nw + b, c * nw + d] += s[a + c] * td
                            td *= t
                    tb *= t
        if count < _N_COEF or not cholesky_solve(hess, _N_COEF, 0.0, grad, lower, coef):
            bad[i] = True
            continue
        u = (x[i] - x_ref[i]) / window
        for row in range(t_out.size):
            total = 0.0
            ua = 1.0
            for a in range(_ORDER_X + 1):
                inner = 0.0
                for b in range(nw - 1, -1, -1):
                    inner = inner * t_out[row] + coef[a * nw + b]
                total += ua * inner
                ua *= u
            out[row, i] = total


def fit_lsf_image(
    pixels: LinePixels, lsf_range: float = 7.5, lsf_size: int = 150, lambda_size: int = 30, window: float = 0.7
) -> tuple[LsfImage, NDArray[np.bool_]]:
    """Line-spread function of a slice from the pixels of many lines.

    Each column is a polynomial fit (order 2 in distance, 3 in wavelength) to the normalised pixels within a window.

    Parameters
    ----------
    pixels : LinePixels
    lsf_range : float
        Half width of the image [Angstrom].
    lsf_size, lambda_size : int
        Numbers of columns and rows.
    window : float
        Half width of the regression window [Angstrom].

    Returns
    -------
    image : LsfImage
    bad : ndarray of bool (lsf_size,)
        Columns without enough pixels; they are zero.
    """
    index = pixels.line_of
    offset = pixels.wave - pixels.line_wave[index]
    value = (pixels.data - pixels.line_background[index]) / pixels.line_flux[index]
    step = 2.0 * lsf_range / (lsf_size - 1)
    x = -lsf_range + step * np.arange(lsf_size)
    low, high = NOMINAL_RANGE
    step_wave = (high - low) / (lambda_size - 1) if lambda_size > 1 else 0.0
    rows = low + step_wave * np.arange(lambda_size)
    middle, half = 0.5 * (low + high), 0.5 * (high - low)
    # near the ends of the data the window stays inside them (the reference only does so at the upper end)
    x_ref = x
    if offset.size:
        first, last = float(offset.min()) + window, float(offset.max()) - window
        x_ref = np.clip(x, min(first, last), max(first, last))
    data = np.zeros((lambda_size, lsf_size))
    bad = np.zeros(lsf_size, dtype=np.bool_)
    _fit_columns(
        pixels.start, (pixels.line_wave - middle) / half, offset, value, x, x_ref, window, (rows - middle) / half, data,
        bad,
    )  # fmt: skip
    area = data.sum(axis=1, keepdims=True) * step
    np.divide(data, area, out=data, where=area > 0)
    return LsfImage(data, -lsf_range, step, low, step_wave), bad
