"""A vignetted part of the field of view: where it is, and how much light is lost there.

In wide field mode an obstacle, gone since March 2017, took light from a corner, which a mask names. In narrow field
mode the upper rows are vignetted.

Source: MUSE manual 9.7.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from core.ccd.surface import fit_surface, smooth
from core.errors import DataError
from core.spatial.fieldfilter import median_filter

__all__ = ["RECOMMENDED", "Smoothing", "Vignetting", "corner_mask", "fit_vignetting", "top_mask"]

Method = Literal["polyfit", "gaussian", "median"]
Mask = npt.NDArray[np.bool_]
F32 = npt.NDArray[np.float32]

RECOMMENDED: Final[dict[Method, int]] = {"polyfit": 4, "gaussian": 10, "median": 5}
_TOP_ROWS: Final = 22
_NEAR_ONE: Final = 0.1  # rows of no loss are looked for if the least loss is below


@dataclass(frozen=True)
class Smoothing:
    """How a vignetted part is smoothed.

    Attributes
    ----------
    method : {'polyfit', 'gaussian', 'median'}
    x, y : int
        Orders of the polynomial; numbers whose mean is the full width of the Gaussian; or sides of the window [pix].
        Negative: as recommended for the method.
    edge : float
        Spaxels that differ from a neighbour by more do not count; 0 or less: all count.
    """

    method: Method = "polyfit"
    x: int = -1
    y: int = -1
    edge: float = 0.02

    @property
    def sizes(self) -> tuple[int, int]:
        """``x`` and ``y``, as recommended where they are not given."""
        recommended = RECOMMENDED[self.method]
        return (self.x if self.x >= 0 else recommended), (self.y if self.y >= 0 else recommended)


@dataclass(frozen=True, eq=False)
class Vignetting:
    """What is left of the light.

    Attributes
    ----------
    factor : ndarray of float32, shape (ny, nx)
        Relative to a field that is not vignetted; 1 outside.
    part : ndarray of bool, shape (ny, nx)
        The spaxels whose factor is a measured one.
    used : ndarray of bool, shape (ny, nx)
        The spaxels it was measured on.
    cleaned : ndarray of float32, shape (ny, nx), optional
        What it was measured on, 1 elsewhere; if edges were left out.
    """

    factor: F32
    part: Mask
    used: Mask
    cleaned: F32 | None = None


def corner_mask(mask: Mask, shape: tuple[int, int]) -> Mask:
    """Bring a mask to the size of the field: the quadrant that has most of it goes into the same corner.

    Parameters
    ----------
    mask : ndarray of bool, any shape
    shape : tuple of int
        (ny, nx) of the field.

    Raises
    ------
    DataError
        If the mask masks nothing.
    """
    if not mask.any():
        raise DataError("the vignetting mask masks nothing")
    ny, nx = mask.shape
    corners = {(top, right): mask[_half(ny, top), _half(nx, right)] for top in (False, True) for right in (False, True)}
    (top, right), corner = max(corners.items(), key=lambda item: np.count_nonzero(item[1]))
    rows, columns = min(corner.shape[0], shape[0]), min(corner.shape[1], shape[1])
    placed = np.zeros(shape, np.bool_)
    placed[_end(rows, top), _end(columns, right)] = corner[_end(rows, top), _end(columns, right)]
    return placed


def _half(n: int, upper: bool) -> slice:
    """Half of an axis; a row in the middle belongs to both."""
    return slice(n // 2 - 1, None) if upper else slice(None, n // 2)


def _end(n: int, upper: bool) -> slice:
    return slice(-n, None) if upper else slice(None, n)


def top_mask(shape: tuple[int, int], rows: int) -> Mask:
    """The upper rows of a field, which are vignetted in narrow field mode.

    Parameters
    ----------
    shape : tuple of int
        (ny, nx)
    rows : int
        The mask begins so far below the uppermost row; a number that does not fit stands for the usual one.
    """
    mask = np.zeros(shape, np.bool_)
    mask[-(rows if 0 < rows < shape[0] else _TOP_ROWS) - 1 :] = True
    return mask


def fit_vignetting(white: F32, field: Mask, mask: Mask, smoothing: Smoothing, *, narrow: bool) -> Vignetting:
    """Measure the loss of light in a part of the field.

    Parameters
    ----------
    white : ndarray of float32, shape (ny, nx)
        Image of the field over its smooth surface, as it is without vignetting.
    field, mask : ndarray of bool, shape (ny, nx)
        Where the field has light, and where it may be vignetted.
    smoothing : Smoothing
    narrow : bool
        Of narrow field mode, where the factor is at most 1; elsewhere it is at least 1.

    Raises
    ------
    DataError
        If there are too few spaxels for the polynomial.
    """
    used, one, cleaned = field & mask, np.float32(1), None
    if smoothing.edge > 0 and not narrow:
        used &= ~_at_edges(np.where(used, white, one), smoothing.edge)
        cleaned = np.where(used, white, one)
    bound = np.minimum if narrow else np.maximum
    factor, known = _SMOOTHERS[smoothing.method](white, used, smoothing.sizes, bound)
    factor = bound(factor, one)
    part = known & (_above_no_loss(factor, used, mask) if narrow else field & mask)
    return Vignetting(np.where(part, factor, one), part, used, cleaned)


def _at_edges(image: F32, least: float) -> Mask:
    """Spaxels that differ from a neighbour and are farther from 1 than it."""
    found = np.zeros(image.shape, np.bool_)
    off = np.abs(image - np.float32(1))
    for axis in (0, 1):
        differs = np.abs(np.diff(image, axis=axis)) >= least
        first, second = (slice(None, -1), slice(1, None))
        lower, upper = ((cut, slice(None)) if axis == 0 else (slice(None), cut) for cut in (first, second))
        found[lower] |= differs & (off[lower] > off[upper])
        found[upper] |= differs & (off[lower] <= off[upper])
    return found


def _by_polynomial(white: F32, used: Mask, sizes: tuple[int, int], bound: np.ufunc) -> tuple[F32, Mask]:
    fitted = used.copy()
    fitted[-1], fitted[:, -1] = False, False
    surface = fit_surface(bound(white, np.float32(1)), fitted, sizes)
    return surface.rows(0, white.shape[0]), np.ones(white.shape, np.bool_)


def _by_gaussian(white: F32, used: Mask, sizes: tuple[int, int], bound: np.ufunc) -> tuple[F32, Mask]:
    width = sum(sizes) / 2
    half = int(width + 0.5)
    smoothed = smooth(white, used, half + (half % 2 == 0), fwhm=width)
    return smoothed, smoothed != 0


def _by_median(white: F32, used: Mask, sizes: tuple[int, int], bound: np.ufunc) -> tuple[F32, Mask]:
    return median_filter(white, used, sizes)


_SMOOTHERS: Final = {"polyfit": _by_polynomial, "gaussian": _by_gaussian, "median": _by_median}


def _above_no_loss(factor: F32, used: Mask, mask: Mask) -> Mask:
    """The mask without the rows below that of least loss, where that is next to none.

    Rows without a spaxel that was used count as dark: they are left out too, and not extrapolated to.
    """
    kept = mask.copy()
    largest = -np.inf
    for row in range(len(factor) - 1, -1, -1):
        mean = float(np.mean(factor[row][used[row]], dtype=np.float64)) if used[row].any() else 0.0
        if mean < largest and abs(largest - 1) < _NEAR_ONE:
            kept[row] = False
        largest = max(largest, mean)
    return kept
