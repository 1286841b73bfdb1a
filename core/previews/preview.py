"""Small pictures of large FITS images: block averages, grey levels, PNG.

An image becomes at most ``size`` pixels wide by averaging whole blocks of pixels in slabs of rows, so that a preview
costs one pass over the file and no memory; grey levels are cut by the zscale algorithm or at minimum and maximum.
"""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from core.errors import BadFitsError, MissingInputError
from core.fitsfile.dataunit import map_image, scaling
from core.fitsfile.scan import FitsScan, HduScan, scan_fits
from core.formats.raw import RawChannel

__all__ = ["Cuts", "Preview", "decimate", "encode_png", "grey_levels", "image_of", "make_preview"]

Cuts = Literal["zscale", "minmax"]
_SLAB_PIXELS: Final = 1 << 22


@dataclass(frozen=True)
class Preview:
    """A picture with the levels it was cut at.

    Attributes
    ----------
    png : bytes
    low, high : float
        Pixel values shown black and white.
    factor : int
        Pixels of the image per pixel of the picture, along each axis.
    """

    png: bytes
    low: float
    high: float
    factor: int


def make_preview(path: str | os.PathLike[str], extension: str, cuts: Cuts, size: int = 768) -> Preview:
    """Picture of one extension of a raw frame or product, the first row at the bottom.

    Parameters
    ----------
    path : path-like
    extension : str
        ``EXTNAME``; images of two dimensions, plain or tile-compressed.
    cuts : {'zscale', 'minmax'}
    size : int
        Largest width or height [pixel].

    Raises
    ------
    MissingInputError
        If there is no such image.
    BadFitsError
        If the file is cut.
    """
    hdu, rows = image_of(path, extension)
    factor = max(1, -(-max(hdu.shape) // size))
    small = decimate(rows, hdu.shape, factor)
    low, high = grey_levels(small, cuts)
    scaled = (np.nan_to_num(small, nan=low) - low) * (255.0 / (high - low))
    return Preview(encode_png(np.clip(scaled, 0, 255).astype(np.uint8)[::-1]), low, high, factor)


def image_of(path: str | os.PathLike[str], extension: str) -> tuple[HduScan, _Rows | _RawRows]:
    """An image of two dimensions and what reads its rows.

    Raises
    ------
    MissingInputError
        If there is no such image.
    BadFitsError
        If the file is cut.
    """
    scan = scan_fits(path)
    hdu = scan.extension(extension)
    if hdu is None or hdu.kind == "table" or len(hdu.shape) != 2:
        raise MissingInputError(f"the file has no image {extension}", file=path)
    if hdu.data_offset + hdu.data_bytes > scan.size:
        raise BadFitsError(f"the file is cut inside extension {extension}", file=path)
    return hdu, _RawRows(scan, hdu) if hdu.kind == "compressed" else _Rows(scan.path, hdu)


class _Rows:
    """Rows of an uncompressed image, scaled by BZERO and BSCALE."""

    def __init__(self, path: Path, hdu: HduScan) -> None:
        self.array = map_image(path, hdu)
        self.zero, self.scale = scaling(path, hdu.header)

    def __call__(self, y0: int, y1: int, x0: int = 0, x1: int | None = None) -> npt.NDArray[np.float64]:
        return np.asarray(self.array[y0:y1, x0:x1], np.float64) * self.scale + self.zero


class _RawRows:
    """Rows of a raw channel, also of a tile-compressed one."""

    def __init__(self, scan: FitsScan, hdu: HduScan) -> None:
        self.channel = RawChannel.of(scan, hdu, 0)

    def __call__(self, y0: int, y1: int, x0: int = 0, x1: int | None = None) -> npt.NDArray[np.float64]:
        return self.channel.read_rows(y0, y1)[:, x0:x1].astype(np.float64)


def decimate(rows: _Rows | _RawRows, shape: tuple[int, ...], factor: int) -> npt.NDArray[np.float64]:
    """Block averages of an image; NaN pixels do not count, incomplete blocks at the far edges are dropped.

    Parameters
    ----------
    rows : callable
        ``rows(y0, y1)`` gives rows ``y0`` up to but not including ``y1``, float64.
    shape : tuple of int
        ``(ny, nx)`` of the image.
    factor : int
        Edge of a block [pixel].

    Returns
    -------
    ndarray of float64, shape (ny // factor, nx // factor)
    """
    ny, nx = shape[0] // factor, shape[1] // factor
    out = np.empty((ny, nx))
    step = max(1, _SLAB_PIXELS // (factor * shape[1]))
    for y in range(0, ny, step):
        stop = min(ny, y + step)
        slab = rows(y * factor, stop * factor)[:, : nx * factor].reshape(stop - y, factor, nx, factor)
        good = np.isfinite(slab)
        total = np.where(good, slab, 0.0).sum(axis=(1, 3))
        number = good.sum(axis=(1, 3))
        out[y:stop] = np.where(number > 0, total / np.maximum(number, 1), np.nan)
    return out


def grey_levels(image: npt.NDArray[np.float64], cuts: Cuts) -> tuple[float, float]:
    """Levels shown black and white, always different; ``zscale`` as image displays of astronomers cut."""
    values = image[np.isfinite(image)]
    if values.size == 0:
        return 0.0, 1.0
    from astropy.visualization import MinMaxInterval, ZScaleInterval  # brings matplotlib: 30 MB

    interval = ZScaleInterval() if cuts == "zscale" else MinMaxInterval()
    low, high = map(float, interval.get_limits(values))
    if high <= low:
        high = low + (abs(low) * 1e-6 or 1.0)
    return low, high


def encode_png(grey: npt.NDArray[np.uint8]) -> bytes:
    """Eight-bit grey-level PNG of an array of shape ``(ny, nx)``, the first row at the top."""
    content = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(grey)).save(content, "PNG")
    return content.getvalue()
