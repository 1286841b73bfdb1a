"""A vertical overscan strip becomes a polynomial: the bias level of a port as a function of the raw row.

All pixels are fitted, but by way of row means, which gives the same solution at no cost. Rows are raw FITS rows
(1-based, scans included), levels in adu.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

from core.ccd.overscan import OverscanMethod
from core.errors import DataError

__all__ = ["VerticalPolynomial", "fit_vertical_overscan"]


@dataclass(frozen=True)
class VerticalPolynomial:
    """Bias level of a port as a function of the raw row.

    Attributes
    ----------
    legendre : tuple of float
        Legendre coefficients on ``domain`` [adu].
    domain : tuple of float
        First and last raw FITS row of the fit.
    rms : float
        Scatter of the kept pixels about it [adu].
    n_rejected : int
        Number of pixels rejected by the fit.
    """

    legendre: tuple[float, ...]
    domain: tuple[float, float]
    rms: float
    n_rejected: int

    @property
    def order(self) -> int:
        """Order of the polynomial."""
        return len(self.legendre) - 1

    def evaluate(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Level [adu] at raw FITS rows."""
        return np.asarray(np.polynomial.Legendre(self.legendre, domain=self.domain)(rows), dtype=np.float64)

    @property
    def coefficients(self) -> tuple[float, ...]:
        """Coefficients of the plain powers of the raw FITS row, as they are stored in headers."""
        # Exact arithmetic: terms of high order cancel each other in all digits of a float.
        low, high = (Fraction(limit) for limit in self.domain)
        scale, offset = 2 / (high - low), -(high + low) / (high - low)
        before, current = [Fraction(0)], [Fraction(1)]
        total = [Fraction(0)] * len(self.legendre)
        for degree, coefficient in enumerate(self.legendre):
            for power, value in enumerate(current):
                total[power] += Fraction(coefficient) * value
            # (k+1) P(k+1) = (2k+1) t P(k) - k P(k-1) with t = scale y + offset
            following = [Fraction(0)] * (len(current) + 1)
            for power, value in enumerate(current):
                following[power] += (2 * degree + 1) * offset * value
                following[power + 1] += (2 * degree + 1) * scale * value
            for power, value in enumerate(before):
                following[power] -= degree * value
            before, current = current, [value / (degree + 1) for value in following]
        return tuple(float(value) for value in total)


@njit(cache=True, nogil=True)
def _row_sums(strip, bad, count, mean, low, high):  # type: ignore[no-untyped-def]
    """Per row: number, mean and extremes of the good pixels; returns the sum of squares about the row means."""
    within = 0.0
    for y in range(strip.shape[0]):
        n = 0
        total = 0.0
        lowest = np.inf
        highest = -np.inf
        for x in range(strip.shape[1]):
            if bad[y, x]:
                continue
            value = np.float64(strip[y, x])
            n += 1
            total += value
            lowest = min(lowest, value)
            highest = max(highest, value)
        count[y] = n
        low[y] = lowest
        high[y] = highest
        mean[y] = total / n if n > 0 else 0.0
        for x in range(strip.shape[1]):
            if not bad[y, x]:
                d = np.float64(strip[y, x]) - mean[y]
                within += d * d
    return within


