"""A master dark becomes a smooth model: a plane, glowing corners, and the bad pixels that stand out of it.

Positions and sizes are those of the full-size detector (4096 x 4112) and scale with the image. Two horizontal stripes
of the detectors are taken off before the plane is fitted and, as in the reference, do not come back in the model.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from core.ccd.geometry import Detector, Window, all_ports
from core.ccd.hotpixels import flag_hot_pixels
from core.ccd.statistics import image_median_and_adev
from core.ccd.surface import fit_surface, smooth
from core.errors import DataError
from core.instruments.muse.facts import TRIMMED_SHAPE, Dq

__all__ = ["model_dark"]

_STRIPES: Final = ((1180, 280), (3560, 340))  # centre and half height [pix]
_ZONE: Final = 50  # height of the zones above and below a stripe that set its base
_BORDER: Final = 500
_CORNER: Final = 750  # radius of a glowing corner [pix]
_CORNER_SEARCH: Final = 800
_RING: Final = 850
_KERNEL: Final = 11
_PLANE_SIGMA: Final = 3.0
_CORNER_SIGMA: Final = 10.0
_FINAL_SIGMA: Final = 5.0
_REFINE_SIGMA: Final = 3.0
_HOT, _DARK = int(Dq.HOT), int(Dq.DARK)


@dataclass(frozen=True)
class _Scale:
    factor: float

    def __call__(self, size: int) -> int:
        return max(round(size * self.factor), 1)


def model_dark(
    data: NDArray[np.float32], dq: NDArray[np.int32], stat: NDArray[np.float32], detector: Detector
) -> tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.float32]]:
    """Model a normalised master dark.

    Parameters
    ----------
    data, stat : ndarray, float32, shape (ny, nx)
        Values [count] and variances [count^2]; not changed.
    dq : ndarray, int32, shape (ny, nx)
        Flags; not changed.
    detector : Detector

    Returns
    -------
    data, dq, stat : ndarray, shape (ny, nx)
        The model, the flags with pixels that deviate from it (256 hot, 512 dark, 8192 low), and the variance with the
        square of the smoothed residuals added.

    Raises
    ------
    DataError
        If the image is not that of the detector, or has too few good pixels.
    """
    if not data.shape == dq.shape == stat.shape == detector.trimmed_shape:
        raise DataError(f"the dark has the shape {data.shape}, the detector {detector.trimmed_shape}")
    scale = _Scale(data.shape[0] / TRIMMED_SHAPE[0])
    rest = data.copy()
    for rows, stripe in [_fit_stripe(data, dq, centre, half, scale) for centre, half in _STRIPES]:
        rest[rows] -= stripe
    model = _fit_plane(rest, dq, detector, scale)
    residual = rest - model
    for window, corner in _fit_corners(residual, dq, detector, scale):
        model[window] += corner
    np.subtract(rest, model, out=residual)
    del rest
    flags = dq.copy()
    for port in all_ports():
        window = detector.port_window(port)
        flag_hot_pixels(residual[window], flags[window], _FINAL_SIGMA, _FINAL_SIGMA)
    limit = _REFINE_SIGMA * image_median_and_adev(residual, flags)[1]
    _flag_neighbours(residual, flags, limit, 2)
    _flag_neighbours(residual, flags, limit, 4)
    variance = stat.copy()
    good = flags == 0
    for y0 in range(0, data.shape[0], 128):
        y1 = min(y0 + 128, data.shape[0])
        variance[y0:y1] += smooth(residual, good, _KERNEL, y0, y1) ** 2
    return model, flags, variance


def _usable(good: NDArray[np.bool_]) -> NDArray[np.bool_]:
    # The reference never uses the last column and the last row.
    good[-1, :] = False
    good[:, -1] = False
    return good


def _fit_stripe(
    data: NDArray[np.float32], dq: NDArray[np.int32], centre: int, half_height: int, scale: _Scale
) -> tuple[slice, NDArray[np.float32]]:
    y0, dy, zone = scale(centre), scale(half_height), scale(_ZONE)
    # 0-based rows: below y0-dy-z .. y0-dy, above y0+dy .. y0+dy+z, inclusive and 1-based in the description.
    below = slice(y0 - dy - zone - 1, y0 - dy)
    above = slice(y0 + dy - 1, y0 + dy + zone)
    base = 0.0
    for rows in (below, above):
        good = data[rows][dq[rows] == 0]
        if good.size == 0:
            raise DataError("the zones beside a stripe of the dark have no good pixels")
        base += 0.5 * float(np.mean(good, dtype=np.float64))
    window = slice(below.start, above.stop)
    part = data[window] - np.float32(base)
    good = dq[window] == 0
    for rows in (below, above):
        inside = slice(rows.start - window.start, rows.stop - window.start)
        part[inside] = 0.0
        good[inside] = True
    good[:, -1] = False
    surface = fit_surface(part, good, (5, 5))
    stripe = slice(y0 - dy - 1, y0 + dy)
    values = surface.rows(stripe.start - window.start, stripe.stop - window.start)
    return stripe, np.maximum(values, np.float32(0))


def _fit_plane(
    rest: NDArray[np.float32], dq: NDArray[np.int32], detector: Detector, scale: _Scale
) -> NDArray[np.float32]:
    border = scale(_BORDER)
    flags = dq.copy()
    for port in all_ports():
        window = detector.port_window(port)
        flag_hot_pixels(rest[window], flags[window], _PLANE_SIGMA, _PLANE_SIGMA)
    good = np.zeros(rest.shape, np.bool_)
    inner = (slice(border, -border), slice(border, -border))
    good[inner] = flags[inner] == 0
    surface = fit_surface(rest, _usable(good), (1, 1))
    return np.maximum(surface.rows(0, rest.shape[0]), np.float32(0))


def _fit_corners(
    residual: NDArray[np.float32], dq: NDArray[np.int32], detector: Detector, scale: _Scale
) -> Iterator[tuple[Window, NDArray[np.float32]]]:
    """Corner by corner: its window and what glows there; rings about the corners are set to 0 in the residual."""
    radius, search, ring = scale(_CORNER), scale(_CORNER_SEARCH), scale(_RING)
    ny, nx = residual.shape
    size = ring + 1
    for port in all_ports():
        rows = slice(max(ny - size, 0), ny) if detector.is_upper(port) else slice(0, min(size, ny))
        cols = slice(max(nx - size, 0), nx) if detector.is_right(port) else slice(0, min(size, nx))
        part, flags = residual[rows, cols], dq[rows, cols]
        y = np.arange(rows.start, rows.stop) - (ny - 1 if detector.is_upper(port) else 0)
        x = np.arange(cols.start, cols.stop) - (nx - 1 if detector.is_right(port) else 0)
        distance = np.hypot(y[:, None], x[None, :])
        inside = distance <= radius
        values = part[inside & (flags == 0)]
        if values.size < 2:
            raise DataError(f"the corner of quadrant {port} has no good pixels")
        noise = float(np.std(values, ddof=1, dtype=np.float64))
        smoothed = np.maximum(smooth(part, inside, _KERNEL), np.float32(0))
        good = (distance <= search) & (np.abs(part - smoothed) <= _CORNER_SIGMA * noise)
        empty = (distance >= radius) & (distance <= ring)
        part[empty] = 0.0
        good |= empty
        # Last column and row of the whole image, see _usable.
        if detector.is_upper(port):
            good[-1, :] = False
        if detector.is_right(port):
            good[:, -1] = False
        surface = fit_surface(part, good, (5, 5))
        glow = np.maximum(surface.rows(0, part.shape[0]), np.float32(0))
        glow[~inside] = 0.0
        yield (rows, cols), glow


@njit(cache=True, nogil=True)
def _neighbour_pass(residual, dq, limit, least, marks):  # type: ignore[no-untyped-def]
    ny, nx = residual.shape
    for y in range(ny):
        for x in range(nx):
            marks[y, x] = 0
            if dq[y, x] != 0:
                continue
            if least == 2 and not abs(residual[y, x]) > limit:
                continue
            n = 0
            if x > 0 and abs(residual[y, x - 1]) > limit:
                n += 1
            if x < nx - 1 and abs(residual[y, x + 1]) > limit:
                n += 1
            if y > 0 and abs(residual[y - 1, x]) > limit:
                n += 1
            if y < ny - 1 and abs(residual[y + 1, x]) > limit:
                n += 1
            if n >= least:
                marks[y, x] = 1 if residual[y, x] > 0 else 2


def _flag_neighbours(residual: NDArray[np.float32], dq: NDArray[np.int32], limit: float, least: int) -> None:
    """Flag pixels beside deviating ones: with 2, if they deviate themselves; with 4, in any case."""
    marks = np.empty(residual.shape, np.uint8)
    _neighbour_pass(residual, dq, limit, least, marks)
    dq[marks == 1] |= _HOT
    dq[marks == 2] |= _DARK
