"""Iterative polynomial fit of one variable: fit, drop the deviant points, fit again.

Unweighted least squares on a centred and scaled abscissa; every point with ``|residual| >= k * rms`` is dropped until
none is. Compiled, for use inside loops over lines; `iterate_fit` is the front door for Python.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from core.errors import DataError
from core.spectral.linefit import cholesky_solve

__all__ = ["MAX_ORDER", "IteratedFit", "iterate_fit", "iterate_fit_kernel"]

MAX_ORDER: Final = 12
_TINY: Final = 2.2250738585072014e-308


@dataclass(frozen=True)
class IteratedFit:
    """A polynomial ``sum_k coef[k] * ((x - shift) / scale)^k`` and the points it rests on.

    Attributes
    ----------
    coefficients : ndarray (order + 1,)
    shift, scale : float
        Of the abscissa.
    kept : ndarray of bool (n,)
        Points that survived.
    rms : float
        Of the residuals of the surviving points.
    """

    coefficients: NDArray[np.float64]
    shift: float
    scale: float
    kept: NDArray[np.bool_]
    rms: float

    def __call__(self, x: ArrayLike) -> NDArray[np.float64]:
        """Value at ``x``."""
        t = (np.asarray(x, dtype=np.float64) - self.shift) / self.scale
        result = np.full(t.shape, self.coefficients[-1])
        for coefficient in self.coefficients[-2::-1]:
            result = result * t + coefficient
        return result

    def derivative(self, x: ArrayLike) -> NDArray[np.float64]:
        """First derivative at ``x``."""
        t = (np.asarray(x, dtype=np.float64) - self.shift) / self.scale
        result = np.zeros(t.shape)
        for k in range(self.coefficients.size - 1, 0, -1):
            result = result * t + k * self.coefficients[k]
        return result / self.scale


@njit(cache=True, nogil=True)
def iterate_fit_kernel(x, y, n, order, k_sigma, kept, coef):  # type: ignore[no-untyped-def]
    """Fit ``y(x)``, clipping in ``kept``.

    Parameters
    ----------
    x, y : float64 arrays, at least ``n`` long
    n, order : int
        Number of points; degree, at most `MAX_ORDER`.
    k_sigma : float
        Rejection limit in units of the rms.
    kept : bool array
        In: points to start from. Out: points that survived.
    coef : float64 array (order + 1,)
        Out: coefficients of the powers of ``(x - shift) / scale``.

    Returns
    -------
    tuple of float
        rms, shift, scale; rms is NaN if the fit failed (fewer points than coefficients, or all rejected).
    """
    n_coef = order + 1
    low, high = np.inf, -np.inf
    for i in range(n):
        if not (math.isfinite(x[i]) and math.isfinite(y[i])):
            kept[i] = False
        if kept[i]:
            low = min(low, x[i])
            high = max(high, x[i])
    shift = 0.5 * (low + high)
    scale = 0.5 * (high - low)
    if not scale > 0.0:
        scale = 1.0
    if not math.isfinite(shift):
        return np.nan, 0.0, 1.0
    hess = np.zeros((n_coef, n_coef))
    lower = np.zeros((n_coef, n_coef))
    grad = np.zeros(n_coef)
    power = np.zeros(2 * n_coef)
    while True:
        count = 0
        hess[:] = 0.0
        grad[:] = 0.0
        power[:] = 0.0
        for i in range(n):
            if not kept[i]:
                continue
            count += 1
            t = (x[i] - shift) / scale
            p = 1.0
            for k in range(2 * order + 1):
                power[k] += p
                if k < n_coef:
                    grad[k] += p * y[i]
                p *= t
        if count < n_coef:
            return np.nan, shift, scale
        for i in range(n_coef):
            for j in range(i + 1):
                hess[i, j] = power[i + j]
        if not cholesky_solve(hess, n_coef, 0.0, grad, lower, coef):
            return np.nan, shift, scale
        total = 0.0
        for i in range(n):
            if kept[i]:
                t = (x[i] - shift) / scale
                value = coef[order]
                for k in range(order - 1, -1, -1):
                    value = value * t + coef[k]
                total += (y[i] - value) ** 2
        rms = math.sqrt(total / count)
        if rms == 0.0:
            rms = _TINY
        limit = k_sigma * rms
        left = count
        for i in range(n):
            if kept[i]:
                t = (x[i] - shift) / scale
                value = coef[order]
                for k in range(order - 1, -1, -1):
                    value = value * t + coef[k]
                if not abs(y[i] - value) < limit:
                    kept[i] = False
                    left -= 1
        if left == count:
            return rms, shift, scale
        if left == 0:
            return np.nan, shift, scale


def iterate_fit(x: ArrayLike, y: ArrayLike, order: int, k_sigma: float) -> IteratedFit:
    """Fit a polynomial ``y(x)`` and drop deviant points until none is left.

    Parameters
    ----------
    x, y : array_like (n,)
        Points; non-finite ones are left out.
    order : int
        Degree, 0 to `MAX_ORDER`.
    k_sigma : float
        A point is dropped if its residual is at least this many rms.

    Returns
    -------
    IteratedFit

    Raises
    ------
    DataError
        If fewer points than coefficients are left, or the order is not supported.
    """
    if not 0 <= order <= MAX_ORDER:
        raise DataError(f"polynomial order {order} is not between 0 and {MAX_ORDER}")
    xs = np.ascontiguousarray(x, dtype=np.float64)
    ys = np.ascontiguousarray(y, dtype=np.float64)
    kept = np.ones(xs.size, dtype=np.bool_)
    coef = np.zeros(order + 1)
    rms, shift, scale = iterate_fit_kernel(xs, ys, xs.size, order, float(k_sigma), kept, coef)
    if math.isnan(rms):
        raise DataError(f"{int(kept.sum())} of {xs.size} points are too few for a polynomial of order {order}")
    return IteratedFit(coefficients=coef, shift=shift, scale=scale, kept=kept, rms=rms)