@lru_cache(maxsize=256)
def _unweighted_basis(n: int, order: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    q, r = np.linalg.qr(np.polynomial.legendre.legvander(np.linspace(-1.0, 1.0, n), order))
    return np.asarray(q, np.float64), np.asarray(r, np.float64)


class _StripFit:
    """Weighted least squares of row means: the same solution as fitting every pixel."""

    def __init__(self, strip: NDArray[np.float32], bad: NDArray[np.bool_], first_row: int) -> None:
        ny = strip.shape[0]
        self.strip, self.bad = strip, bad
        self.rows = np.arange(first_row, first_row + ny, dtype=np.float64)
        self.domain = (self.rows[0], max(self.rows[-1], self.rows[0] + 1.0))
        self.count = np.empty(ny, dtype=np.float64)
        self.mean, self.low, self.high = np.empty(ny), np.empty(ny), np.empty(ny)
        self.recount()

    def recount(self) -> None:
        self.within = float(_row_sums(self.strip, self.bad, self.count, self.mean, self.low, self.high))
        self.n = int(self.count.sum())

    def basis(self, order: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        q, r = _unweighted_basis(self.rows.size, order)
        if np.all(self.count == self.count[0]):
            return q, r * np.sqrt(self.count[0])
        weighted, triangle = np.linalg.qr(q * np.sqrt(self.count)[:, None])
        return np.asarray(weighted, np.float64), np.asarray(triangle @ r, np.float64)

    def choose_order(self, method: OverscanMethod) -> int:
        highest = min(method.order, int(np.count_nonzero(self.count)) - 1)
        q, _ = self.basis(highest)
        residual = np.sqrt(self.count) * (self.mean - np.average(self.mean, weights=self.count))
        tiny = float(np.finfo(np.float64).tiny)
        previous: tuple[float, float] | None = None
        for order in range(highest + 1):
            residual -= q[:, order] * (q[:, order] @ residual)
            rss = self.within + float(residual @ residual)
            rms = max(float(np.sqrt(rss / self.n)), tiny)
            chi = max(rss / max(self.n - order - 1, 1), tiny)
            if previous and previous[0] / rms < method.frms and previous[1] / chi < method.fchisq:
                return order
            previous = (rms, chi)
        return highest

    def solve(self, order: int) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
        q, r = self.basis(order)
        coefficients = np.asarray(np.linalg.solve(r, q.T @ (np.sqrt(self.count) * self.mean)), np.float64)
        model = np.asarray(np.polynomial.Legendre(coefficients, domain=self.domain)(self.rows), np.float64)
        rss = self.within + float(np.sum(self.count * (self.mean - model) ** 2))
        return coefficients, model, max(float(np.sqrt(rss / self.n)), float(np.finfo(np.float64).tiny))


def fit_vertical_overscan(
    strip: NDArray[np.float32],
    dq: NDArray[np.int32],
    first_row: int,
    method: OverscanMethod,
    nsigma: float,
) -> VerticalPolynomial:
    """Fit the vertical overscan of a port by a polynomial of the raw row.

    The order is raised until the fit no longer improves (``frms``, ``fchisq``); the order at which that is noticed is
    taken, as in the reference. Pixels further than ``nsigma`` rms from the fit of that order are then rejected
    iteratively.

    Parameters
    ----------
    strip : ndarray, float32, shape (ny, nx)
        Vertical overscan strip [adu].
    dq : ndarray, int32, shape (ny, nx)
        Flagged pixels are left out.
    first_row : int
        Raw FITS row of the first row of the strip.
    method : OverscanMethod
    nsigma : float

    Raises
    ------
    DataError
        If no good pixels are left.
    """
    bad = dq != 0
    rejected = -int(np.count_nonzero(bad))
    fit = _StripFit(strip, bad, first_row)
    if fit.n == 0:
        raise DataError("the vertical overscan has no good pixels")
    order = fit.choose_order(method)
    while True:
        coefficients, model, rms = fit.solve(order)
        limit = nsigma * rms
        reach = np.maximum(fit.high - model, model - fit.low)  # -inf where a row has no good pixel
        beyond = reach >= limit
        if not np.any(beyond):
            break
        bad[beyond] |= ~(np.abs(strip[beyond] - model[beyond, None]) < limit)
        fit.recount()
        if np.count_nonzero(fit.count) <= order:
            raise DataError(
                f"ovscsigma={nsigma:g} rejects nearly all pixels of the vertical overscan", parameter="ovscsigma"
            )
    rejected += int(np.count_nonzero(bad))
    return VerticalPolynomial(tuple(float(c) for c in coefficients), fit.domain, rms, rejected)
