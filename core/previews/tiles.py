"""Pieces of large FITS images as numbers: what a viewer needs to show any part of a detector at any scale.

A tile is `TILE` pixels wide and high at a scale of ``1 / factor``: averages of blocks of ``factor`` times ``factor``
pixels. Only its part of the file is read, in slabs of rows, so that a tile costs bounded time and memory whatever the
image.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from core.errors import ParameterError
from core.previews.preview import decimate, grey_levels, image_of

__all__ = ["LARGEST_FACTOR", "TILE", "ImageFacts", "image_facts", "make_tile"]

TILE: Final = 256
LARGEST_FACTOR: Final = 32
_SLAB_PIXELS: Final = 1 << 19


@dataclass(frozen=True)
class ImageFacts:
    """Size of an image and at which values it is best cut.

    Attributes
    ----------
    width, height : int
        Pixels.
    unit : str
        ``BUNIT``.
    zscale, minmax : (float, float)
        Levels of the whole image, of block averages if it is large.
    """

    width: int
    height: int
    unit: str
    zscale: tuple[float, float]
    minmax: tuple[float, float]


def image_facts(path: str | os.PathLike[str], extension: str, size: int = 768) -> ImageFacts:
    """Size, unit and levels of an image; one pass over its pixels.

    Raises
    ------
    MissingInputError
        If there is no such image.
    BadFitsError
        If the file is cut.
    """
    hdu, rows = image_of(path, extension)
    height, width = hdu.shape
    small = decimate(rows, hdu.shape, max(1, -(-max(hdu.shape) // size)))
    unit = str(hdu.header.get("BUNIT", "adu" if hdu.bitpix == 16 else ""))
    return ImageFacts(width, height, unit, grey_levels(small, "zscale"), grey_levels(small, "minmax"))


def make_tile(
    path: str | os.PathLike[str], extension: str, factor: int, column: int, row: int
) -> npt.NDArray[np.float32]:
    """One tile of an image.

    Parameters
    ----------
    extension : str
        ``EXTNAME``; images of two dimensions, plain or tile-compressed.
    factor : int
        Edge of a block of pixels that becomes one, 1 to `LARGEST_FACTOR`.
    column, row : int
        Number of the tile from the left and from the first row, 0 is the first.

    Returns
    -------
    ndarray of float32, shape (ny, nx), at most `TILE` each
        The first row of the image first; blocks at the far edges are averages of what there is, NaN pixels do not
        count.

    Raises
    ------
    ParameterError
        If the image has no such tile.
    """
    hdu, rows = image_of(path, extension)
    height, width = hdu.shape
    span = TILE * factor
    x0, y0 = column * span, row * span
    if not (1 <= factor <= LARGEST_FACTOR and 0 <= x0 < width and 0 <= y0 < height):
        raise ParameterError(
            f"an image of {width} x {height} pixels has no tile ({column}, {row}) of factor {factor}; "
            f"factors are 1 to {LARGEST_FACTOR}",
            parameter="column, row, factor",
        )
    x1, y1 = min(width, x0 + span), min(height, y0 + span)
    nx, ny = -(-(x1 - x0) // factor), -(-(y1 - y0) // factor)
    out = np.empty((ny, nx), np.float32)
    step = max(1, _SLAB_PIXELS // (factor * span))
    for first in range(0, ny, step):
        last = min(ny, first + step)
        bottom, top = y0 + first * factor, min(y1, y0 + last * factor)
        block = np.full(((last - first) * factor, nx * factor), np.nan)
        block[: top - bottom, : x1 - x0] = rows(bottom, top, x0, x1)
        cells = block.reshape(last - first, factor, nx, factor)
        good = np.isfinite(cells)
        number = good.sum(axis=(1, 3))
        total = np.where(good, cells, 0.0).sum(axis=(1, 3))
        out[first:last] = np.where(number > 0, total / np.maximum(number, 1), np.nan)
    return out
