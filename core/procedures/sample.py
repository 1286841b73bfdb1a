"""Images become what a plot needs, without reading them wholly more than once.

A full master has 17 million pixels and a plot about a thousand columns, so cuts are averaged over a few rows, profiles
are made while reading in slabs, and histograms take a regular sample of the pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from core.formats.image import open_image
from core.formats.raw import open_raw

__all__ = ["F32", "F64", "Difference", "ImageSample", "RowReader", "gauss_of", "product_rows", "raw_rows", "sample"]

F64 = NDArray[np.float64]
F32 = NDArray[np.float32]
_SLAB = 256  # rows read at once
_CUT_HALF = 4  # rows (columns) on both sides that a cut averages
_HISTOGRAM_PIXELS = 400_000
_THUMBNAIL = 128  # pixels along the longer side


class RowReader(Protocol):
    """An image that is read by rows."""

    @property
    def shape(self) -> tuple[int, int]:
        """``(ny, nx)``."""
        ...

    def read_rows(self, y0: int, y1: int) -> F32:
        """Rows ``y0`` up to but not including ``y1``."""
        ...


class _ProductRows:
    def __init__(self, path: Path, unit: int) -> None:
        self._image = open_image(path, unit)
        self.shape = self._image.shape

    def read_rows(self, y0: int, y1: int) -> F32:
        rows: F32 = self._image.read_part("DATA", y0, y1)
        return rows


class _RawRows:
    """A raw frame without its prescans and overscans, so that it lies on the master."""

    def __init__(self, path: Path, unit: int) -> None:
        self._channel = open_raw(path).channel(unit)
        self._detector = self._channel.detector
        self.shape = self._detector.trimmed_shape

    def read_rows(self, y0: int, y1: int) -> F32:
        detector = self._detector
        left, right = (detector.raw_window(port)[1] for port in (1, 2))
        parts = []
        for start, stop in ((y0, min(y1, detector.ny)), (max(y0, detector.ny), y1)):
            if start < stop:
                first = detector.raw_row(start)
                rows = self._channel.read_rows(first, first + stop - start)
                parts.append(np.concatenate([rows[:, left], rows[:, right]], axis=1).astype(np.float32))
        return np.concatenate(parts)


@dataclass(frozen=True)
class Difference:
    """One image minus another of the same shape."""

    first: RowReader
    second: RowReader

    @property
    def shape(self) -> tuple[int, int]:
        """``(ny, nx)``."""
        return self.first.shape

    def read_rows(self, y0: int, y1: int) -> F32:
        """Rows of the difference."""
        return self.first.read_rows(y0, y1) - self.second.read_rows(y0, y1)


def product_rows(path: Path, unit: int) -> RowReader:
    """DATA of a product."""
    return _ProductRows(path, unit)


def raw_rows(path: Path, unit: int) -> RowReader:
    """A raw frame, trimmed [adu]."""
    return _RawRows(path, unit)


@dataclass(frozen=True)
class ImageSample:
    """What is shown of an image.

    Attributes
    ----------
    shape : tuple of int
        ``(ny, nx)`` of the image.
    x_cut, y_cut : ndarray, shapes (nx,), (ny,)
        Means over a few rows (columns) near the middle of the lower left quadrant.
    x_profile, y_profile : ndarray, shapes (nx,), (ny,)
        Means of all rows (columns): average of each column, of each row.
    pixels : ndarray, shape (n,), float32
        A regular sample of all pixels.
    thumbnail : ndarray, shape (h, w), float64
        The image averaged over blocks of pixels.
    """

    shape: tuple[int, int]
    x_cut: F64
    y_cut: F64
    x_profile: F64
    y_profile: F64
    pixels: F32
    thumbnail: F64

    @property
    def median(self) -> float:
        """Median of the sampled pixels."""
        return float(np.median(self.pixels))

    @property
    def sigma(self) -> float:
        """Robust standard deviation of the sampled pixels."""
        return float(1.4826 * np.median(np.abs(self.pixels - np.median(self.pixels))))


def sample(image: RowReader, *, quick: bool = False) -> ImageSample:
    """Sample an image in one pass over its rows.

    Parameters
    ----------
    image : RowReader
    quick : bool
        Read only some slabs of rows: enough for a thumbnail and statistics, profiles are those of the slabs.
    """
    ny, nx = image.shape
    row, column = ny // 4, nx // 4
    y_cut, y_profile = np.full(ny, np.nan), np.full(ny, np.nan)
    total, rows_read = np.zeros(nx), 0
    step = max(1, -(-max(ny, nx) // _THUMBNAIL))
    stride = max(1, int(np.sqrt(ny * nx / _HISTOGRAM_PIXELS)))
    thumbnail: list[F64] = []
    pixels: list[F32] = []
    height = max(_SLAB // step, 1) * step
    for y0 in range(0, ny, height):
        y1 = min(y0 + height, ny)
        if quick:
            y1 = min(y0 + 2 * step, y1)
        rows = image.read_rows(y0, y1)
        rows[~np.isfinite(rows)] = 0.0
        total += rows.sum(axis=0, dtype=np.float64)
        rows_read += y1 - y0
        y_profile[y0:y1] = rows.mean(axis=1, dtype=np.float64)
        y_cut[y0:y1] = rows[:, column - _CUT_HALF : column + _CUT_HALF + 1].mean(axis=1, dtype=np.float64)
        pixels.append(rows[::stride, ::stride].ravel())
        thumbnail += [_average(rows[first : first + step], step) for first in range(0, y1 - y0, step)]
    near = image.read_rows(max(row - _CUT_HALF, 0), min(row + _CUT_HALF + 1, ny))
    return ImageSample(
        shape=(ny, nx),
        x_cut=near.mean(axis=0, dtype=np.float64),
        y_cut=y_cut,
        x_profile=total / rows_read,
        y_profile=y_profile,
        pixels=np.concatenate(pixels),
        thumbnail=np.array(thumbnail),
    )


def _average(rows: F32, step: int) -> F64:
    width = rows.shape[1] // step * step
    mean: F64 = rows[:, :width].mean(axis=0, dtype=np.float64).reshape(-1, step).mean(axis=1)
    return mean


def gauss_of(pixels: F32) -> tuple[float, float]:
    """Centre and sigma of the Gaussian that describes the core of a distribution.

    Mean and standard deviation of the pixels within 3 sigma, iterated from median and MAD, and corrected for the cut
    tails of a Gaussian.
    """
    centre = float(np.median(pixels))
    sigma = float(1.4826 * np.median(np.abs(pixels - centre)))
    if sigma == 0.0:
        return centre, 0.0
    for _ in range(3):
        core = pixels[np.abs(pixels - centre) < 3 * sigma].astype(np.float64)
        # the standard deviation of a Gaussian cut at 3 sigma is 0.98658 sigma
        centre, sigma = float(core.mean()), float(core.std()) / 0.98658
    return centre, sigma
