"""From (x, y, wavelength) points to a dispersion solution, and from a solution to wavelengths.

A solution is one polynomial ``lambda(x, y) = sum_ij wlc_ij x^i y^j`` per slice, in plain powers of the 1-based CCD
pixel, as WAVECAL_TABLE stores it (columns ``SliceNo``, ``wlc00`` .. ``wlcIJ``, ``MSE``; the orders are those of the
last coefficient's name). Plain powers of a column number near 4000 are hopelessly conditioned for a fit: the fit is
done in Chebyshev polynomials of centred and scaled coordinates and expanded at the end, in float64. Compare solutions
by their wavelengths, never by their coefficients.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from numba import njit
from numpy.polynomial import chebyshev
from numpy.typing import ArrayLike, NDArray

from core.errors import WavelengthError
from core.spectral.linefit import cholesky_solve

__all__ = ["Dispersion", "FitIteration", "SliceSolution", "fit_dispersion"]

MAX_ORDER: Final = 9  # one digit in the column name
TARGET_RMS: Final = 0.03  # [Angstrom]; a fit this good is not clipped any further
MIN_GAIN: Final = 0.001  # [Angstrom]; an iteration that gains less ends the clipping
_DAMPING_START: Final = 1e-3
_DAMPING_STEP: Final = 10.0
_DAMPING_END: Final = 2.0**-53  # 1 + damping is 1 in double precision
_QUIET_CHANGE: Final = 0.01  # relative change of chi^2 that counts as none ...
_QUIET_STEPS: Final = 5  # ... and ends the search if there is no other so many times in a row
_START_WAVE: Final = 5000.0  # [Angstrom]
_WLC = re.compile(r"wlc(\d)(\d)$")


@dataclass(frozen=True, eq=False)
class Dispersion:
    """Dispersion solutions of the slices of one IFU.

    Attributes
    ----------
    slice_no : ndarray of int32 (n,)
        Slices on the detector, one per row.
    coefficients : ndarray of float64 (n, xorder + 1, yorder + 1)
        ``coefficients[row, i, j]`` belongs to ``x**i * y**j``; NaN where a slice has no solution.
    mse : ndarray of float64 (n,)
        Mean squared residual [Angstrom^2].
    """

    slice_no: NDArray[np.int32]
    coefficients: NDArray[np.float64]
    mse: NDArray[np.float64]

    @classmethod
    def from_columns(cls, columns: Mapping[str, Any]) -> Dispersion:
        """Solutions from the columns of a WAVECAL_TABLE.

        Raises
        ------
        WavelengthError
            If columns are missing.
        """
        names = [match for match in map(_WLC.match, columns) if match]
        missing = [name for name in ("SliceNo", "MSE") if name not in columns]
        if not names or missing:
            raise WavelengthError(f"not a wavelength calibration: no column {', '.join(missing) or 'wlc00'}")
        xorder, yorder = int(names[-1][1]), int(names[-1][2])
        try:
            rows = [[_plain(columns[f"wlc{i}{j}"], np.float64) for j in range(yorder + 1)] for i in range(xorder + 1)]
        except KeyError as error:
            raise WavelengthError(f"not a wavelength calibration: no column {error.args[0]}") from None
        slice_no = _plain(columns["SliceNo"], np.int32)
        # a failed slice has a null row; its number is its place
        slice_no = np.where(slice_no > 0, slice_no, np.arange(1, slice_no.size + 1)).astype(np.int32)
        return cls(
            slice_no=slice_no,
            coefficients=np.moveaxis(np.array(rows), 2, 0).copy(),
            mse=_plain(columns["MSE"], np.float64),
        )

    def columns(self) -> dict[str, NDArray[Any]]:
        """Columns of a WAVECAL_TABLE in their order; failed slices hold NaN."""
        result: dict[str, NDArray[Any]] = {"SliceNo": self.slice_no}
        for i in range(self.xorder + 1):
            for j in range(self.yorder + 1):
                result[f"wlc{i}{j}"] = np.ascontiguousarray(self.coefficients[:, i, j])
        result["MSE"] = self.mse
        return result

    @property
    def xorder(self) -> int:
        """Order in x."""
        return self.coefficients.shape[1] - 1

    @property
    def yorder(self) -> int:
        """Order in y."""
        return self.coefficients.shape[2] - 1

    @cached_property
    def valid(self) -> NDArray[np.bool_]:
        """Whether each row holds a solution."""
        return np.asarray(np.isfinite(self.coefficients).all(axis=(1, 2)), dtype=np.bool_)

    @property
    def valid_slices(self) -> list[int]:
        """Slices that have a solution, ascending."""
        return sorted(int(number) for number in self.slice_no[self.valid])

    def has(self, slice_no: int) -> bool:
        """Whether a slice has a solution."""
        return slice_no in self.valid_slices

    def polynomial(self, slice_no: int) -> NDArray[np.float64]:
        """Coefficients (xorder + 1, yorder + 1) of a slice.

        Raises
        ------
        WavelengthError
            If the slice has no solution.
        """
        row = np.flatnonzero(self.slice_no == slice_no)
        if row.size == 0 or not self.valid[row[0]]:
            raise WavelengthError(f"slice {slice_no} has no wavelength solution", slice=slice_no)
        result: NDArray[np.float64] = self.coefficients[row[0]]
        return result

    def wavelength(self, slice_no: int, x: ArrayLike, y: ArrayLike) -> NDArray[np.float64]:
        """Wavelength in air [Angstrom] at 1-based CCD positions; shape of ``x`` and ``y`` broadcast.

        Raises
        ------
        WavelengthError
            If the slice has no solution.
        """
        return np.asarray(
            np.polynomial.polynomial.polyval2d(*_broadcast(x, y), self.polynomial(slice_no)), dtype=np.float64
        )

    def sampling(self, slice_no: int, x: ArrayLike, y: ArrayLike) -> NDArray[np.float64]:
        """Derivative of the wavelength along y [Angstrom/pix]."""
        derivative = np.polynomial.polynomial.polyder(self.polynomial(slice_no), axis=1)
        return np.asarray(np.polynomial.polynomial.polyval2d(*_broadcast(x, y), derivative), dtype=np.float64)

    def fill_map(
        self, slice_no: int, left: NDArray[np.float64], right: NDArray[np.float64], out: NDArray[np.float32]
    ) -> None:
        """Write the wavelengths of a slice into a map.

        Parameters
        ----------
        slice_no : int
        left, right : ndarray of float64 (ny,)
            Edges of the slice at rows 1 .. ny [pix].
        out : ndarray of float32 (ny, nx)
            Gets the wavelength for ``ceil(left) <= x <= floor(right)``.
        """
        _fill_map(self.polynomial(slice_no), left, right, out)


@dataclass(frozen=True, eq=False)
class FitIteration:
    """One iteration of the final fit: the points that entered it.

    Attributes
    ----------
    points : ndarray of int (n,)
        Indices into the arrays given to the fit.
    residual : ndarray of float64 (n,)
        Catalogue minus fit [Angstrom].
    limit : float
        Rejection limit of this iteration [Angstrom].
    """

    points: NDArray[np.intp]
    residual: NDArray[np.float64]
    limit: float


@dataclass(frozen=True, eq=False)
class SliceSolution:
    """Dispersion solution of one slice.

    Attributes
    ----------
    coefficients : ndarray of float64 (xorder + 1, yorder + 1)
        Of plain powers of x and y.
    mse : float
        Mean squared residual of the last iteration [Angstrom^2].
    n_lines : int
        Different wavelengths left in the last fit.
    iterations : tuple of FitIteration
    """

    coefficients: NDArray[np.float64]
    mse: float
    n_lines: int
    iterations: tuple[FitIteration, ...]

    @property
    def rms(self) -> float:
        """Root of the mean squared residual [Angstrom]."""
        return math.sqrt(self.mse)


@njit(cache=True, nogil=True)
def _normal_equations(u, v, wave, w, index, nx, ny, hess, grad, phi):  # type: ignore[no-untyped-def]
    tx = np.empty(nx)
    ty = np.empty(ny)
    n_coef = nx * ny
    hess[:] = 0.0
    grad[:] = 0.0
    for p in index:
        tx[0] = 1.0
        ty[0] = 1.0
        if nx > 1:
            tx[1] = u[p]
        if ny > 1:
            ty[1] = v[p]
        for i in range(2, nx):
            tx[i] = 2.0 * u[p] * tx[i - 1] - tx[i - 2]
        for j in range(2, ny):
            ty[j] = 2.0 * v[p] * ty[j - 1] - ty[j - 2]
        for i in range(nx):
            for j in range(ny):
                phi[i * ny + j] = tx[i] * ty[j]
        for a in range(n_coef):
            wp = w[p] * phi[a]
            grad[a] += wp * wave[p]
            for b in range(a + 1):
                hess[a, b] += wp * phi[b]


@njit(cache=True, nogil=True)
def _fill_map(coef, left, right, out):  # type: ignore[no-untyped-def]
    nx, ny = coef.shape
    in_x = np.empty(nx)
    for row in range(out.shape[0]):
        y = row + 1.0
        for i in range(nx):
            value = coef[i, ny - 1]
            for j in range(ny - 2, -1, -1):
                value = value * y + coef[i, j]
            in_x[i] = value
        first = max(1, math.ceil(left[row]))
        last = min(out.shape[1], math.floor(right[row]))
        for x in range(first, last + 1):
            value = in_x[nx - 1]
            for i in range(nx - 2, -1, -1):
                value = value * x + in_x[i]
            out[row, x - 1] = value


def _to_powers(order: int, shift: float, scale: float) -> NDArray[np.float64]:
    """Matrix of the coefficients of ``x**i`` in ``T_k((x - shift) / scale)``, indexed [k, i]."""
    matrix = np.zeros((order + 1, order + 1))
    matrix[0, 0] = 1.0
    if order > 0:
        matrix[1, :2] = -shift / scale, 1.0 / scale
    for k in range(2, order + 1):  # T_k = 2 u T_(k-1) - T_(k-2)
        matrix[k] = 2.0 * matrix[1, 0] * matrix[k - 1] - matrix[k - 2]
        matrix[k, 1:] += 2.0 * matrix[1, 1] * matrix[k - 1, :-1]
    return matrix


def _damped(
    hess: NDArray[np.float64],
    best: NDArray[np.float64],
    start: NDArray[np.float64],
    penalty: NDArray[np.float64],
    chi2: float,
) -> NDArray[np.float64]:
    """Where a damped search in plain powers of x and y ends on its way from ``start`` to the minimum ``best``.

    The search of the reference (Levenberg and Marquardt, damping relative to the curvature along each plain power)
    cannot reach the minimum: its damping ends where double precision does. What it leaves out are differences of large
    coefficients that the lines hardly determine, and the solution is the better for it where lines are sparse. Here
    the same steps are done in the scaled basis, without the rounding errors of the plain one.

    Parameters
    ----------
    hess : ndarray of float64 (n, n)
        Curvature in the scaled basis.
    best, start : ndarray of float64 (n,)
        Minimum and start in the scaled basis.
    penalty : ndarray of float64 (n, n)
        Diagonal of the curvature in plain powers, brought to the scaled basis.
    chi2 : float
        At the minimum.
    """
    coef = start.copy()
    damping, quiet = _DAMPING_START, 0
    off = best - coef
    value = chi2 + float(off @ hess @ off)
    while damping > _DAMPING_END and quiet < _QUIET_STEPS:
        coef = coef + np.linalg.solve(hess + damping * penalty, hess @ off)
        off = best - coef
        previous, value = value, chi2 + float(off @ hess @ off)
        quiet = quiet + 1 if previous - value <= _QUIET_CHANGE * previous else 0
        damping /= _DAMPING_STEP
    return coef


def fit_dispersion(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    wave: NDArray[np.float64],
    sigma: NDArray[np.float64] | None,
    *,
    xorder: int = 2,
    yorder: int = 6,
    k_sigma: float = 3.0,
    target_rms: float = TARGET_RMS,
) -> SliceSolution:
    """Fit the dispersion solution of a slice, rejecting deviant points.

    Parameters
    ----------
    x, y : ndarray of float64 (n,)
        Line centres [pix, 1-based].
    wave : ndarray of float64 (n,)
        Catalogue wavelengths [Angstrom].
    sigma : ndarray of float64 (n,) or None
        Errors [Angstrom], whose inverse squares are the weights; None fits without weights.
    xorder, yorder : int
        Orders, at most 9.
    k_sigma : float
        Points with a residual of at least this many rms are dropped ...
    target_rms : float
        ... unless the rms [Angstrom] is already this small, or (from the second iteration) did not shrink by
        0.001 Angstrom.

    Returns
    -------
    SliceSolution
        Its ``mse`` is weighted by 1 / sigma, as the reference does it. With weights the fit is the end of a damped
        search (see `_damped`), without them the minimum.

    Raises
    ------
    WavelengthError
        If fewer points or lines are left than the polynomial needs.
    """
    if not (0 <= xorder <= MAX_ORDER and 0 <= yorder <= MAX_ORDER):
        raise WavelengthError(f"polynomial orders {xorder}, {yorder} must be between 0 and {MAX_ORDER}")
    good = np.isfinite(x) & np.isfinite(y) & np.isfinite(wave)
    if sigma is not None:
        good &= np.isfinite(sigma) & (sigma > 0)
    index = np.flatnonzero(good)
    shape = (xorder + 1, yorder + 1)
    n_coef = shape[0] * shape[1]
    if np.unique(wave[index]).size < yorder + 1 or np.unique(x[index]).size < xorder + 1:
        raise WavelengthError(
            f"{index.size} points on {np.unique(wave[index]).size} lines are too few for the orders {xorder}, {yorder}"
        )
    weight = np.ones_like(wave) if sigma is None else np.divide(1.0, sigma**2, out=np.zeros_like(wave), where=good)
    mse_weight = np.sqrt(weight)
    (u, x_shift, x_scale), (v, y_shift, y_scale) = _scaled(x, index), _scaled(y, index)
    in_x, in_y = _to_powers(xorder, x_shift, x_scale).T, _to_powers(yorder, y_shift, y_scale).T
    to_plain = np.kron(in_x, in_y)
    mean_wave = float(wave[index].mean())  # keeps the normal equations small
    hess, grad = np.empty((n_coef, n_coef)), np.empty(n_coef)
    lower, coef = np.empty((n_coef, n_coef)), np.empty(n_coef)
    iterations: list[FitIteration] = []
    previous = math.inf
    while True:
        if index.size < n_coef:
            raise WavelengthError(f"{index.size} points are left for {n_coef} coefficients")
        _normal_equations(u, v, wave - mean_wave, weight, index, *shape, hess, grad, np.empty(n_coef))
        if not cholesky_solve(hess, n_coef, 0.0, grad, lower, coef):
            raise WavelengthError(f"the points do not determine a polynomial of orders {xorder}, {yorder}")
        residual = wave[index] - mean_wave - chebyshev.chebval2d(u[index], v[index], coef.reshape(shape))
        if sigma is not None:
            plain = _curvature_of_powers(x[index], y[index], weight[index], *shape)
            full = np.tril(hess) + np.tril(hess, -1).T
            start = np.zeros(n_coef)
            start[0] = _START_WAVE - mean_wave
            chi2 = float(np.sum(weight[index] * residual**2))
            coef = _damped(full, coef, start, (to_plain * plain[:, None]).T @ to_plain, chi2)
            residual = wave[index] - mean_wave - chebyshev.chebval2d(u[index], v[index], coef.reshape(shape))
        mse = float(np.sum(residual**2 * mse_weight[index]) / np.sum(mse_weight[index]))
        rms = math.sqrt(mse)
        limit = k_sigma * rms
        iterations.append(FitIteration(points=index, residual=residual, limit=limit))
        keep = np.abs(residual) < limit
        if rms <= target_rms or previous - rms < MIN_GAIN or keep.all():
            break
        previous = rms
        index = index[keep]
    scaled = coef.reshape(shape).copy()
    scaled[0, 0] += mean_wave
    powers = in_x @ scaled @ in_y.T
    return SliceSolution(
        coefficients=powers,
        mse=mse,
        n_lines=int(np.unique(wave[index]).size),
        iterations=tuple(iterations),
    )


def _curvature_of_powers(
    x: NDArray[np.float64], y: NDArray[np.float64], weight: NDArray[np.float64], nx: int, ny: int
) -> NDArray[np.float64]:
    """Sum of ``weight * (x**i y**j)**2`` over the points, for all i < nx, j < ny in the order of the coefficients."""
    return np.asarray(
        (np.vander(x * x, nx, increasing=True) * weight[:, None]).T @ np.vander(y * y, ny, increasing=True)
    ).ravel()


def _scaled(values: NDArray[np.float64], index: NDArray[np.intp]) -> tuple[NDArray[np.float64], float, float]:
    low, high = float(values[index].min()), float(values[index].max())
    shift, scale = 0.5 * (low + high), 0.5 * (high - low) or 1.0
    return np.nan_to_num((values - shift) / scale), shift, scale


def _broadcast(x: ArrayLike, y: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    a, b = np.broadcast_arrays(np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64))
    return a, b


def _plain(column: Any, dtype: Any) -> NDArray[Any]:
    """Plain array of a column; NULL becomes NaN (floats) or 0 (integers)."""
    if isinstance(column, np.ma.MaskedArray):
        column = column.filled(np.nan if np.issubdtype(dtype, np.floating) else 0)
    return np.array(column, dtype=dtype)
