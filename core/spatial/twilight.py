"""The flat field of the field of view: planes of the twilight sky become smooth surfaces.

The twilight has no structure of its own but a gradient. What is left when the IFUs have the same flux is a surface of
low order, with noise and the marks of the slices on it; a vignetted part is treated apart (`core.spatial.vignetting`).

Source: MUSE manual 9.7.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from core.ccd.surface import Surface, fit_surface
from core.errors import DataError
from core.spatial.fieldfilter import median_filter
from core.spatial.vignetting import Smoothing, Vignetting, fit_vignetting
from core.spread import Spread, in_turn

__all__ = ["FieldSurface", "SmoothField", "fit_plane", "illuminated", "smooth_field"]

F32 = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

_WINDOW: Final = (5, 7)  # [pix] of the median filter
_EDGE: Final = 2  # [pix] at the ends of the slices that are left out


@dataclass(frozen=True)
class FieldSurface:
    """A surface over the field of view.

    Attributes
    ----------
    surface : Surface
    level : float
        Its mean where it was fitted.
    """

    surface: Surface
    level: float

    def image(self) -> F32:
        """Its values, in units of the level; float32, shape (ny, nx)."""
        return _whole(self.surface) / np.float32(self.level)


@dataclass(frozen=True, eq=False)
class SmoothField:
    """The flat field of the field of view, and what led to it.

    Attributes
    ----------
    planes : ndarray of float32, shape (nz, ny, nx)
        The flat field. Without vignetting the mean of a plane is 1 where it was fitted, else over all of it.
    interpolated : tuple of int
        Planes that had no data.
    fitted : ndarray of float32, shape (ny, nx)
        Mean of the planes, without vignetting.
    divided : ndarray of float32, shape (ny, nx)
        The white image over ``fitted``.
    good : ndarray of bool, shape (ny, nx)
        Where the field has light.
    vignetting : Vignetting, optional
        Where it has less.
    """

    planes: F32
    interpolated: tuple[int, ...]
    fitted: F32
    divided: F32
    good: Mask
    vignetting: Vignetting | None = None


def illuminated(white: F32) -> Mask:
    """Where an image of the field has light, without the ends of the slices.

    Parameters
    ----------
    white : ndarray of float32, shape (ny, nx)
        NaN or 0 where there is nothing.
    """
    dark = ~np.isfinite(white) | (white == 0)
    nx = white.shape[1]
    around = np.pad(dark, ((0, 0), (_EDGE, _EDGE)))
    near = np.logical_or.reduce([around[:, shift : shift + nx] for shift in range(2 * _EDGE + 1)])
    found = dark.copy()
    found[:, _EDGE:-_EDGE] = near[:, _EDGE:-_EDGE]
    found[:, [0, -1]] = True
    return ~found


def fit_plane(plane: F32, field: Mask, vignetted: Mask, orders: tuple[int, int]) -> FieldSurface:
    """Fit a surface to a plane of the twilight sky.

    Parameters
    ----------
    plane : ndarray of float32, shape (ny, nx)
        NaN or 0 where there is nothing.
    field, vignetted : ndarray of bool, shape (ny, nx)
        Where there is light, and where it is less than elsewhere.
    orders : tuple of int
        Of the polynomial, in x and y.

    Raises
    ------
    DataError
        If there are too few spaxels for the orders.
    """
    good = field & np.isfinite(plane) & (plane != 0)
    medians, known = median_filter(plane, good, _WINDOW)
    used = known & ~vignetted
    fitted = used.copy()
    fitted[-1], fitted[:, -1] = False, False
    surface = fit_surface(medians, fitted, orders)
    return FieldSurface(surface, float(np.mean(_whole(surface)[used], dtype=np.float64)))


def smooth_field(
    planes: F32,
    white: F32,
    orders: tuple[int, int],
    vignetted: Mask | None,
    smoothing: Smoothing,
    *,
    narrow: bool = False,
    spread: Spread = in_turn,
) -> SmoothField:
    """Smooth the twilight sky.

    Parameters
    ----------
    planes : ndarray of float32, shape (nz, ny, nx)
        NaN where there is nothing.
    white : ndarray of float32, shape (ny, nx)
        Their mean.
    orders : tuple of int
        Of the polynomials, in x and y.
    vignetted : ndarray of bool, shape (ny, nx), optional
        Where the field may be vignetted.
    smoothing : Smoothing
        Of the vignetted part.
    narrow : bool
        Whether the mode is that of the narrow field.
    spread : Spread
        Threads of the caller.

    Raises
    ------
    DataError
        If no plane has enough spaxels for the orders, or the vignetted part has not enough.
    """
    good = illuminated(white)
    mask = np.zeros_like(good) if vignetted is None else vignetted
    surfaces = spread(lambda plane: _fit_if_filled(plane, good, mask, orders), planes)
    smooth, interpolated = _all_planes(surfaces)
    fitted: F32 = np.asarray(np.mean(smooth, axis=0, dtype=np.float64), np.float32)
    divided = white / np.float32(np.mean(white[good], dtype=np.float64)) / fitted
    if vignetted is None:
        return SmoothField(smooth, interpolated, fitted, divided, good)
    loss = fit_vignetting(divided, good, mask, smoothing, narrow=narrow)
    for plane in smooth:
        plane *= loss.factor
        plane /= np.float32(plane.mean(dtype=np.float64))
    return SmoothField(smooth, interpolated, fitted, divided, good, loss)


def _fit_if_filled(plane: F32, good: Mask, vignetted: Mask, orders: tuple[int, int]) -> FieldSurface | None:
    """Surface of a plane; None if it has not a single spaxel to fit."""
    filled = np.any(good & ~vignetted & np.isfinite(plane) & (plane != 0))
    return fit_plane(plane, good, vignetted, orders) if filled else None


def _all_planes(surfaces: Sequence[FieldSurface | None]) -> tuple[F32, tuple[int, ...]]:
    """Planes of surfaces, and which of them are interpolated between their neighbours."""
    known = [number for number, surface in enumerate(surfaces) if surface is not None]
    if not known:
        raise DataError("no plane of the twilight sky has light where it is not vignetted")
    images = np.stack([surface.image() for surface in surfaces if surface is not None])
    place = np.interp(np.arange(len(surfaces)), known, np.arange(len(known)))
    lower = np.floor(place).astype(np.intp)
    upper = np.minimum(lower + 1, len(known) - 1)
    part = (place - lower).astype(np.float32)[:, None, None]
    smooth = np.where(part > 0, images[lower] * (1 - part) + images[upper] * part, images[lower])
    return smooth, tuple(number for number in range(len(surfaces)) if number not in known)


def _whole(surface: Surface) -> F32:
    return surface.rows(0, surface.shape[0])
