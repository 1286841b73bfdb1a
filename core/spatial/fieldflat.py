"""The flat field of the field of view, from the twilight sky: a cube of few planes that rows are divided by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from core.errors import DataError

__all__ = ["FieldFlat"]


@dataclass(frozen=True, eq=False)
class FieldFlat:
    """A cube with a linear grid.

    Attributes
    ----------
    values : ndarray of float32 (nz, ny, nx)
    first : tuple of float
        xpos, ypos [pix] and wavelength [Angstrom] of the centre of the first voxel.
    step : tuple of float
        Size of a voxel along x, y and wavelength.

    Raises
    ------
    DataError
        If a step is zero or there is no voxel.
    """

    values: NDArray[np.float32]
    first: tuple[float, float, float]
    step: tuple[float, float, float]

    def __post_init__(self) -> None:
        if self.values.ndim != 3 or self.values.size == 0 or not all(self.step):
            raise DataError(f"a cube of {self.values.shape} voxels and steps of {self.step} is no flat field")

    def divide(
        self,
        xpos: NDArray[np.float32],
        ypos: NDArray[np.float32],
        wave: NDArray[np.float32],
        data: NDArray[np.float32],
        stat: NDArray[np.float32],
    ) -> None:
        """Divide rows by the cube, in place: nearest spaxel, linear in wavelength, the border beyond it.

        Parameters
        ----------
        xpos, ypos, wave : ndarray of float32 (n,)
            Position [pix] and wavelength [Angstrom].
        data, stat : ndarray of float32 (n,)
            Value and variance, changed.
        """
        _divide(xpos, ypos, wave, data, stat, self.values, *self.first, *self.step)


@njit(cache=True, nogil=True)
def _nearest(position, first, step, n):  # type: ignore[no-untyped-def]
    return min(max(int(np.floor((position - first) / step + 0.5)), 0), n - 1)


@njit(cache=True, nogil=True)
def _divide(xpos, ypos, wave, data, stat, cube, x0, y0, w0, dx, dy, dw):  # type: ignore[no-untyped-def]
    nz, ny, nx = cube.shape
    for k in range(data.size):
        x = _nearest(np.float64(xpos[k]), x0, dx, nx)
        y = _nearest(np.float64(ypos[k]), y0, dy, ny)
        place = min(max((np.float64(wave[k]) - w0) / dw, 0.0), nz - 1.0)
        lower = min(int(place), max(nz - 2, 0))
        value = np.float64(cube[lower, y, x])
        if nz > 1:
            part = place - lower
            value = value * (1.0 - part) + part * np.float64(cube[lower + 1, y, x])
        data[k] = np.float32(data[k] / value)
        stat[k] = np.float32(stat[k] / (value * value))
