"""How wide the sources of an image are: measured directly at half of their height, and by a Gaussian that is fitted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from core.errors import DataError
from core.onsky.apertures import bright_pixels, measure_fwhm
from core.onsky.profiles import FWHM_OF_SIGMA, Profile, fit_profile

__all__ = ["SourceWidths", "find_widths"]

_EDGE: Final = 2  # [pix] nearer to the edge of the image a source is cut
_REACH: Final = 4  # [pix] to each side of the centre, at least, of the pixels that are fitted
_MAX_AXES: Final = 5.0  # ratio of the widths along x and y
_MAX_METHODS: Final = 4.0  # ratio of the widths by both methods


@dataclass(frozen=True)
class SourceWidths:
    """A source.

    Attributes
    ----------
    x, y : float
        Mean position of its pixels, weighted by their brightness [pix], the first pixel being 1.
    direct : pair of float
        Full widths at half maximum along x and y [pix]; -1 where there is none.
    gaussian : pair of float
        Those of the Gaussian [pix]; 0 if none was fitted.
    fault : str
        Why it cannot be relied upon; empty if it can.
    """

    x: float
    y: float
    direct: tuple[float, float] = (-1.0, -1.0)
    gaussian: tuple[float, float] = (0.0, 0.0)
    fault: str = ""


def find_widths(image: npt.NDArray[np.floating[Any]], sigmas: Sequence[float]) -> tuple[list[SourceWidths], float]:
    """Sources at the first of several thresholds at which there are some, and the threshold; the last, if none.

    Parameters
    ----------
    image : ndarray of float, shape (ny, nx)
        Pixels that are not finite belong to no source.
    sigmas : sequence of float
        See `core.onsky.apertures.bright_pixels`; groups of pixels of any size are sources.
    """
    for sigma in sigmas:
        labels, n = ndimage.label(bright_pixels(image, sigma))
        if n:
            boxes = ndimage.find_objects(labels)
            return [_measured(image, labels, number, box) for number, box in enumerate(boxes, 1)], sigma
    return [], sigmas[-1]


def _measured(
    image: npt.NDArray[np.floating[Any]], labels: npt.NDArray[Any], number: int, box: tuple[slice, slice]
) -> SourceWidths:
    ny, nx = image.shape
    py, px = np.nonzero(labels[box] == number)
    values = image[box][py, px].astype(np.float64)
    weights = values / values.sum() if values.sum() else np.full(values.size, 1 / values.size)
    x = float(((px + box[1].start) * weights).sum()) + 1
    y = float(((py + box[0].start) * weights).sum()) + 1
    if not (1 + _EDGE <= x <= nx - _EDGE and 1 + _EDGE <= y <= ny - _EDGE):
        return SourceWidths(x, y, fault="too close to the edge")
    column, row = int(x + 0.5) - 1, int(y + 0.5) - 1
    direct = measure_fwhm(image, column, row)
    rows, columns = (
        slice(max(0, min(side.start, centre - _REACH)), min(size, max(side.stop, centre + _REACH + 1)))
        for side, centre, size in zip(box, (row, column), (ny, nx), strict=True)
    )
    try:
        gaussian = _fitted(image, rows, columns, (x, y), direct)
    except DataError as error:
        return SourceWidths(x, y, direct, fault=error.message)
    return SourceWidths(x, y, direct, gaussian, _fault(direct, gaussian, (nx, ny)))


def _fitted(
    image: npt.NDArray[np.floating[Any]],
    rows: slice,
    columns: slice,
    centre: tuple[float, float],
    direct: tuple[float, float],
) -> tuple[float, float]:
    """Widths of the Gaussian that fits a part of an image; DataError if none does."""
    window = image[rows, columns].astype(np.float64)
    y, x = np.mgrid[rows.start + 1 : rows.stop + 1, columns.start + 1 : columns.stop + 1]
    background = float(np.nanmin(window))
    widths = [width / FWHM_OF_SIGMA if width > 0 else 1.0 for width in direct]
    start = Profile(background, float(np.nansum(window - background)), *centre, *widths)
    fit = fit_profile("gaussian", x.ravel(), y.ravel(), window.ravel(), None, start)
    return fit.profile.fwhm("gaussian")


def _fault(direct: tuple[float, float], gaussian: tuple[float, float], size: tuple[int, int]) -> str:
    if any(width > length for width, length in zip(gaussian, size, strict=True)):
        return "wider than the image"
    if min(gaussian) <= 0 or max(gaussian) > _MAX_AXES * min(gaussian):
        return "too elongated"
    ratios = [width / own for width, own in zip(gaussian, direct, strict=True) if own > 0]
    if any(not 1 / _MAX_METHODS <= ratio <= _MAX_METHODS for ratio in ratios):
        return "the Gaussian is of another width"
    return ""
