"""Median of the neighbourhood in an image of the field of view, where some spaxels have no value."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

__all__ = ["median_filter"]


def median_filter(
    image: npt.NDArray[np.float32], good: npt.NDArray[np.bool_], size: tuple[int, int]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Medians of the good spaxels in a window, which is cut at the edges of the image.

    Parameters
    ----------
    image : ndarray of float32, shape (ny, nx)
    good : ndarray of bool, shape (ny, nx)
    size : tuple of int
        Width and height of the window, odd [pix].

    Returns
    -------
    medians : ndarray of float32, shape (ny, nx)
        0 where the window has no good spaxel.
    known : ndarray of bool, shape (ny, nx)
        Where it has one: bad spaxels get a value, too, from their neighbours.
    """
    medians, known = np.zeros(image.shape, np.float32), np.zeros(image.shape, np.bool_)
    _filter(image, good, size[0] // 2, size[1] // 2, medians, known)
    return medians, known


@njit(cache=True, nogil=True)
def _filter(image, good, half_x, half_y, medians, known):  # type: ignore[no-untyped-def]
    ny, nx = image.shape
    window = np.empty((2 * half_x + 1) * (2 * half_y + 1), np.float32)
    for y in range(ny):
        for x in range(nx):
            n = 0
            for line in range(max(y - half_y, 0), min(y + half_y + 1, ny)):
                for column in range(max(x - half_x, 0), min(x + half_x + 1, nx)):
                    if good[line, column]:
                        window[n] = image[line, column]
                        n += 1
            if n:
                medians[y, x] = np.median(window[:n])
                known[y, x] = True
