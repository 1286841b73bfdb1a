"""The pixels around arc lines: raw material of the line-spread function.

For each line and slice all unflagged pixels within some Angstrom are taken, with the wavelength that the calibration
gives them; an unweighted Gaussian tells where the line really is, how bright it is, and which lines are no good.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from core.ccd.trace_model import Trace
from core.lanes import padded
from core.spectral.dispersion import Dispersion
from core.spectral.linefit import CONVERGED, gauss_lm

__all__ = ["LinePixels", "collect_line_pixels", "concatenate_pixels", "pixels_near_lines"]

MIN_PIXELS: Final = 100
BACKGROUND_DISTANCE: Final = 5.5  # [Angstrom] from the line, and to at least
BACKGROUND_REACH: Final = 8.2  # [Angstrom], as with the default size of the window
MIN_SIGNAL: Final = 50.0  # line flux over the root of the mean variance
SIGMA_LIMITS: Final = (0.7, 3.0)  # [Angstrom]
_MIN_SAMPLING: Final = 1.0  # [Angstrom/pix], smaller than any
_MAX_COLUMNS: Final = 128  # wider than any slice [pix]
_MARGIN: Final = 6.0  # [Angstrom] between the centre and the edge of a slice, at most


@dataclass(frozen=True, eq=False)
class LinePixels:
    """Pixels near lines of one slice, line by line, ascending in wavelength within each line.

    Attributes
    ----------
    start : ndarray of int64 (n_lines + 1,)
        Line ``k`` owns the pixels ``start[k]`` to ``start[k + 1]``.
    line_wave, line_flux, line_background : ndarray of float64 (n_lines,)
        Fitted centre [Angstrom], flux [count Angstrom] and background [count] of each line.
    wave : ndarray of float64 (n,)
        Wavelength of each pixel [Angstrom].
    data, stat : ndarray of float32 (n,)
        Value [count] and variance.
    x, y : ndarray of int16 (n,)
        CCD position (1-based); 16 bits hold it, and there are millions of them.
    """

    start: NDArray[np.int64]
    line_wave: NDArray[np.float64]
    line_flux: NDArray[np.float64]
    line_background: NDArray[np.float64]
    wave: NDArray[np.float64]
    data: NDArray[np.float32]
    stat: NDArray[np.float32]
    x: NDArray[np.int16]
    y: NDArray[np.int16]

    @property
    def n_lines(self) -> int:
        """Number of lines."""
        return int(self.line_wave.size)

    @property
    def line_of(self) -> NDArray[np.int64]:
        """Index of the line of each pixel."""
        return np.repeat(np.arange(self.n_lines), np.diff(self.start))


def concatenate_pixels(parts: list[LinePixels]) -> LinePixels:
    """Pixels of several images (lamps) of the same slice."""
    starts, offset = [np.zeros(1, np.int64)], 0
    for part in parts:
        starts.append(part.start[1:] + offset)
        offset += int(part.start[-1])
    return LinePixels(
        np.concatenate(starts),
        np.concatenate([np.empty(0), *(part.line_wave for part in parts)]),
        np.concatenate([np.empty(0), *(part.line_flux for part in parts)]),
        np.concatenate([np.empty(0), *(part.line_background for part in parts)]),
        np.concatenate([np.empty(0), *(part.wave for part in parts)]),
        np.concatenate([np.empty(0, np.float32), *(part.data for part in parts)]),
        np.concatenate([np.empty(0, np.float32), *(part.stat for part in parts)]),
        np.concatenate([np.empty(0, np.int16), *(part.x for part in parts)]),
        np.concatenate([np.empty(0, np.int16), *(part.y for part in parts)]),
    )


@njit(cache=True, nogil=True)
def _row_polynomials(coef, ny):  # type: ignore[no-untyped-def]
    """Coefficients of the powers of x, for each row."""
    out = np.empty((ny, coef.shape[0]))
    for row in range(ny):
        for i in range(coef.shape[0]):
            value = coef[i, coef.shape[1] - 1]
            for j in range(coef.shape[1] - 2, -1, -1):
                value = value * (row + 1.0) + coef[i, j]
            out[row, i] = value
    return out


@njit(cache=True, nogil=True)
def _wave_at(powers, x):  # type: ignore[no-untyped-def]
    value = powers[powers.size - 1]
    for i in range(powers.size - 2, -1, -1):
        value = value * x + powers[i]
    return value


@njit(cache=True, nogil=True)
def _gather(data, stat, bad, powers, rows, left, right, line, reach, wave, value, variance, x, y):  # type: ignore[no-untyped-def]
    """Unflagged pixels within ``reach`` of a line, row by row; returns their number."""
    count = 0
    for row in range(rows[0], rows[1]):
        first = max(1, math.ceil(left[row]))
        last = min(data.shape[1], math.floor(right[row]))
        for column in range(first, last + 1):
            if bad[row, column - 1] or not stat[row, column - 1] > 0.0:
                continue
            w = _wave_at(powers[row], float(column))
            if abs(w - line) > reach or count >= wave.size:
                continue
            wave[count] = w
            value[count] = data[row, column - 1]
            variance[count] = stat[row, column - 1]
            x[count] = column
            y[count] = row + 1
            count += 1
    return count


@njit(cache=True, nogil=True)
def _collect(  # type: ignore[no-untyped-def]
    data, stat, bad, powers, middle, left, right, lines, reach, per_line, fits, start, wave, value, variance, x, y
):
    """Fill the pixels of all good lines; returns the number of good lines. ``fits`` gets centre, flux, background."""
    size = per_line
    t_wave, t_value, t_var = np.empty(size), np.empty(size), np.empty(size)
    t_x, t_y = np.empty(size, np.int16), np.empty(size, np.int16)
    xs, ys, ws = np.zeros(padded(size)), np.zeros(padded(size)), np.zeros(padded(size))
    work = np.empty(xs.size + 64)
    par, cov = np.empty(4), np.zeros((4, 4))
    rows = np.empty(2, np.int64)
    good = 0
    total = 0
    for k in range(lines.size):
        line = lines[k]
        wide = max(reach, BACKGROUND_REACH)
        rows[0] = np.searchsorted(middle, line - wide - _MARGIN)
        rows[1] = np.searchsorted(middle, line + wide + _MARGIN)
        n_wide = _gather(data, stat, bad, powers, rows, left, right, line, wide, t_wave, t_value, t_var, t_x, t_y)
        background, n_far, mean_var, n = 0.0, 0, 0.0, 0
        for i in range(n_wide):
            distance = abs(t_wave[i] - line)
            if distance > BACKGROUND_DISTANCE:
                background += t_value[i]
                n_far += 1
            if distance > reach:
                continue
            mean_var += t_var[i]
            t_wave[n], t_value[n], t_var[n], t_x[n], t_y[n] = t_wave[i], t_value[i], t_var[i], t_x[i], t_y[i]
            n += 1
        if n <= MIN_PIXELS or n_far == 0:
            continue
        background /= n_far
        mean_var /= n
        order = np.argsort(t_wave[:n])
        for i in range(padded(n)):
            xs[i] = t_wave[order[i]] - line if i < n else 0.0
            ys[i] = t_value[order[i]] if i < n else 0.0
            ws[i] = 1.0 if i < n else 0.0
        par[3] = background
        status = gauss_lm(xs, ys, ws, padded(n), True, False, False, par, cov, work)
        center, sigma, area = par[0], par[1], par[2]
        if status != CONVERGED or not SIGMA_LIMITS[0] <= sigma <= SIGMA_LIMITS[1]:
            continue
        if not area / math.sqrt(mean_var) >= MIN_SIGNAL or total + n > wave.size:
            continue
        limit = 0.5 * math.sqrt(area) + 0.15 * area
        norm = area / (math.sqrt(2.0 * math.pi) * sigma)
        start[good] = total
        for i in range(n):
            t = (xs[i] - center) / sigma
            if abs(ys[i] - norm * math.exp(-0.5 * t * t) - background) > limit:
                continue
            p = order[i]
            wave[total] = t_wave[p]
            value[total] = t_value[p]
            variance[total] = t_var[p]
            x[total] = t_x[p]
            y[total] = t_y[p]
            total += 1
        fits[good, 0] = line + center
        fits[good, 1] = area
        fits[good, 2] = background
        good += 1
        start[good] = total
    return good


def collect_line_pixels(
    data: NDArray[np.float32],
    stat: NDArray[np.float32],
    bad: NDArray[np.bool_],
    trace: Trace,
    dispersion: Dispersion,
    slice_no: int,
    lines: NDArray[np.float64],
    reach: float,
) -> LinePixels:
    """Pixels around lines in one slice.

    Parameters
    ----------
    data, stat : ndarray of float32 (ny, nx)
        Image of the lamp [count] and variance.
    bad : ndarray of bool (ny, nx)
        Pixels to leave out.
    trace : Trace
    dispersion : Dispersion
    slice_no : int
    lines : ndarray of float64 (n,)
        Wavelengths [Angstrom].
    reach : float
        Largest distance of a pixel from its line [Angstrom].

    Returns
    -------
    LinePixels
        Of the lines with at least 100 pixels, a signal of 50 sigma and a plausible width. The background is the mean
        beyond 5.5 Angstrom from the line, up to `reach` or 8.2 Angstrom.
    """
    ny = data.shape[0]
    rows = np.arange(1.0, ny + 1)
    left, right = trace.left(slice_no, rows), trace.right(slice_no, rows)
    middle = np.maximum.accumulate(dispersion.wavelength(slice_no, 0.5 * (left + right), rows))
    powers = _row_polynomials(dispersion.polynomial(slice_no), ny)
    per_line = int(2.0 * max(reach, BACKGROUND_REACH) / _MIN_SAMPLING + 2.0) * _MAX_COLUMNS
    size = lines.size * per_line
    wave = np.empty(size)
    value, variance = np.empty(size, np.float32), np.empty(size, np.float32)
    x, y = np.empty(size, np.int16), np.empty(size, np.int16)
    fits = np.empty((lines.size, 3))
    start = np.zeros(lines.size + 1, np.int64)
    good = _collect(
        data, stat, bad, powers, middle, left, right, lines, reach, per_line, fits, start, wave, value, variance, x, y
    )
    n = int(start[good])
    return LinePixels(
        start[: good + 1].copy(),
        fits[:good, 0].copy(),
        fits[:good, 1].copy(),
        fits[:good, 2].copy(),
        wave[:n].copy(),
        value[:n].copy(),
        variance[:n].copy(),
        x[:n].copy(),
        y[:n].copy(),
    )


def pixels_near_lines(
    data: NDArray[np.float32],
    stat: NDArray[np.float32],
    bad: NDArray[np.bool_],
    trace: Trace,
    dispersion: Dispersion,
    slice_no: int,
    lines: NDArray[np.float64],
    reach: float,
) -> LinePixels:
    """Pixels of a slice near any of some lines, which may overlap.

    Parameters
    ----------
    data, stat : ndarray of float32 (ny, nx)
        Image [count] and variance; pixels without variance are left out.
    bad : ndarray of bool (ny, nx)
        Pixels to leave out.
    trace : Trace
    dispersion : Dispersion
    slice_no : int
    lines : ndarray of float64 (n,)
        Wavelengths, ascending [Angstrom].
    reach : float
        Largest distance of a pixel from a line [Angstrom].

    Returns
    -------
    LinePixels
        As if of one line without centre and flux; ascending in wavelength.
    """
    ny, nx = data.shape
    rows = np.arange(1.0, ny + 1)
    left, right = trace.left(slice_no, rows), trace.right(slice_no, rows)
    first, last = max(1, int(np.ceil(left.min()))), min(nx, int(np.floor(right.max())))
    x, y = np.meshgrid(np.arange(first, last + 1), np.arange(1, ny + 1))
    window = slice(first - 1, last)
    wave = dispersion.wavelength(slice_no, x, y)
    near = np.searchsorted(lines, wave)
    distance = np.minimum(
        np.abs(wave - lines[np.maximum(near - 1, 0)]), np.abs(lines[np.minimum(near, lines.size - 1)] - wave)
    )
    use = (x >= left[:, None]) & (x <= right[:, None]) & ~bad[:, window] & (distance <= reach)
    use &= stat[:, window] > 0
    order = np.argsort(wave[use], kind="stable")
    return LinePixels(
        start=np.array([0, order.size]),
        line_wave=np.full(1, np.nan),
        line_flux=np.full(1, np.nan),
        line_background=np.zeros(1),
        wave=wave[use][order],
        data=data[:, window][use][order],
        stat=stat[:, window][use][order],
        x=x[use][order].astype(np.int16),
        y=y[use][order].astype(np.int16),
    )
