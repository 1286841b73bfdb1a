"""Several blended lines at once: Gaussians of a common width on a sloping background.

Same minimiser as for single lines (`core.spectral.linefit`). The order of the parameters is: background ``c0``,
``c1`` (``c0 + c1 * x``), common sigma, centres, areas. Each line only reaches a few sigma, so derivatives and
curvature are only computed there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from core.errors import DataError
from core.spectral.linefit import (
    CONVERGED,
    MAX_ITERATIONS,
    NO_DATA,
    NOT_CONVERGED,
    SINGULAR,
    cholesky_back,
    cholesky_solve,
)

__all__ = ["MultiGaussFit", "fit_multigauss", "multi_lm", "multi_work_size"]

_SQRT_2PI: Final = math.sqrt(2.0 * math.pi)
_REACH: Final = 9.0  # exp(-0.5 * 9^2) is far below any rounding
_DAMPING_START: Final = 1e-3
_DAMPING_DOWN: Final = 10.0
_DAMPING_UP: Final = 9.0
_TOLERANCE: Final = 0.01
_TOLERANCE_REPEAT: Final = 5
_TOLERANCE_DONE: Final = 1e-7


@dataclass(frozen=True)
class MultiGaussFit:
    """A fitted multiplet.

    Attributes
    ----------
    centers, areas : ndarray (n_lines,)
    sigma : float
        Common width.
    background : tuple of float
        ``c0, c1`` of ``c0 + c1 * x``.
    covariance : ndarray (3 + 2 n_lines, 3 + 2 n_lines)
        Order c0, c1, sigma, centres, areas; zero rows for frozen parameters; NaN if the fit has none.
    mse : float
        Mean squared residual.
    status : int
        As in `core.spectral.linefit`.
    """

    centers: NDArray[np.float64]
    areas: NDArray[np.float64]
    sigma: float
    background: tuple[float, float]
    covariance: NDArray[np.float64]
    mse: float
    status: int


def multi_work_size(n_lines: int) -> int:
    """Length of the scratch array of `multi_lm` for a number of lines."""
    n = 3 + 2 * n_lines
    return 3 * n * n + 4 * n + 2 * n_lines


@njit(cache=True, nogil=True)
def _curvature(x, y, w, n, m, free_bg, free_sigma, par, hess, grad, e, d):  # type: ignore[no-untyped-def]
    """Chi^2, downhill half gradient and curvature (lower triangle)."""
    npar = 3 + 2 * m
    hess[:] = 0.0
    grad[:] = 0.0
    chi2 = 0.0
    sigma = par[2]
    inv = 1.0 / sigma
    norm = 1.0 / (_SQRT_2PI * abs(sigma))
    for i in range(n):
        wi = w[i]
        if wi <= 0.0:
            continue
        model = par[0] + par[1] * x[i]
        first, last = m, -1  # lines that reach this sample (centres need not be sorted)
        ds = 0.0
        for j in range(m):
            t = (x[i] - par[3 + j]) * inv
            if abs(t) > _REACH:
                e[j] = 0.0
                d[j] = 0.0
                continue
            first = min(first, j)
            last = j
            e[j] = norm * math.exp(-0.5 * t * t)
            ae = par[3 + m + j] * e[j]
            model += ae
            d[j] = ae * inv * t
            ds += ae * inv * (t * t - 1.0)
        r = y[i] - model
        wr = wi * r
        chi2 += wr * r
        if free_bg:
            grad[0] += wr
            grad[1] += wr * x[i]
            hess[0, 0] += wi
            hess[1, 0] += wi * x[i]
            hess[1, 1] += wi * x[i] * x[i]
        if free_sigma:
            grad[2] += wr * ds
            hess[2, 2] += wi * ds * ds
            if free_bg:
                hess[2, 0] += wi * ds
                hess[2, 1] += wi * ds * x[i]
        for j in range(first, last + 1):
            if e[j] == 0.0:
                continue
            c, f = 3 + j, 3 + m + j
            wd, we = wi * d[j], wi * e[j]
            grad[c] += wr * d[j]
            grad[f] += wr * e[j]
            if free_bg:
                hess[c, 0] += wd
                hess[f, 0] += we
                hess[c, 1] += wd * x[i]
                hess[f, 1] += we * x[i]
            if free_sigma:
                hess[c, 2] += wd * ds
                hess[f, 2] += we * ds
            for k in range(first, last + 1):
                if k <= j:
                    hess[c, 3 + k] += wd * d[k]
                    hess[f, 3 + m + k] += we * e[k]
                hess[f, 3 + k] += we * d[k]
    if not free_bg:
        hess[0, 0] = 1.0
        hess[1, 1] = 1.0
    if not free_sigma:
        hess[2, 2] = 1.0
    for k in range(3, npar):
        if hess[k, k] == 0.0:  # a line without any sample in reach: singular
            return np.inf
    return chi2


@njit(cache=True, nogil=True)
def multi_lm(x, y, w, n, m, free_bg, free_sigma, par, cov, work):  # type: ignore[no-untyped-def]
    """Fit a multiplet; compiled.

    Parameters
    ----------
    x, y, w : float64 arrays, at least ``n`` long
        Positions (best near zero), values, weights; samples of weight 0 are left out.
    n, m : int
        Numbers of samples and of lines.
    free_bg, free_sigma : bool
    par : float64 array (3 + 2 m,)
        In: start values; out: result (unchanged unless converged).
    cov : float64 array (3 + 2 m, 3 + 2 m)
        Out: covariance.
    work : float64 array (`multi_work_size`,)

    Returns
    -------
    int
        Status.
    """
    npar = 3 + 2 * m
    sq = npar * npar
    hess = work[0:sq].reshape(npar, npar)
    trial_hess = work[sq : 2 * sq].reshape(npar, npar)
    lower = work[2 * sq : 3 * sq].reshape(npar, npar)
    k0 = 3 * sq
    grad = work[k0 : k0 + npar]
    trial_grad = work[k0 + npar : k0 + 2 * npar]
    step = work[k0 + 2 * npar : k0 + 3 * npar]
    trial = work[k0 + 3 * npar : k0 + 4 * npar]
    e = work[k0 + 4 * npar : k0 + 4 * npar + m]
    d = work[k0 + 4 * npar + m : k0 + 4 * npar + 2 * m]
    used = 0
    for i in range(n):
        if w[i] > 0.0:
            used += 1
    if used < 2 * m + (2 if free_bg else 0) + (1 if free_sigma else 0):
        return NO_DATA
    for k in range(npar):  # remember the start in the covariance, which is written last
        cov[0, k] = par[k]
    chi2 = _curvature(x, y, w, n, m, free_bg, free_sigma, par, hess, grad, e, d)
    if not math.isfinite(chi2):
        return SINGULAR
    damping = _DAMPING_START
    quiet = 0
    status = NOT_CONVERGED
    for _ in range(MAX_ITERATIONS):
        if not cholesky_solve(hess, npar, damping, grad, lower, step):
            status = SINGULAR
            break
        for k in range(npar):
            trial[k] = par[k] + step[k]
        new = np.inf
        if trial[2] != 0.0:
            new = _curvature(x, y, w, n, m, free_bg, free_sigma, trial, trial_hess, trial_grad, e, d)
        change = abs(new - chi2)
        quiet = quiet + 1 if change <= _TOLERANCE * chi2 else 0
        if new < chi2:
            chi2 = new
            damping /= _DAMPING_DOWN
            for k in range(npar):
                par[k] = trial[k]
                grad[k] = trial_grad[k]
                for j in range(k + 1):
                    hess[k, j] = trial_hess[k, j]
        else:
            damping *= _DAMPING_UP
        if quiet >= _TOLERANCE_REPEAT or change <= _TOLERANCE_DONE * chi2:
            status = CONVERGED
            break
    if status != CONVERGED:
        for k in range(npar):
            par[k] = cov[0, k]
        return status
    if not cholesky_solve(hess, npar, 0.0, grad, lower, step):
        return SINGULAR
    for j in range(npar):
        for k in range(npar):
            grad[k] = 1.0 if k == j else 0.0
        cholesky_back(lower, npar, grad, step)
        for k in range(npar):
            cov[k, j] = step[k]
    if not free_bg:
        cov[0, 0] = 0.0
        cov[1, 1] = 0.0
    if not free_sigma:
        cov[2, 2] = 0.0
    par[2] = abs(par[2])
    return CONVERGED


def fit_multigauss(
    x: ArrayLike,
    y: ArrayLike,
    variance: ArrayLike | None,
    centers: ArrayLike,
    areas: ArrayLike | None = None,
    *,
    sigma: float = 1.0,
    freeze_sigma: bool = False,
    background: tuple[float, float] | None = (0.0, 0.0),
) -> MultiGaussFit:
    """Fit several Gaussians of one width.

    Parameters
    ----------
    x, y : array_like (n,)
        Positions and values.
    variance : array_like (n,) or None
        Variances; samples whose variance is not positive are left out. None means 1.
    centers : array_like (m,)
        Start values.
    areas : array_like (m,), optional
        Start values; default: from the data nearest to the centres.
    sigma : float
        Start value of the common width.
    freeze_sigma : bool
        Keep the width.
    background : tuple of float, optional
        Start values of ``c0`` and ``c1``; None means that there is no background.

    Returns
    -------
    MultiGaussFit

    Raises
    ------
    DataError
        If arrays differ in length or are empty.
    """
    xs = np.ascontiguousarray(x, dtype=np.float64)
    ys = np.ascontiguousarray(y, dtype=np.float64)
    var = np.ones_like(ys) if variance is None else np.ascontiguousarray(variance, dtype=np.float64)
    start = np.atleast_1d(np.asarray(centers, dtype=np.float64))
    if xs.ndim != 1 or xs.shape != ys.shape or xs.shape != var.shape or xs.size == 0 or start.size == 0:
        raise DataError(f"cannot fit {start.size} lines to arrays of shapes {xs.shape}, {ys.shape}, {var.shape}")
    m = start.size
    free_bg = background is not None
    c0, c1 = background if background is not None else (0.0, 0.0)
    if areas is None:
        near = np.abs(xs[:, None] - start[None, :]).argmin(axis=0)
        guess = np.maximum(ys[near] - (c0 + c1 * xs[near]), 1e-3) * _SQRT_2PI * sigma
    else:
        guess = np.atleast_1d(np.asarray(areas, dtype=np.float64))
        if guess.shape != start.shape:
            raise DataError(f"{start.size} centres but {guess.size} areas")
    good = (var > 0) & np.isfinite(ys) & np.isfinite(var)
    weight = np.divide(1.0, var, out=np.zeros_like(var), where=good)
    shift = float(xs.mean())
    par = np.concatenate([[c0 + c1 * shift, c1, sigma], start - shift, guess])
    cov = np.empty((par.size, par.size))
    status = int(
        multi_lm(xs - shift, ys, weight, xs.size, m, free_bg, not freeze_sigma, par, cov, np.empty(multi_work_size(m)))
    )
    if status != CONVERGED:
        cov[:] = np.nan
    t = (xs[:, None] - shift - par[None, 3 : 3 + m]) / par[2]
    model = par[0] + par[1] * (xs - shift) + np.exp(-0.5 * t**2) @ (par[3 + m :] / (_SQRT_2PI * abs(par[2])))
    # the background at x = 0: var(c0 - c1 shift) follows from the linear change of parameters
    jacobian = np.eye(par.size)
    jacobian[0, 1] = -shift
    return MultiGaussFit(
        centers=par[3 : 3 + m] + shift,
        areas=par[3 + m :].copy(),
        sigma=float(par[2]),
        background=(float(par[0] - par[1] * shift), float(par[1])),
        covariance=jacobian @ cov @ jacobian.T,
        mse=float(np.mean((ys - model)[good] ** 2)) if good.any() else math.nan,
        status=status,
    )
