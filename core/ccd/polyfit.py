"""Points become polynomials: least squares in one variable, with iterative rejection.

Fits run in float64 on coordinates scaled to -1..1 (a well conditioned basis) and are given back in plain powers
of the unscaled coordinate, which is how the tables of MUSE store them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from core.errors import DataError

__all__ = ["PolynomialFit", "evaluate_polynomial", "fit_polynomial"]

FloatArray: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PolynomialFit:
    """Result of a polynomial fit.

    Attributes
    ----------
    coefficients : ndarray of float64, shape (order + 1,)
        Ascending plain powers of the unscaled coordinate.
    mse : float
        Mean squared residual of the last fit.
    chi_square : float
        Sum of squared residuals over (points - coefficients); infinite where there are no spare points.
    kept : ndarray of bool
        Which of the given points the last fit used.
    """

    coefficients: FloatArray
    mse: float
    chi_square: float
    kept: npt.NDArray[np.bool_]


def evaluate_polynomial(coefficients: npt.ArrayLike, x: npt.ArrayLike) -> FloatArray:
    """Value of a polynomial given in ascending powers at ``x``, float64, shape of ``x``."""
    positions = np.asarray(x, dtype=np.float64)
    result = np.zeros_like(positions)
    for coefficient in np.asarray(coefficients, dtype=np.float64)[::-1]:
        result = result * positions + coefficient
    return result


def fit_polynomial(x: npt.ArrayLike, y: npt.ArrayLike, order: int, sigma: float | None = None) -> PolynomialFit:
    """Fit ``y(x)``, and with ``sigma`` reject points at ``sigma`` times the rms and more until none is left out.

    Parameters
    ----------
    x, y : array_like of float, shape (n,)
        Points; those that are not finite are left out from the start.
    order : int
        Order of the polynomial.
    sigma : float, optional
        Rejection limit in units of the rms of the residuals. None: no rejection.

    Raises
    ------
    DataError
        If fewer than ``order + 1`` points are there, or are left after rejection.
    """
    xs = np.asarray(x, dtype=np.float64)
    ys = np.asarray(y, dtype=np.float64)
    kept = np.isfinite(xs) & np.isfinite(ys)
    while True:
        n = int(np.count_nonzero(kept))
        if n <= order:
            raise DataError(f"{n} points left, a polynomial of order {order} needs {order + 1}")
        coefficients, residuals = _least_squares(xs[kept], ys[kept], order)
        squares = float(np.dot(residuals, residuals))
        # The smallest normal number instead of zero: a perfect fit drops no point that lies on it.
        rms = max(np.sqrt(squares / n), np.finfo(np.float64).tiny)
        good = np.ones(n, dtype=np.bool_) if sigma is None else np.abs(residuals) < sigma * rms
        if good.all():
            spare = n - order - 1
            return PolynomialFit(coefficients, rms * rms, squares / spare if spare > 0 else float("inf"), kept)
        kept[np.flatnonzero(kept)[~good]] = False


def _least_squares(x: FloatArray, y: FloatArray, order: int) -> tuple[FloatArray, FloatArray]:
    low, high = float(x.min()), float(x.max())
    center, half = (high + low) / 2, max((high - low) / 2, np.finfo(np.float64).tiny)
    basis = np.polynomial.legendre.legvander((x - center) / half, order)
    scaled, _, rank, _ = np.linalg.lstsq(basis, y, rcond=None)
    if rank <= order:
        raise DataError(f"the points have too few different positions for a polynomial of order {order}")
    residuals = y - basis @ scaled
    return _unscale(np.polynomial.legendre.leg2poly(scaled), center, half), residuals


def _unscale(scaled: FloatArray, center: float, half: float) -> FloatArray:
    """Powers of x from powers of (x - center) / half, by Horner's scheme on polynomials."""
    coefficients = np.zeros_like(scaled)
    for value in scaled[::-1]:
        # multiply by (x - center) / half, then add the next coefficient
        shifted = np.concatenate(([0.0], coefficients[:-1]))
        coefficients = (shifted - center * coefficients) / half
        coefficients[0] += value
    return coefficients
