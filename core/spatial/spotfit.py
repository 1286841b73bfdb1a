"""The image of one pinhole: background, flux, centre and width, by a Gaussian in two dimensions or by moments.

Windows are squares around a given place: the inner one (11 x 11 pix) holds all light of a pinhole, what lies between it
and the outer one (15 x 15 pix) is background. Flagged pixels are left out. The Gaussian is
``background + peak * exp(-(a u^2 + 2 b u v + c v^2) / 2)`` with u, v from its centre; its widths are those of its
marginal distributions, as for a Gaussian with a correlation term.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numba import njit

from core.spectral.linefit import cholesky_solve

__all__ = ["N_MEASURED", "measure"]

N_MEASURED: Final = 6
_INNER: Final = 5
_OUTER: Final = 7
_RECENTRE: Final = 3  # how far the window of the fit may move [pix]
_SIGNIFICANT: Final = 5.0  # flux over its noise from which a spot is measured
_FWHM: Final = 2.3548200450309493
_START_SIGMA: Final = 1.0  # [pix]
_N_PAR: Final = 7
_MAX_STEPS: Final = 100
_DONE: Final = 1e-10  # relative change of the sum of squares


@njit(cache=True, nogil=True)
def _normal(data, bad, x0, y0, par, hess, grad, row):  # type: ignore[no-untyped-def]
    """Sum of squared residuals in the inner window, with downhill half gradient and curvature (lower triangle)."""
    hess[:] = 0.0
    grad[:] = 0.0
    chi2 = 0.0
    for j in range(-_INNER, _INNER + 1):
        for i in range(-_INNER, _INNER + 1):
            yy, xx = y0 + j, x0 + i
            if yy < 0 or xx < 0 or yy >= data.shape[0] or xx >= data.shape[1] or bad[yy, xx]:
                continue
            u, v = i - par[2], j - par[3]
            shape = math.exp(-0.5 * (par[4] * u * u + 2.0 * par[5] * u * v + par[6] * v * v))
            light = par[1] * shape
            row[0] = 1.0
            row[1] = shape
            row[2] = light * (par[4] * u + par[5] * v)
            row[3] = light * (par[5] * u + par[6] * v)
            row[4] = -0.5 * light * u * u
            row[5] = -light * u * v
            row[6] = -0.5 * light * v * v
            r = data[yy, xx] - par[0] - light
            chi2 += r * r
            for a in range(_N_PAR):
                grad[a] += r * row[a]
                for b in range(a + 1):
                    hess[a, b] += row[a] * row[b]
    return chi2


@njit(cache=True, nogil=True)
def _fit(data, bad, x0, y0, par, work):  # type: ignore[no-untyped-def]
    """Fit a Gaussian (Levenberg and Marquardt); whether it is one."""
    hess, trial_hess, lower = work[0:7], work[7:14], work[14:21]
    grad, trial_grad, row, step, trial = work[21], work[22], work[23], work[24], work[25]
    chi2 = _normal(data, bad, x0, y0, par, hess, grad, row)
    damping = 1e-3
    for _ in range(_MAX_STEPS):
        if not cholesky_solve(hess, _N_PAR, damping, grad, lower, step):
            damping *= 10.0
            if damping > 1e12:
                return False
            continue
        for k in range(_N_PAR):
            trial[k] = par[k] + step[k]
        new = np.inf
        if trial[4] > 0.0 and trial[6] > 0.0 and trial[4] * trial[6] > trial[5] * trial[5]:
            new = _normal(data, bad, x0, y0, trial, trial_hess, trial_grad, row)
        gain = chi2 - new
        if gain >= 0.0:
            chi2 = new
            damping = max(damping * 0.1, 1e-12)
            for k in range(_N_PAR):
                par[k] = trial[k]
                grad[k] = trial_grad[k]
                for j in range(k + 1):
                    hess[k, j] = trial_hess[k, j]
            if gain <= _DONE * chi2:
                break
        else:
            damping *= 10.0
            if damping > 1e12:
                break
    return par[1] > 0.0 and abs(par[2]) <= _INNER and abs(par[3]) <= _INNER


@njit(cache=True, nogil=True)
def _half_width(data, x, y, dx, dy, background):  # type: ignore[no-untyped-def]
    """How far from a peak pixel, in one direction, the light falls to one half [pix]; 0 if it does not."""
    half = 0.5 * (data[y, x] - background)
    before = data[y, x] - background
    for k in range(1, _OUTER + 1):
        yy, xx = y + k * dy, x + k * dx
        if yy < 0 or xx < 0 or yy >= data.shape[0] or xx >= data.shape[1]:
            return 0.0
        value = data[yy, xx] - background
        if value <= half:
            return k - 1 + (before - half) / (before - value)
        before = value
    return 0.0


@njit(cache=True, nogil=True)
def _background(data, bad, x0, y0, ring):  # type: ignore[no-untyped-def]
    """Median of the ring between the windows, and its scatter."""
    n = 0
    for j in range(-_OUTER, _OUTER + 1):
        for i in range(-_OUTER, _OUTER + 1):
            if abs(i) <= _INNER and abs(j) <= _INNER:
                continue
            yy, xx = y0 + j, x0 + i
            if yy < 0 or xx < 0 or yy >= data.shape[0] or xx >= data.shape[1] or bad[yy, xx]:
                continue
            ring[n] = data[yy, xx]
            n += 1
    if n < 2:
        return 0.0, np.inf
    level = np.median(ring[:n])
    square = 0.0
    for k in range(n):
        square += (ring[k] - level) ** 2
    return level, math.sqrt(square / (n - 1))


@njit(cache=True, nogil=True)
def _moments(data, bad, x0, y0, background):  # type: ignore[no-untyped-def]
    """Flux, barycentre from the centre of the window, number of pixels, and the brightest pixel."""
    flux, mx, my, n = 0.0, 0.0, 0.0, 0
    top, top_x, top_y = -np.inf, x0, y0
    for j in range(-_INNER, _INNER + 1):
        for i in range(-_INNER, _INNER + 1):
            yy, xx = y0 + j, x0 + i
            if yy < 0 or xx < 0 or yy >= data.shape[0] or xx >= data.shape[1] or bad[yy, xx]:
                continue
            value = data[yy, xx] - background
            flux += value
            mx += value * i
            my += value * j
            n += 1
            if value > top:
                top, top_x, top_y = value, xx, yy
    if flux > 0.0:
        mx /= flux
        my /= flux
    return flux, mx, my, n, top_x, top_y


@njit(cache=True, nogil=True)
def measure(data, bad, xs, ys, gaussian, out):  # type: ignore[no-untyped-def]
    """Measure spots; compiled.

    Parameters
    ----------
    data : float32 array (ny, nx)
    bad : bool array (ny, nx)
    xs, ys : float64 arrays (n,)
        Places, 1-based [pix].
    gaussian : bool
        Fit a Gaussian; else barycentre and width at half maximum.
    out : float64 array (n, 6)
        x, y, FWHM in x, FWHM in y, flux, background.
    """
    ring = np.empty((2 * _OUTER + 1) ** 2)
    work = np.empty((26, _N_PAR))
    par = np.empty(_N_PAR)
    for k in range(xs.size):
        x0, y0 = round(xs[k]) - 1, round(ys[k]) - 1
        background, scatter = _background(data, bad, x0, y0, ring)
        flux, mx, my, n, top_x, top_y = _moments(data, bad, x0, y0, background)
        out[k, 0], out[k, 1] = xs[k], ys[k]
        out[k, 2], out[k, 3] = 0.0, 0.0
        out[k, 4], out[k, 5] = max(flux, 0.0), background
        if not flux > _SIGNIFICANT * math.sqrt(n) * scatter:
            continue
        if gaussian:
            cx = x0 + min(max(round(mx), -_RECENTRE), _RECENTRE)
            cy = y0 + min(max(round(my), -_RECENTRE), _RECENTRE)
            par[0], par[1] = background, data[top_y, top_x] - background
            par[2], par[3] = x0 + mx - cx, y0 + my - cy
            par[4] = par[6] = 1.0 / _START_SIGMA**2
            par[5] = 0.0
            if _fit(data, bad, cx, cy, par, work):
                area = par[4] * par[6] - par[5] * par[5]
                out[k, 0], out[k, 1] = cx + par[2] + 1.0, cy + par[3] + 1.0
                out[k, 2], out[k, 3] = _FWHM * math.sqrt(par[6] / area), _FWHM * math.sqrt(par[4] / area)
        else:
            out[k, 0], out[k, 1] = x0 + mx + 1.0, y0 + my + 1.0
            left, right = (
                _half_width(data, top_x, top_y, -1, 0, background),
                _half_width(data, top_x, top_y, 1, 0, background),
            )
            below, above = (
                _half_width(data, top_x, top_y, 0, -1, background),
                _half_width(data, top_x, top_y, 0, 1, background),
            )
            if left > 0.0 and right > 0.0:
                out[k, 2] = left + right
            if below > 0.0 and above > 0.0:
                out[k, 3] = below + above
