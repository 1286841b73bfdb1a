"""Where there is nothing but sky, by the brightness of an image (MUSE manual, 6.5.2)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from core.errors import DataError

__all__ = ["SkyMask", "find_sky"]


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


def _nearest(value: float) -> int:
    return math.floor(value + 0.5)
