"""What rows of pixel tables look like on the sky: means in the spaxels of the field of view."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["FieldView", "joined"]


class FieldView:
    """An image of the field, to which rows are added piece by piece.

    Parameters
    ----------
    low, high : tuple of float
        x and y of the centres of the first and the last spaxel [pix].
    """

    def __init__(self, low: tuple[float, float], high: tuple[float, float]) -> None:
        self.low = low
        nx, ny = (int(np.ceil(b - a)) + 1 for a, b in zip(low, high, strict=True))
        self._sums, self._counts = np.zeros((ny, nx)), np.zeros((ny, nx), np.int64)

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """Left, right, lower and upper end [pix]."""
        ny, nx = self._sums.shape
        return self.low[0] - 0.5, self.low[0] + nx - 0.5, self.low[1] - 0.5, self.low[1] + ny - 0.5

    def add(
        self,
        xpos: NDArray[np.float32],
        ypos: NDArray[np.float32],
        data: NDArray[np.float32],
        dq: NDArray[np.int32],
    ) -> None:
        """Add rows at their nearest spaxel; those with a flag, without a value or outside are left out."""
        _add(xpos, ypos, data, dq, self.low[0], self.low[1], self._sums, self._counts)

    def image(self) -> NDArray[np.float32]:
        """Mean of the rows of each spaxel, shape (ny, nx); NaN where there are none."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return (self._sums / self._counts).astype(np.float32)


def joined(images: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Median of images of one field, in which lines between slices that no row fell on are closed for the eye."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # spaxels without any value
        image = np.nanmedian(np.stack(images), axis=0)
        padded = np.pad(image, ((1, 1), (0, 0)), constant_values=np.nan)
        between = np.where(np.isfinite(padded[:-2]) & np.isfinite(padded[2:]), 0.5 * (padded[:-2] + padded[2:]), np.nan)
    return np.where(np.isfinite(image), image, between).astype(np.float32)


@njit(cache=True, nogil=True)
def _add(xpos, ypos, data, dq, x0, y0, sums, counts):  # type: ignore[no-untyped-def]
    ny, nx = sums.shape
    for k in range(data.size):
        if dq[k] != 0 or not np.isfinite(data[k]):
            continue
        x = int(np.floor(np.float64(xpos[k]) - x0 + 0.5))
        y = int(np.floor(np.float64(ypos[k]) - y0 + 0.5))
        if 0 <= x < nx and 0 <= y < ny:
            sums[y, x] += data[k]
            counts[y, x] += 1
