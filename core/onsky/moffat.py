"""Moffat functions fitted to stars, compiled: a star of a cube is fitted in thousands of planes.

The same least squares as `core.onsky.profiles.fit_profile` with all values free, which is not so fast.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt
from numba import njit

from core.errors import DataError
from core.onsky.profiles import Profile
from core.spectral.linefit import cholesky_solve

__all__ = ["fit_moffat"]

F64 = npt.NDArray[np.float64]

_N: Final = 8  # background, volume, x, y, widths in x and y, correlation, exponent
_STEPS: Final = 300
_TOLERANCE: Final = 1e-9
_DAMPING: Final = 1e-3
_MOST_DAMPING: Final = 1e10


def fit_moffat(x: F64, y: F64, values: F64, variances: F64, start: Profile) -> tuple[Profile, float]:
    """Fit a Moffat function to pixels.

    Parameters
    ----------
    x, y, values, variances : ndarray of float64, shape (n,)
        Positions [pix], values, and their variances, all finite and these positive.
    start : Profile

    Returns
    -------
    profile : Profile
    error : float
        Of the volume, by the variances.

    Raises
    ------
    DataError
        If there are fewer pixels than free parameters, or the fit does not converge to a star.
    """
    if values.size < _N:
        raise DataError(f"{values.size} pixels are too few to fit {_N} parameters of a star")
    vector = np.array(
        [start.background, start.volume, start.x, start.y, start.width_x, start.width_y, start.rho, start.beta]
    )
    variance = _fit(x, y, values, 1 / variances, vector)
    if not (variance > 0 and np.all(np.isfinite(vector))):
        raise DataError("no moffat profile fits the star")
    return Profile(*vector.tolist()), math.sqrt(variance)


@njit(cache=True, nogil=True)
def _fit(x, y, values, weights, p):  # type: ignore[no-untyped-def]
    """Levenberg-Marquardt steps of ``p``; returns the variance of the volume, NaN if it does not converge."""
    hess, lower = np.zeros((_N, _N)), np.zeros((_N, _N))
    grad, step = np.zeros(_N), np.zeros(_N)
    trial = p.copy()
    damping = _DAMPING
    squares = _squares(x, y, values, weights, p)
    if not math.isfinite(squares):
        return np.nan
    converged = False
    for _ in range(_STEPS):
        _derivatives(x, y, values, weights, p, hess, grad)
        while damping < _MOST_DAMPING:
            if cholesky_solve(hess, _N, damping, grad, lower, step):
                for k in range(_N):
                    trial[k] = p[k] + step[k]
                found = _squares(x, y, values, weights, trial)
                if found <= squares:
                    break
            damping *= 10.0
        if damping >= _MOST_DAMPING:
            converged = True
            break
        p[:] = trial
        damping = max(damping / 10.0, 1e-12)
        if squares - found <= _TOLERANCE * squares:
            converged = True
            break
        squares = found
    if not converged:
        return np.nan
    _derivatives(x, y, values, weights, p, hess, grad)
    grad[:] = 0.0
    grad[1] = 1.0
    if not cholesky_solve(hess, _N, 0.0, grad, lower, step):
        return np.nan
    return step[1]


@njit(cache=True, nogil=True)
def _squares(x, y, values, weights, p):  # type: ignore[no-untyped-def]
    """Weighted sum of squared residuals; infinite where the parameters make no star."""
    if not (p[4] > 0.0 and p[5] > 0.0 and abs(p[6]) < 1.0 and p[7] > 1.0):
        return np.inf
    narrow = 1.0 - p[6] * p[6]
    height = p[1] * (p[7] - 1.0) / (math.pi * p[4] * p[5] * math.sqrt(narrow))
    total = 0.0
    for i in range(x.size):
        u, v = (x[i] - p[2]) / p[4], (y[i] - p[3]) / p[5]
        q = 1.0 + (u * u + 2.0 * p[6] * u * v + v * v) / narrow
        residual = values[i] - p[0] - height * math.exp(-p[7] * math.log(q))
        total += weights[i] * residual * residual
    return total


@njit(cache=True, nogil=True)
def _derivatives(x, y, values, weights, p, hess, grad):  # type: ignore[no-untyped-def]
    """Fill the lower half of the normal matrix, and the right-hand side."""
    hess[:] = 0.0
    grad[:] = 0.0
    d = np.zeros(_N)
    rho, beta = p[6], p[7]
    narrow = 1.0 - rho * rho
    height = (beta - 1.0) / (math.pi * p[4] * p[5] * math.sqrt(narrow))
    for i in range(x.size):
        u, v = (x[i] - p[2]) / p[4], (y[i] - p[3]) / p[5]
        form = u * u + 2.0 * rho * u * v + v * v
        q = 1.0 + form / narrow
        log_q = math.log(q)
        unit = height * math.exp(-beta * log_q)
        light = p[1] * unit
        slope = -beta * light / q
        d[0] = 1.0
        d[1] = unit
        d[2] = -slope * 2.0 * (u + rho * v) / (narrow * p[4])
        d[3] = -slope * 2.0 * (v + rho * u) / (narrow * p[5])
        d[4] = -light / p[4] + u * d[2]
        d[5] = -light / p[5] + v * d[3]
        d[6] = light * rho / narrow + slope * 2.0 * (u * v * narrow + rho * form) / (narrow * narrow)
        d[7] = light * (1.0 / (beta - 1.0) - log_q)
        residual = values[i] - p[0] - light
        for k in range(_N):
            weighted = weights[i] * d[k]
            grad[k] += weighted * residual
            for m in range(k + 1):
                hess[k, m] += weighted * d[m]
