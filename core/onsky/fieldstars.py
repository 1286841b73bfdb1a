"""Stars of an image of a field: where they are, how sure that is, how bright and how wide they are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from core.errors import DataError
from core.onsky.apertures import Aperture, find_apertures, measure_fwhm
from core.onsky.centroids import marginal_centroid
from core.onsky.profiles import FWHM_OF_SIGMA, Profile, fit_profile, moffat_radius

__all__ = ["Centroid", "FieldStar", "GaplessImage", "find_stars"]

Centroid = Literal["gaussian", "moffat", "box"]

_HALF: Final = 5  # of windows [pix]
_WIDEST: Final = 100.0  # that a star is, and that it may be off [pix]
_BOX_ERROR: Final = 0.15  # of a centroid [pix]
_SHARPEST: Final = 1.0  # [pix]: what is sharper is a bad pixel
_FREE: Final = ("x", "y", "volume", "width_x", "width_y")


@dataclass(frozen=True)
class FieldStar:
    """A star that was found.

    Attributes
    ----------
    x, y : float
        [pix, from 1].
    x_error, y_error : float
        [pix].
    flux : float
        In the unit of the image.
    x_fwhm, y_fwhm : float
        [pix].
    """

    x: float
    y: float
    x_error: float
    y_error: float
    flux: float
    x_fwhm: float
    y_fwhm: float


@dataclass(frozen=True, eq=False)
class GaplessImage:
    """An image without gaps.

    Attributes
    ----------
    data, errors : ndarray of float64, shape (ny, nx)
    background : float
        Its median.
    """

    data: npt.NDArray[np.float64]
    errors: npt.NDArray[np.float64]
    background: float

    @classmethod
    def of(cls, data: npt.NDArray[Any], stat: npt.NDArray[Any]) -> GaplessImage:
        """Of values and variances; where there are none, those of the faintest and the least certain pixel.

        Raises
        ------
        DataError
            If there is no pixel at all.
        """
        good = np.isfinite(data) & np.isfinite(stat)
        if not good.any():
            raise DataError("the image has no good pixel")
        values = np.where(good, data, data[good].min()).astype(np.float64)
        variances = np.where(good, stat, stat[good].max()).astype(np.float64)
        return cls(values, np.sqrt(np.maximum(variances, 0)), float(np.median(values)))


def find_stars(image: GaplessImage, sigma: float, centroid: Centroid) -> list[FieldStar]:
    """Stars of an image.

    Parameters
    ----------
    image : GaplessImage
    sigma : float
        Stars are brighter than the median by so many mean absolute deviations from it.
    centroid : {'gaussian', 'moffat', 'box'}
        Profiles that are fitted, or the centroid of a window.

    Returns
    -------
    list of FieldStar
        The brightest first.
    """
    found = []
    for aperture in find_apertures(image.data, sigma):
        widths = measure_fwhm(image.data, *aperture.nearest)
        if min(widths) < 0 or max(widths) > _WIDEST:
            continue
        try:
            star = _boxed(image, aperture) if centroid == "box" else _fitted(image, aperture, widths, centroid)
        except DataError:
            continue  # what no profile fits is no star
        if _plausible(star, image.data.shape):
            found.append(star)
    return sorted(found, key=lambda star: -star.flux)


def _window(aperture: Aperture, shape: Sequence[int]) -> tuple[slice, slice]:
    """Rows and columns, from 0."""
    y0, y1 = math.floor(aperture.y) - _HALF - 1, math.ceil(aperture.y) + _HALF
    x0, x1 = math.floor(aperture.x) - _HALF - 1, math.ceil(aperture.x) + _HALF
    return slice(max(y0, 0), min(y1, shape[0])), slice(max(x0, 0), min(x1, shape[1]))


def _fitted(
    image: GaplessImage, aperture: Aperture, widths: tuple[float, float], shape: Literal["gaussian", "moffat"]
) -> FieldStar:
    """Position, flux and widths are fitted together: neighbours make the aperture too bright to hold its flux fast."""
    window = _window(aperture, image.data.shape)
    y, x = (axis.ravel() + 1.0 for axis in np.mgrid[window])
    values, errors = image.data[window].ravel(), image.errors[window].ravel()
    radii = [fwhm / FWHM_OF_SIGMA if shape == "gaussian" else moffat_radius(fwhm) for fwhm in widths]
    start = Profile(image.background, aperture.flux, aperture.x, aperture.y, *radii)
    fit = fit_profile(shape, x, y, values, errors, start, _FREE)
    found = fit.profile
    return FieldStar(found.x, found.y, fit.errors.x, fit.errors.y, found.volume, *found.fwhm(shape))


def _boxed(image: GaplessImage, aperture: Aperture) -> FieldStar:
    rows, columns = window = _window(aperture, image.data.shape)
    centre = marginal_centroid(image.data[window], float(np.median(image.data[window])))
    if centre is None:
        raise DataError("a window has no centroid")
    at = replace(aperture, x=columns.start + 1 + centre[0], y=rows.start + 1 + centre[1])
    widths = measure_fwhm(image.data, *at.nearest)
    return FieldStar(at.x, at.y, _BOX_ERROR, _BOX_ERROR, aperture.flux, *widths)


def _plausible(star: FieldStar, shape: Sequence[int]) -> bool:
    inside = 1 <= star.x <= shape[1] and 1 <= star.y <= shape[0]
    wide = min(star.x_fwhm, star.y_fwhm) >= _SHARPEST and max(star.x_fwhm, star.y_fwhm) < _WIDEST
    return inside and wide and max(star.x_error, star.y_error) < _WIDEST
