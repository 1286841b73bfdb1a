"""Where there is nothing but sky, by the brightness of an image (MUSE manual, 6.5.2; autocalibration of 2.8.7)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from core.errors import DataError

__all__ = ["SkyMask", "find_level_sky", "find_sky"]

_LEVEL: Final = 5.0  # median absolute deviations around the median that are sky
_SQUARE: Final = np.ones((3, 3), np.bool_)


@dataclass(frozen=True, eq=False)
class SkyMask:
    """Pixels of an image that have sky alone.

    Attributes
    ----------
    mask : ndarray of bool, shape (ny, nx)
    low, high : float
        Brightness between which they are, both ends excluded, in the unit of the image.
    """

    mask: npt.NDArray[np.bool_]
    low: float
    high: float


def find_sky(image: npt.NDArray[np.floating], ignore: float, fraction: float) -> SkyMask:
    """Pixels of an image that are faint, but not the faintest, which may be artefacts.

    Parameters
    ----------
    image : ndarray of float, shape (ny, nx)
        Pixels that are not finite are no sky.
    ignore : float
        Part of the pixels, the faintest ones, that is left out.
    fraction : float
        Part of the others that is sky.

    Raises
    ------
    DataError
        If the image has no pixel, or a part is none.
    """
    for name, part in (("ignore", ignore), ("fraction", fraction)):
        if not 0 <= part <= 1:
            raise DataError(f"{name} is {part}, which is no part of an image", rule=name)
    values = np.sort(image[np.isfinite(image)])
    if not values.size:
        raise DataError("the image has no pixel: there is no sky to be found")
    places = [_nearest(values.size * part) for part in (ignore, ignore + fraction * (1 - ignore))]
    low, high = (float(values[min(max(place, 1), values.size) - 1]) for place in places)
    return SkyMask((image > low) & (image < high), low, high)


def find_level_sky(image: npt.NDArray[np.floating]) -> SkyMask:
    """Pixels of an image that are about as bright as most, and not next to a source.

    Sources are pixels of other brightness in groups of 3 x 3 at least, and those up to two pixels away.

    Parameters
    ----------
    image : ndarray of float, shape (ny, nx)
        Pixels that are not finite are no sky.

    Raises
    ------
    DataError
        If the image has no pixel.
    """
    values = image[np.isfinite(image)].astype(np.float64)
    if not values.size:
        raise DataError("the image has no pixel: there is no sky to be found")
    centre = float(np.median(values))
    width = _LEVEL * float(np.median(np.abs(values - centre)))
    low, high = centre - width, centre + width
    other = ~((image > low) & (image < high))
    sources = ndimage.binary_dilation(ndimage.binary_opening(other, _SQUARE), _SQUARE, iterations=2)
    return SkyMask(~sources & np.isfinite(image), low, high)


def _nearest(value: float) -> int:
    return math.floor(value + 0.5)
