"""Stars of an image, by a filter of the shape that they have (Stetson 1987, PASP 99, 191: DAOFIND).

Positions are those of FITS: the first pixel is 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage, signal

from core.errors import DataError
from core.onsky.profiles import FWHM_OF_SIGMA

__all__ = ["StarFilter", "Stars"]

F64 = npt.NDArray[np.float64]

_LEAST_RADIUS: Final = 2.001  # [pix]
_RADIUS: Final = 0.637  # of the filter, in full widths at half maximum
_LARGEST: Final = 6  # half size of the filter [pix]
_LEAST_SIDE: Final = 6  # of an image [pix]


@dataclass(frozen=True, eq=False)
class Stars:
    """Stars of an image, in the order of their rows.

    Attributes
    ----------
    x, y : ndarray of float64, shape (n,)
        [pix].
    flux : ndarray of float64, shape (n,)
        Height of the star, by the filter, in the unit of the image.
    sharpness, roundness : ndarray of float64, shape (n,)
    """

    x: F64
    y: F64
    flux: F64
    sharpness: F64
    roundness: F64

    def __len__(self) -> int:
        return self.x.size

    def only(self, chosen: npt.NDArray[Any]) -> Stars:
        """Some of the stars."""
        return Stars(*(getattr(self, name)[chosen] for name in ("x", "y", "flux", "sharpness", "roundness")))


@dataclass(frozen=True)
class StarFilter:
    """A filter for stars of a width.

    Attributes
    ----------
    fwhm : float
        [pix].
    sharpness, roundness : pair of float
        Limits of stars; both belong to them.
    """

    fwhm: float
    sharpness: tuple[float, float] = (0.2, 1.0)
    roundness: tuple[float, float] = (-1.0, 1.0)

    @property
    def sigma(self) -> float:
        """[pix]."""
        return self.fwhm / FWHM_OF_SIGMA

    @cached_property
    def half(self) -> int:
        """Half size of the filter [pix]."""
        return min(math.floor(self._radius), _LARGEST)

    @property
    def _radius(self) -> float:
        return max(_RADIUS * self.fwhm, _LEAST_RADIUS)

    @cached_property
    def _inside(self) -> npt.NDArray[np.bool_]:
        axis = np.arange(-self.half, self.half + 1)
        return np.asarray(np.hypot(*np.meshgrid(axis, axis)) <= self._radius)

    @cached_property
    def _kernel(self) -> F64:
        axis = np.arange(-self.half, self.half + 1)
        gauss = np.where(self._inside, np.exp(-np.add.outer(axis**2, axis**2) / (2 * self.sigma**2)), 0.0)
        n, total = np.count_nonzero(self._inside), gauss.sum()
        return np.where(self._inside, gauss - total / n, 0.0) / ((gauss**2).sum() - total**2 / n)

    def filtered(self, image: npt.NDArray[Any]) -> F64:
        """The image seen through the filter: the height of a star at each pixel.

        Parameters
        ----------
        image : ndarray of float, shape (ny, nx)
            Without gaps.

        Raises
        ------
        DataError
            If it is smaller than six by six pixels.
        """
        if min(image.shape) < _LEAST_SIDE:
            raise DataError(f"an image of {image.shape[1]} x {image.shape[0]} pixels is too small to look for stars")
        values = image.astype(np.float64)
        found = np.asarray(signal.fftconvolve(values, self._kernel[::-1, ::-1], mode="same"))
        edge = np.ones(found.shape, np.bool_)
        edge[self.half : -self.half, self.half : -self.half] = False
        found[edge] = values.min()
        return found

    def find(self, image: npt.NDArray[Any], threshold: float, filtered: F64 | None = None) -> Stars:
        """Stars of an image.

        Parameters
        ----------
        image : ndarray of float, shape (ny, nx)
            Without gaps.
        threshold : float
            Least height, in the unit of the image.
        filtered : ndarray, optional
            The image through the filter, if it is there.
        """
        seen = self.filtered(image) if filtered is None else filtered
        rows, columns = np.nonzero((seen >= threshold) & self._peaks(seen))
        found = [
            (*place, float(seen[row, column]), *shape)
            for row, column in zip(rows.tolist(), columns.tolist(), strict=True)
            if (box := self._box(image, row, column)) is not None
            and (shape := self._shape(box, float(seen[row, column]))) is not None
            and (place := self._place(box, row, column)) is not None
        ]
        return (
            Stars(*(np.array(values) for values in zip(*found, strict=True))) if found else Stars(*(np.zeros(0),) * 5)
        )

    def _peaks(self, seen: F64) -> npt.NDArray[np.bool_]:
        """Pixels that are the highest around; of equal ones the first."""
        order = np.arange(self._inside.size).reshape(self._inside.shape)
        before, after = (self._inside & part for part in (order < order.size // 2, order > order.size // 2))
        highest = [
            ndimage.maximum_filter(seen, footprint=part, mode="constant", cval=-np.inf) for part in (before, after)
        ]
        return np.asarray((seen > highest[0]) & (seen >= highest[1]))

    def _box(self, image: npt.NDArray[Any], row: int, column: int) -> F64 | None:
        h = self.half
        if not (h <= row < image.shape[0] - h and h <= column < image.shape[1] - h):
            return None
        return np.asarray(image[row - h : row + h + 1, column - h : column + h + 1], np.float64)

    def _shape(self, box: F64, height: float) -> tuple[float, float] | None:
        """Sharpness and roundness, if they are those of a star."""
        if height == 0:
            return None
        centre = box[self.half, self.half]
        others = (box[self._inside].sum() - centre) / (np.count_nonzero(self._inside) - 1)
        sharpness = float((centre - others) / height)
        gauss = np.exp(-(np.arange(-self.half, self.half + 1) ** 2) / (2 * self.sigma**2))
        gauss -= gauss.mean()
        along_x, along_y = float(box.sum(axis=0) @ gauss), float(box.sum(axis=1) @ gauss)
        if along_x <= 0 or along_y <= 0:
            return None
        roundness = 2 * (along_x - along_y) / (along_x + along_y)
        for value, (low, high) in ((sharpness, self.sharpness), (roundness, self.roundness)):
            if not low <= value <= high:
                return None
        return sharpness, roundness

    def _place(self, box: F64, row: int, column: int) -> tuple[float, float] | None:
        """Position by Gaussians that are fitted to the sums of rows and columns, which count less at the edges."""
        offsets = np.arange(-self.half, self.half + 1)
        weight = self.half + 1.0 - np.abs(offsets)
        gauss = np.exp(-(offsets**2) / (2 * self.sigma**2))
        sums = (weight @ box, box @ weight)
        across = float(weight @ gauss)  # of the star itself, over the other axis
        steps = []
        for line in sums:
            height = _slope(gauss * across, line, weight)
            if not height > 0:
                return None
            moment = float((weight * offsets * gauss * across) @ line)
            step = moment / (height * float((weight * (offsets * gauss * across) ** 2).sum()) / self.sigma**2)
            if abs(step) >= self.half:
                return None
            steps.append(step)
        return column + 1 + steps[0], row + 1 + steps[1]


def _slope(x: F64, y: F64, weight: F64) -> float:
    """Slope of a straight line through weighted points."""
    total = weight.sum()
    mean_x, mean_y = weight @ x / total, weight @ y / total
    return float((weight * (x - mean_x)) @ (y - mean_y) / ((weight * (x - mean_x)) @ (x - mean_x)))
