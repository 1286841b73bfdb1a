"""Sources of an image: groups of bright pixels, and how wide they are.

Groups that hold no square of three by three pixels are no sources. Positions are those of FITS: the first pixel is 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage

__all__ = ["Aperture", "bright_pixels", "find_apertures", "first_apertures", "measure_fwhm"]

_SQUARE: Final = np.ones((3, 3), np.bool_)


@dataclass(frozen=True)
class Aperture:
    """A source.

    Attributes
    ----------
    x, y : float
        Mean position of its pixels, weighted by their brightness, background included [pix].
    flux : float
        Sum of its pixels, in the unit of the image.
    n_pixels : int
    """

    x: float
    y: float
    flux: float
    n_pixels: int

    @property
    def nearest(self) -> tuple[int, int]:
        """The pixel at its position: x and y from 0."""
        return int(np.floor(self.x + 0.5)) - 1, int(np.floor(self.y + 0.5)) - 1


def find_apertures(image: npt.NDArray[np.floating[Any]], sigma: float) -> list[Aperture]:
    """Sources of an image.

    Parameters
    ----------
    image : ndarray of float, shape (ny, nx)
        Pixels that are not finite belong to no source.
    sigma : float
        A source is brighter than the median by so many mean absolute deviations from it.

    Returns
    -------
    list of Aperture
        In the order of their first pixels, row by row.
    """
    bright = bright_pixels(image, sigma)
    # A source at the edge goes on beyond it.
    opened = ndimage.binary_opening(np.pad(bright, 1, mode="edge"), _SQUARE)[1:-1, 1:-1] & bright
    labels, n = ndimage.label(opened)
    return [_measured(image, labels == number) for number in range(1, n + 1)]


def bright_pixels(image: npt.NDArray[np.floating[Any]], sigma: float) -> npt.NDArray[np.bool_]:
    """Pixels brighter than the median of an image by so many mean absolute deviations from it."""
    good = np.isfinite(image)
    bright = np.zeros(image.shape, np.bool_)
    if good.any():
        values = image[good].astype(np.float64)
        median = float(np.median(values))
        bright[good] = values > median + sigma * float(np.abs(values - median).mean())
    return bright


def first_apertures(image: npt.NDArray[np.floating[Any]], sigmas: Sequence[float]) -> tuple[list[Aperture], float]:
    """Sources at the first of several thresholds at which there are some, and the threshold; the last, if none."""
    for sigma in sigmas:
        if found := find_apertures(image, sigma):
            return found, sigma
    return [], sigmas[-1]


def measure_fwhm(image: npt.NDArray[np.floating[Any]], x: int, y: int) -> tuple[float, float]:
    """Full widths at half maximum of the source at a pixel, along x and y [pix]; -1 where it has none.

    Parameters
    ----------
    image : ndarray of float, shape (ny, nx)
    x, y : int
        From 0.
    """
    return _width(image[y, :].astype(np.float64), x), _width(image[:, x].astype(np.float64), y)


def _measured(image: npt.NDArray[np.floating[Any]], inside: npt.NDArray[np.bool_]) -> Aperture:
    y, x = np.nonzero(inside)
    values = image[inside].astype(np.float64)
    flux = float(values.sum())
    weights = values / flux if flux else np.full(values.size, 1 / values.size)
    return Aperture(float((x * weights).sum()) + 1, float((y * weights).sum()) + 1, flux, values.size)


def _width(line: npt.NDArray[np.float64], centre: int) -> float:
    if not np.all(np.isfinite(line)):
        line = np.nan_to_num(line, nan=float(np.nanmin(line)) if np.isfinite(line).any() else 0.0)
    padded = np.pad(line, 1, mode="edge")
    smooth = (padded[:-2] + padded[1:-1] + padded[2:]) / 3
    # The centre of light may lie beside the brightest pixel, or between two that are alike.
    left = right = _top(smooth, centre)
    while right < line.size - 1 and smooth[right + 1] == smooth[left]:
        right += 1
    while left > 0 and smooth[left - 1] < smooth[left]:
        left -= 1
    while right < line.size - 1 and smooth[right + 1] < smooth[right]:
        right += 1
    half = (line[centre] + (smooth[left] + smooth[right]) / 2) / 2
    before, after = _crossing(line, centre, -1, half), _crossing(line, centre, 1, half)
    return after - before if before is not None and after is not None else -1.0


def _top(line: npt.NDArray[np.float64], start: int) -> int:
    """Where a line is highest, uphill from a place."""
    at = start
    while True:
        near = range(max(at - 1, 0), min(at + 2, line.size))
        higher = max(near, key=lambda place: (line[place], -place))
        if not line[higher] > line[at]:
            return min(place for place in near if line[place] == line[at])
        at = higher


def _crossing(line: npt.NDArray[np.float64], centre: int, step: int, half: float) -> float | None:
    """Where a line falls to a value, on one side."""
    at = centre
    while 0 <= at + step < line.size:
        if line[at + step] <= half < line[at]:
            return at + step * (line[at] - half) / (line[at] - line[at + step])
        at += step
    return None
