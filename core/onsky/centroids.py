"""Where a source is: centroids of windows, and a Gaussian that must agree."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from core.errors import DataError
from core.onsky.profiles import FWHM_OF_SIGMA, Profile, fit_profile

__all__ = ["marginal_centroid", "source_place"]

F64 = npt.NDArray[np.float64]

_LEAST_PIXELS: Final = 7
_AGREE: Final = 5.0  # [pix] between centroid and Gaussian
_FWHM: Final = 4.0  # [pix] of a first guess


def marginal_centroid(window: npt.NDArray[Any], background: float | None = None) -> tuple[float, float] | None:
    """Centroid of the sums of columns and rows above a background: x and y from 0; None if there is none.

    Parameters
    ----------
    window : ndarray of float, shape (ny, nx)
        Pixels that are not finite count as the background.
    background : float, optional
        The mean of the window unless told.
    """
    good = np.isfinite(window)
    if not good.any():
        return None
    level = window[good].mean() if background is None else background
    above = np.where(good, window - level, 0.0).astype(np.float64)
    places = []
    for axis in (0, 1):
        sums = np.maximum(above.sum(axis=axis), 0)
        total = sums.sum()
        if not total > 0:
            return None
        places.append(float(sums @ np.arange(sums.size) / total))
    return places[0], places[1]


def source_place(
    data: npt.NDArray[Any], stat: npt.NDArray[Any], x: float, y: float, half: int
) -> tuple[float, float] | None:
    """Place of a source of an image by a Gaussian fit [pix, from 1]; None where there is none, or centroids disagree.

    Parameters
    ----------
    data, stat : ndarray of float, shape (ny, nx)
        Values and variances.
    x, y : float
        Where it was seen [pix, from 1].
    half : int
        Half size of the window [pix].
    """
    column, row = math.floor(x + 0.5) - 1, math.floor(y + 0.5) - 1
    x0, y0 = max(column - half, 0), max(row - half, 0)
    window = (slice(y0, row + half + 1), slice(x0, column + half + 1))
    values, variances = data[window], stat[window]
    good = np.isfinite(values) & (variances > 0)
    if np.count_nonzero(good) < _LEAST_PIXELS or (centroid := marginal_centroid(values)) is None:
        return None
    guess_x, guess_y = x0 + 1 + centroid[0], y0 + 1 + centroid[1]
    rows, columns = np.nonzero(good)
    background = float(np.median(values[good]))
    height = max(float(values[good].max()) - background, float(np.finfo(np.float32).tiny))
    sigma = _FWHM / FWHM_OF_SIGMA
    start = Profile(background, height * 2 * math.pi * sigma**2, guess_x, guess_y, sigma, sigma)
    try:
        fit = fit_profile(
            "gaussian", columns + x0 + 1.0, rows + y0 + 1.0, values[good], np.sqrt(variances[good]), start
        ).profile
    except DataError:
        return None
    if abs(fit.x - guess_x) > _AGREE or abs(fit.y - guess_y) > _AGREE:
        return None
    return fit.x, fit.y
