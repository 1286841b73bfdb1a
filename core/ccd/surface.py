"""Images become smooth surfaces: tensor-product polynomials fitted to good pixels, and Gaussian smoothing with gaps.

Fits accumulate normal equations of scaled Legendre products slab by slab, so that an image of any size costs no memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

from core.errors import DataError

__all__ = ["Surface", "fit_surface", "smooth"]

_SLAB = 64


@dataclass(frozen=True)
class Surface:
    """A polynomial sum c_ij P_i(x) P_j(y) on a window of an image.

    Attributes
    ----------
    coefficients : ndarray, float64, shape (x order + 1, y order + 1)
        Of Legendre polynomials on the window scaled to -1..1.
    shape : tuple of int
        ``(ny, nx)`` of the window.
    """

    coefficients: NDArray[np.float64]
    shape: tuple[int, int]

    def rows(self, y0: int, y1: int) -> NDArray[np.float32]:
        """Values in rows ``y0 <= y < y1`` of the window, float32, shape (y1 - y0, nx)."""
        ny, nx = self.shape
        x = np.polynomial.legendre.legvander(_scaled(nx), self.coefficients.shape[0] - 1)
        y = np.polynomial.legendre.legvander(_scaled(ny)[y0:y1], self.coefficients.shape[1] - 1)
        return (y @ self.coefficients.T @ x.T).astype(np.float32)


def _scaled(n: int) -> NDArray[np.float64]:
    return np.linspace(-1.0, 1.0, n) if n > 1 else np.zeros(1)


def fit_surface(data: NDArray[np.float32], good: NDArray[np.bool_], orders: tuple[int, int]) -> Surface:
    """Least-squares fit of a tensor-product polynomial to the good pixels of an image.

    Parameters
    ----------
    data : ndarray, float32, shape (ny, nx)
    good : ndarray, bool, shape (ny, nx)
    orders : tuple of int
        Orders in x and y.

    Raises
    ------
    DataError
        If there are fewer good pixels than coefficients.
    """
    ny, nx = data.shape
    px = np.polynomial.legendre.legvander(_scaled(nx), orders[0])
    py = np.polynomial.legendre.legvander(_scaled(ny), orders[1])
    mx, my = px.shape[1], py.shape[1]
    pairs_x = (px[:, :, None] * px[:, None, :]).reshape(nx, mx * mx)
    pairs_y = (py[:, :, None] * py[:, None, :]).reshape(ny, my * my)
    products = np.zeros((mx * mx, my * my))
    right = np.zeros((mx, my))
    for start in range(0, ny, _SLAB):
        window = slice(start, min(start + _SLAB, ny))
        weight = good[window]
        if not weight.any():
            continue
        products += (weight.astype(np.float64) @ pairs_x).T @ pairs_y[window]
        right += (np.where(weight, data[window], 0).astype(np.float64) @ px).T @ py[window]
    if products[0, 0] < mx * my:
        raise DataError(f"only {products[0, 0]:.0f} good pixels for a surface of orders {orders}")
    normal = products.reshape(mx, mx, my, my).transpose(0, 2, 1, 3).reshape(mx * my, mx * my)
    solution = np.linalg.lstsq(normal, right.ravel(), rcond=1e-14)[0]
    return Surface(np.asarray(solution, np.float64).reshape(mx, my), (ny, nx))


@njit(cache=True, nogil=True)
def _smooth_rows(data, good, kernel, first, last, out_value, out_weight):  # type: ignore[no-untyped-def]
    """Convolve rows first..last along y, then along x; values times weight, and weights."""
    ny, nx = data.shape
    half = kernel.shape[0] // 2
    value = np.empty(nx + 2 * half, np.float64)
    weight = np.empty(nx + 2 * half, np.float64)
    for y in range(first, last):
        value[:] = 0.0
        weight[:] = 0.0
        for dy in range(-half, half + 1):
            yy = y + dy
            if yy < 0 or yy >= ny:
                continue
            factor = kernel[dy + half]
            for x in range(nx):
                w = factor if good[yy, x] else 0.0
                value[x + half] += w * np.float64(data[yy, x])
                weight[x + half] += w
        row = out_value[y - first]
        row_weight = out_weight[y - first]
        row[:] = 0.0
        row_weight[:] = 0.0
        for k in range(kernel.shape[0]):
            factor = kernel[k]
            for x in range(nx):
                row[x] += factor * value[x + k]
                row_weight[x] += factor * weight[x + k]


def smooth(
    data: NDArray[np.float32],
    good: NDArray[np.bool_],
    half_width: int,
    y0: int = 0,
    y1: int | None = None,
    *,
    fwhm: float | None = None,
) -> NDArray[np.float32]:
    """Gaussian-weighted average of the good pixels about each pixel.

    Parameters
    ----------
    data : ndarray, float32, shape (ny, nx)
    good : ndarray, bool, shape (ny, nx)
    half_width : int
        Half width of the kernel [pix].
    y0, y1 : int
        Rows wanted; all by default.
    fwhm : float, optional
        Full width at half maximum of the Gaussian [pix]; the half width of the kernel by default.

    Returns
    -------
    ndarray, float32, shape (y1 - y0, nx)
        0 where there is no good pixel within reach.
    """
    y1 = data.shape[0] if y1 is None else y1
    offsets = np.arange(-half_width, half_width + 1, dtype=np.float64)
    sigma = (half_width if fwhm is None else fwhm) / 2.3548200450309493
    kernel = np.exp(-0.5 * (offsets / sigma) ** 2)
    value = np.empty((y1 - y0, data.shape[1]))
    weight = np.empty_like(value)
    _smooth_rows(data, good, kernel, y0, y1, value, weight)
    filled = np.divide(value, weight, out=np.zeros_like(value), where=weight > 0)
    return cast(NDArray[np.float32], filled.astype(np.float32))
