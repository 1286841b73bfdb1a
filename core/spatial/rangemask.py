"""Which pixels of a detector see a range of wavelengths, and what a fast reconstruction of images needs of it.

Source: behaviour of the reference pipeline (muse_qi_mask), whose masks the instrument's quick-look software reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from numpy.polynomial import Polynomial
from scipy import ndimage

from core.spatial.positions import SliceMap

__all__ = ["CommonDispersion", "SliceBoxes", "common_dispersion", "find_slices", "range_mask", "wave_map"]

_MIDDLE: Final = 2056.0  # row where slices have their own wavelengths [pix]
_ROWS: Final = np.arange(1.0, 4112.0, 83.0)  # where wavelengths are sampled

Mask = npt.NDArray[np.bool_]
F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SliceBoxes:
    """Connected regions of a mask, from left to right.

    Attributes
    ----------
    mask : ndarray of bool, shape (ny, nx)
        Without regions of one pixel in width or height.
    boxes : ndarray of int64, shape (n, 4)
        First and last column, first and last row of each, 1-based.
    """

    mask: Mask
    boxes: npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class CommonDispersion:
    """Wavelengths along the middle of slices: ``own[slice] + linear * y + square * y**2`` [Angstrom, y in pix]."""

    own: F64
    linear: float
    square: float


def wave_map(maps: Iterable[SliceMap], shape: tuple[int, int], binning: tuple[int, int] = (1, 1)) -> F32:
    """Wavelength of each pixel of a trimmed image, 0 between slices.

    Parameters
    ----------
    maps : iterable of SliceMap
        Of the image without binning.
    shape : tuple of int
        (ny, nx) of that image.
    binning : tuple of int
        Pixels (in y, in x) that are one: it has the mean of them.
    """
    wave = np.zeros(shape, np.float32)
    for item in maps:
        places = item.places()
        wave[places.y - 1, places.x - 1] = places.wave
    by, bx = binning
    if (by, bx) == (1, 1):
        return wave
    ny, nx = shape[0] // by, shape[1] // bx
    cells = wave[: ny * by, : nx * bx].reshape(ny, by, nx, bx)
    return (cells.sum(axis=(1, 3), dtype=np.float32) / np.float32(by * bx)).astype(np.float32)


def range_mask(wave: F32, low: float, high: float) -> Mask:
    """Pixels between two wavelengths, both excluded."""
    return (wave > low) & (wave < high)


def find_slices(mask: Mask) -> SliceBoxes:
    """Regions of pixels that share a side."""
    labels, n = ndimage.label(mask)
    found, kept = [], np.ones(n + 1, np.bool_)
    for number, (rows, columns) in enumerate(ndimage.find_objects(labels), start=1):
        if rows.stop - rows.start > 1 and columns.stop - columns.start > 1:
            found.append((columns.start + 1, columns.stop, rows.start + 1, rows.stop))
        else:
            kept[number] = False
    return SliceBoxes(mask & kept[labels], np.array(sorted(found), np.int64).reshape(-1, 4))


def common_dispersion(maps: Sequence[SliceMap], centres: Sequence[F64]) -> CommonDispersion:
    """One parabola for all slices of a full detector, and the wavelength at which each has its zero.

    Parameters
    ----------
    maps : sequence of SliceMap
    centres : sequence of ndarray of float64
        Coefficients of the powers of the row: the middle of each slice [pix].
    """
    curves = []
    for item, centre in zip(maps, centres, strict=True):
        x = Polynomial(centre)(_MIDDLE)
        curves.append(Polynomial(np.polynomial.polynomial.polyval(x, item.wave)))
    own = np.array([curve(_MIDDLE) for curve in curves])
    samples = np.array([curve(_ROWS) for curve in curves]) - own[:, None]
    fitted = Polynomial.fit(np.tile(_ROWS, len(curves)), samples.ravel(), 2).convert()
    constant, linear, square = np.asarray(fitted.coef, np.float64).tolist()
    return CommonDispersion(own + constant, linear, square)
