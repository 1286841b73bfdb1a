"""One emission line: a Gaussian on a constant background, fitted to a few samples.

The data become centre, width, area and background of the line with their covariance. The minimiser is a
Levenberg-Marquardt search with analytic derivatives, compiled, without allocation, so that the hundreds of
thousands of fits of a wavelength calibration take about a second.

Model: ``area / sqrt(2 pi sigma^2) * exp(-(x - center)^2 / (2 sigma^2)) + offset``. Start values of free parameters
always come from the data (percentiles of the running sum above the background), never from the caller.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from core.errors import DataError
from core.lanes import LANES, fma, load, padded, smaller, spread, total

__all__ = [
    "CONVERGED",
    "NOT_CONVERGED",
    "NO_DATA",
    "SINGULAR",
    "GaussFit",
    "fit_gaussian",
    "gauss_lm",
]

CONVERGED: Final = 0
NOT_CONVERGED: Final = 1
SINGULAR: Final = 2
NO_DATA: Final = 3

STATUS_TEXT: Final = {
    CONVERGED: "converged",
    NOT_CONVERGED: "not converged",
    SINGULAR: "singular curvature matrix",
    NO_DATA: "too few usable samples",
}

MAX_ITERATIONS: Final = 1000
_DAMPING_START: Final = 1e-3
_DAMPING_DOWN: Final = 10.0
_DAMPING_UP: Final = 9.0
_TOLERANCE: Final = 0.01  # relative change of chi^2 that counts as "no change"
_TOLERANCE_REPEAT: Final = 5  # ... this many times in a row
_TOLERANCE_DONE: Final = 1e-7  # a quadratically converging search need not repeat itself
_SQRT_2PI: Final = math.sqrt(2.0 * math.pi)
_QUARTILE: Final = 0.6744  # of a unit Gaussian
_EXP_LIMIT: Final = 40.0  # exp(-40) is nothing
_E2, _E3, _E4, _E5, _E6, _E7, _E8, _E9, _E10, _E11, _E12 = (1.0 / math.factorial(k) for k in range(2, 13))


@dataclass(frozen=True)
class GaussFit:
    """A fitted line.

    Attributes
    ----------
    center, sigma : float
        In units of ``x``.
    area : float
        In units of ``x`` times ``y``.
    offset : float
        Constant background, in units of ``y``.
    covariance : ndarray (4, 4)
        Of center, sigma, area, offset: inverse curvature of chi^2, not scaled by its reduced value; zero rows for
        frozen parameters; NaN if the fit has none.
    mse : float
        Mean squared residual, in units of ``y^2``.
    status : int
        `CONVERGED`, `NOT_CONVERGED`, `SINGULAR` or `NO_DATA`.
    """

    center: float
    sigma: float
    area: float
    offset: float
    covariance: NDArray[np.float64]
    mse: float
    status: int

    @property
    def center_error(self) -> float:
        """One-sigma error of the centre, in units of ``x`` (NaN without covariance)."""
        return math.sqrt(self.covariance[0, 0]) if self.covariance[0, 0] >= 0 else math.nan


@njit(cache=True, nogil=True)
def cholesky_back(lower, n, rhs, out):  # type: ignore[no-untyped-def]
    """Solve ``lower lower^T out = rhs``."""
    for i in range(n):
        total = rhs[i]
        for k in range(i):
            total -= lower[i, k] * out[k]
        out[i] = total / lower[i, i]
    for i in range(n - 1, -1, -1):
        total = out[i]
        for k in range(i + 1, n):
            total -= lower[k, i] * out[k]
        out[i] = total / lower[i, i]


@njit(cache=True, nogil=True)
def cholesky_solve(matrix, n, damping, rhs, lower, out):  # type: ignore[no-untyped-def]
    """Solve ``(matrix + damping * diag(matrix)) out = rhs``; False if not positive definite."""
    for i in range(n):
        for j in range(i + 1):
            total = matrix[i, j]
            if i == j:
                total += damping * matrix[i, i]
            for k in range(j):
                total -= lower[i, k] * lower[j, k]
            if i == j:
                # relative test: what is left of a diagonal element after elimination must exceed rounding
                if not total > 1e-15 * matrix[i, i]:
                    return False
                lower[i, i] = math.sqrt(total)
            else:
                lower[i, j] = total / lower[j, j]
    cholesky_back(lower, n, rhs, out)
    return True


@njit(cache=True, nogil=True)
def _estimate(x, y, w, n, free_sigma, free_offset, par, buf):  # type: ignore[no-untyped-def]
    """Start values from the data; returns the number of usable samples."""
    m = 0
    peak = -np.inf
    mean_x = 0.0
    for i in range(n):
        if w[i] <= 0.0:
            continue
        v = y[i]
        mean_x += x[i]
        peak = max(peak, v)
        if free_offset:
            k = m  # insertion sort; windows with a free background are short
            while k > 0 and buf[k - 1] > v:
                buf[k] = buf[k - 1]
                k -= 1
            buf[k] = v
        m += 1
    if m == 0:
        return 0
    mean_x /= m
    if free_offset:
        par[3] = buf[m // 4]
    offset = par[3]
    total = 0.0
    for i in range(n):
        if w[i] > 0.0:
            total += y[i] - offset
    q25, q50, q75 = mean_x - 0.5, mean_x, mean_x + 0.5
    if total > 0.0:
        running = 0.0
        last_x = x[0]
        found = 0
        for i in range(n):
            if w[i] <= 0.0:
                continue
            before = running
            running += y[i] - offset
            while found < 3 and running >= 0.25 * (found + 1) * total:
                step = running - before
                frac = (0.25 * (found + 1) * total - before) / step if step > 0.0 else 1.0
                pos = last_x + (x[i] - last_x) * frac + (0.5 if i > 0 else 0.0) * (x[i] - last_x)
                if found == 0:
                    q25 = pos
                elif found == 1:
                    q50 = pos
                else:
                    q75 = pos
                found += 1
            last_x = x[i]
    par[0] = q50
    if free_sigma:
        par[1] = (q75 - q25) / (2.0 * _QUARTILE)
        if not par[1] > 0.0:
            par[1] = 1.0
    par[2] = (peak - offset) * _SQRT_2PI * par[1]
    if not par[2] > 0.0:
        par[2] = 1.0
    return m


@njit(cache=True, nogil=True)
def _curvature(x, y, w, n, free_sigma, free_offset, par, hess, grad):  # type: ignore[no-untyped-def]
    """Chi^2 of the model, half its gradient (downhill) and its curvature matrix (lower triangle).

    One branch-free loop of vector instructions: the exponential is (Taylor series of z / 64) ^ 64, exact to 2e-11, and
    sums run in lanes, so that their rounding is defined.
    """
    center, sigma, area, offset = par[0], par[1], par[2], par[3]
    inv = 1.0 / sigma
    norm = 1.0 / (_SQRT_2PI * abs(sigma))
    scale = area * inv
    none, one, limit = spread(0.0), spread(1.0), spread(_EXP_LIMIT)
    chi2 = h00 = h10 = h11 = h20 = h21 = h22 = h30 = h31 = h32 = h33 = g0 = g1 = g2 = g3 = none
    for i in range(0, n, LANES):
        t = (load(x, i) - center) * inv
        z = smaller(t * t * 0.5, limit) * (-1.0 / 64.0)
        p = fma(z, _E12, _E11)
        p = fma(z, p, _E10)
        p = fma(z, p, _E9)
        p = fma(z, p, _E8)
        p = fma(z, p, _E7)
        p = fma(z, p, _E6)
        p = fma(z, p, _E5)
        p = fma(z, p, _E4)
        p = fma(z, p, _E3)
        p = fma(z, p, _E2)
        p = fma(z, p, one)
        p = fma(z, p, one)
        p = p * p
        p = p * p
        p = p * p
        p = p * p
        p = p * p
        e = p * p * norm
        wi = load(w, i)
        r = load(y, i) - fma(e, area, offset)
        ae = e * scale
        d0 = ae * t
        d1 = ae * fma(t, t, -1.0)
        wr = wi * r
        chi2 = fma(wr, r, chi2)
        w0 = wi * d0
        w1 = wi * d1
        we = wi * e
        h00 = fma(w0, d0, h00)
        h10 = fma(w0, d1, h10)
        h11 = fma(w1, d1, h11)
        h20 = fma(w0, e, h20)
        h21 = fma(w1, e, h21)
        h22 = fma(we, e, h22)
        h30 = h30 + w0
        h31 = h31 + w1
        h32 = h32 + we
        h33 = h33 + wi
        g0 = fma(wr, d0, g0)
        g1 = fma(wr, d1, g1)
        g2 = fma(wr, e, g2)
        g3 = g3 + wr
    hess[0, 0] = total(h00)
    hess[1, 0] = total(h10) if free_sigma else 0.0
    hess[1, 1] = total(h11) if free_sigma else 1.0
    hess[2, 0] = total(h20)
    hess[2, 1] = total(h21) if free_sigma else 0.0
    hess[2, 2] = total(h22)
    hess[3, 0] = total(h30) if free_offset else 0.0
    hess[3, 1] = total(h31) if free_sigma and free_offset else 0.0
    hess[3, 2] = total(h32) if free_offset else 0.0
    hess[3, 3] = total(h33) if free_offset else 1.0
    grad[0] = total(g0)
    grad[1] = total(g1) if free_sigma else 0.0
    grad[2] = total(g2)
    grad[3] = total(g3) if free_offset else 0.0
    return total(chi2)


@njit(cache=True, nogil=True)
def gauss_lm(x, y, w, n, free_sigma, free_offset, warm, par, cov, work):  # type: ignore[no-untyped-def]
    """Fit one Gaussian; compiled, to be called from compiled loops.

    Parameters
    ----------
    x, y, w : float64 arrays, at least ``n`` long
        Positions, values, weights (1 / variance); samples of weight 0 are left out (but must be finite).
    n : int
        Number of samples, a multiple of `LANES`: padded with samples of weight 0.
    free_sigma, free_offset : bool
        Whether the width and the background are free; else ``par[1]``, ``par[3]`` are kept.
    warm : bool
        Start from ``par`` (the result next door) instead of estimates from the data.
    par : float64 array (4,)
        Out: center, sigma, area, offset.
    cov : float64 array (4, 4)
        Out: covariance in this order; only written if the status is `CONVERGED`.
    work : float64 array, at least ``n + 64`` long
        Scratch space.

    Returns
    -------
    int
        Status. Unless it is `CONVERGED`, ``par`` holds its start values.
    """
    used = 0
    if warm:
        for i in range(n):
            if w[i] > 0.0:
                used += 1
    else:
        used = _estimate(x, y, w, n, free_sigma, free_offset, par, work[64:])
    n_free = 2 + (1 if free_sigma else 0) + (1 if free_offset else 0)
    if used < n_free:
        return NO_DATA
    guess0, guess1, guess2, guess3 = par[0], par[1], par[2], par[3]
    hess = work[0:16].reshape(4, 4)
    trial_hess = work[16:32].reshape(4, 4)
    lower = work[32:48].reshape(4, 4)
    grad = work[48:52]
    trial_grad = work[52:56]
    step = work[56:60]
    trial = work[60:64]
    chi2 = _curvature(x, y, w, n, free_sigma, free_offset, par, hess, grad)
    damping = _DAMPING_START
    quiet = 0
    status = NOT_CONVERGED
    for _ in range(MAX_ITERATIONS):
        if not cholesky_solve(hess, 4, damping, grad, lower, step):
            status = SINGULAR
            break
        for k in range(4):
            trial[k] = par[k] + step[k]
        new = np.inf
        if trial[1] != 0.0:
            new = _curvature(x, y, w, n, free_sigma, free_offset, trial, trial_hess, trial_grad)
        change = abs(new - chi2)
        if change <= _TOLERANCE * chi2:
            quiet += 1
        else:
            quiet = 0
        if new < chi2:
            chi2 = new
            damping /= _DAMPING_DOWN
            for k in range(4):
                par[k] = trial[k]
                grad[k] = trial_grad[k]
                for j in range(4):
                    hess[k, j] = trial_hess[k, j]
        else:
            damping *= _DAMPING_UP
        if quiet >= _TOLERANCE_REPEAT or change <= _TOLERANCE_DONE * chi2:
            status = CONVERGED
            break
    if status == CONVERGED:
        # inverse of the curvature, column by column
        if cholesky_solve(hess, 4, 0.0, grad, lower, step):
            for j in range(4):
                for k in range(4):
                    grad[k] = 1.0 if k == j else 0.0
                cholesky_back(lower, 4, grad, step)
                for k in range(4):
                    cov[k, j] = step[k]
        else:
            status = SINGULAR
        if not free_sigma:
            cov[1, 1] = 0.0
        if not free_offset:
            cov[3, 3] = 0.0
        par[1] = abs(par[1])
    if status != CONVERGED:
        par[0], par[1], par[2], par[3] = guess0, guess1, guess2, guess3
    return status


def fit_gaussian(
    x: ArrayLike,
    y: ArrayLike,
    variance: ArrayLike | None = None,
    *,
    sigma: float | None = None,
    offset: float | None = None,
) -> GaussFit:
    """Fit a Gaussian to samples.

    Parameters
    ----------
    x, y : array_like (n,)
        Ascending positions and values.
    variance : array_like (n,), optional
        Variances of ``y``; samples with a variance that is not positive are left out. Default 1.
    sigma, offset : float, optional
        Freeze width or background at this value.

    Returns
    -------
    GaussFit

    Raises
    ------
    DataError
        If the arrays differ in length or are empty.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.arange(13.0)
    >>> y = 5 + 100 / np.sqrt(2 * np.pi) * np.exp(-0.5 * (x - 6.3) ** 2)
    >>> round(fit_gaussian(x, y).center, 6)
    6.3
    """
    xs = np.ascontiguousarray(x, dtype=np.float64)
    ys = np.ascontiguousarray(y, dtype=np.float64)
    var = np.ones_like(ys) if variance is None else np.ascontiguousarray(variance, dtype=np.float64)
    if xs.ndim != 1 or xs.shape != ys.shape or xs.shape != var.shape or xs.size == 0:
        raise DataError(f"cannot fit a line to arrays of shapes {xs.shape}, {ys.shape}, {var.shape}")
    good = (var > 0) & np.isfinite(ys) & np.isfinite(var)
    weight = np.divide(1.0, var, out=np.zeros_like(var), where=good)
    par = np.array([0.0, 1.0 if sigma is None else sigma, 0.0, 0.0 if offset is None else offset])
    cov = np.full((4, 4), np.nan)
    shift = float(xs.mean())
    xs = xs - shift  # keeps the squares small
    ys = np.where(good, ys, 0.0)
    n = padded(xs.size)
    samples = (np.pad(values, (0, n - values.size)) for values in (xs, ys, weight))
    status = int(gauss_lm(*samples, n, sigma is None, offset is None, False, par, cov, np.empty(n + 64)))
    if status != CONVERGED:
        cov[:] = np.nan
    model = par[3] + par[2] / (_SQRT_2PI * par[1]) * np.exp(-0.5 * ((xs - par[0]) / par[1]) ** 2)
    mse = float(np.mean((ys - model)[good] ** 2)) if good.any() else math.nan
    return GaussFit(
        center=float(par[0] + shift),
        sigma=float(par[1]),
        area=float(par[2]),
        offset=float(par[3]),
        covariance=cov,
        mse=mse,
        status=status,
    )
