"""A number of stars that is wanted: the threshold moves until an image has that many (MUSE manual, 9.13)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from core.errors import DataError
from core.onsky.daofind import StarFilter, Stars
from core.onsky.skymask import find_sky

__all__ = ["Detection", "StarSearch", "find_stars"]


@dataclass(frozen=True)
class StarSearch:
    """How stars are looked for.

    Attributes
    ----------
    filter : StarFilter
    threshold : float
        First threshold, in the unit of the image if it is positive; else so many MAD above the background.
    step : float
        By which the threshold moves.
    iterations : int
        How often it may.
    least, most : int
        Number of stars that is wanted.
    ignore, fraction : float
        Of the pixels that are background (`core.onsky.skymask.find_sky`).
    distance : float
        From pixels without a value [pix].
    """

    filter: StarFilter
    threshold: float
    step: float
    iterations: int
    least: int
    most: int
    ignore: float
    fraction: float
    distance: float


@dataclass(frozen=True, eq=False)
class Detection:
    """The stars of an image.

    Attributes
    ----------
    stars : Stars
    background, mad : float
        Median of the background, and median of absolute deviations from it, in the unit of the image.
    threshold : float
        At which the stars were found, in the unit of the image.
    """

    stars: Stars
    background: float
    mad: float
    threshold: float


def find_stars(image: npt.NDArray[Any], search: StarSearch) -> Detection:
    """Look for stars.

    Parameters
    ----------
    image : ndarray of float, shape (ny, nx)
        NaN where there is nothing.
    search : StarSearch

    Returns
    -------
    Detection
        Without stars, if no threshold has a number of them that is wanted.

    Raises
    ------
    DataError
        If the image has no value, or is too small.
    """
    gaps = ~np.isfinite(image)
    sky = find_sky(image, search.ignore, search.fraction)
    values = image[sky.mask] if sky.mask.any() else image[~gaps]
    background = float(np.median(values))
    mad = float(np.median(np.abs(values - background)))
    threshold = search.threshold if search.threshold > 0 else background - search.threshold * mad
    if not threshold > 0:
        raise DataError(
            f"a threshold of {threshold:g} is below 0, where stars cannot be told from noise", rule="threshold"
        )
    filled = np.where(gaps, 0.0, image)
    # Each star is there up to its own height, so that one look is enough for all thresholds.
    everything = search.filter.find(filled, float(np.finfo(np.float32).tiny))
    heights = np.sort(everything.flux)
    threshold, found = _threshold(heights, threshold, search)
    stars = everything.only(everything.flux >= threshold) if found else everything.only(np.zeros(0, np.intp))
    return Detection(_away_from(stars, gaps, search.distance), background, mad, threshold)


def _threshold(heights: npt.NDArray[np.float64], start: float, search: StarSearch) -> tuple[float, bool]:
    """The threshold at which the number of stars is one that is wanted, and whether there is one."""
    threshold = start
    for _ in range(search.iterations + 1):
        n = heights.size - int(np.searchsorted(heights, threshold, "left"))
        if search.least <= n <= search.most:
            return threshold, True
        threshold += search.step if n > search.most else -search.step
        if threshold <= 0:
            break
    return max(threshold, 0.0), False


def _away_from(stars: Stars, gaps: npt.NDArray[np.bool_], distance: float) -> Stars:
    if not len(stars) or distance <= 0 or not gaps.any():
        return stars
    radius = math.ceil(distance)
    axis = np.arange(-radius, radius + 1)
    disc = np.hypot(*np.meshgrid(axis, axis)) <= distance
    near = ndimage.binary_dilation(gaps, disc)
    return stars.only(~near[stars.y.astype(np.intp) - 1, stars.x.astype(np.intp) - 1])
