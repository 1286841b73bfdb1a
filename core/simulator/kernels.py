"""The hot loops of lamps: continua and lines that fill all slices, on pixels."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from core.simulator.gaussian import covered, slit_fraction

__all__ = ["cubic", "render_continuum", "render_lines"]

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]


@njit(cache=True, nogil=True)
def cubic(c: Any, t: float) -> float:
    return c[0] + t * (c[1] + t * (c[2] + t * c[3]))


@njit(cache=True, nogil=True)
def _wavelength(dx: float, dy: float, wave: Any, tilt: Any, curvature: float, half_height: float) -> float:
    return cubic(wave, dy) + (tilt[0] + tilt[1] * dy / half_height) * dx + curvature * dx * dx


@njit(cache=True, nogil=True)
def render_continuum(
    image: F32,
    y_middle: float,
    half_height: float,
    left: F64,
    right: F64,
    x_middle: F64,
    wave: F64,
    tilt: F64,
    curvature: F64,
    throughput: F64,
    slit: F64,
    edge_sigma: float,
    spectrum_start: float,
    spectrum_step: float,
    spectrum: F64,
) -> None:
    """Add a continuum to ``image`` (ny, nx); ``spectrum`` is light per pixel row on a regular wavelength grid.

    The slice parameters are those of `core.simulator.optics.OpticsTruth`.
    """
    ny, nx = image.shape
    for s in range(left.shape[0]):
        for j in range(ny):
            dy = j + 1.0 - y_middle
            t = dy / half_height
            x_left = cubic(left[s], t)
            x_right = cubic(right[s], t)
            width = x_right - x_left
            center = 0.5 * (x_left + x_right)
            first = max(1, math.floor(x_left - 5.0))
            last = min(nx, math.ceil(x_right + 5.0))
            slope = tilt[s, 0] + tilt[s, 1] * t
            along = cubic(wave[s], dy)
            for x in range(first, last + 1):
                if x - x_left > 5.0 and x_right - x > 5.0:
                    part = 1.0
                else:
                    part = covered(float(x), x_left, x_right, edge_sigma)
                dx = x - x_middle[s]
                place = (along + slope * dx + curvature[s] * dx * dx - spectrum_start) / spectrum_step
                k = int(place)
                if k < 0 or k >= spectrum.shape[0] - 1:
                    continue
                light = spectrum[k] + (place - k) * (spectrum[k + 1] - spectrum[k])
                q = (x - center) / width
                light *= throughput[s] * (1.0 + q * (slit[s, 0] + q * slit[s, 1]))
                image[j, x - 1] += light * part


@njit(cache=True, nogil=True)
def render_lines(
    image: F32,
    y_middle: float,
    half_height: float,
    left: F64,
    right: F64,
    x_middle: F64,
    wave: F64,
    tilt: F64,
    curvature: F64,
    throughput: F64,
    slit: F64,
    edge_sigma: float,
    lsf_sigma: F64,
    half_slit: float,
    line_wave: F64,
    line_area: F64,
) -> None:
    """Add emission lines to ``image`` (ny, nx); ``line_area`` is light per detector column.

    Each line is integrated over the pixels, so that its centroid along y is where the wavelength of the slice
    equals that of the line.
    """
    ny, nx = image.shape
    for s in range(left.shape[0]):
        for k in range(line_wave.shape[0]):
            lam = line_wave[k]
            v = (lam - 7000.0) / 1000.0
            sigma = lsf_sigma[s, 0] + v * (lsf_sigma[s, 1] + v * lsf_sigma[s, 2])
            reach = half_slit + 5.0 * sigma
            dy = (lam - wave[s, 0]) / wave[s, 1]
            t = dy / half_height
            if abs(dy) > y_middle + 200.0:
                continue
            first = max(1, math.floor(cubic(left[s], t) - 8.0))
            last = min(nx, math.ceil(cubic(right[s], t) + 8.0))
            for x in range(first, last + 1):
                dx = x - x_middle[s]
                for _ in range(8):
                    slope = wave[s, 1] + dy * (2.0 * wave[s, 2] + 3.0 * dy * wave[s, 3]) + tilt[s, 1] * dx / half_height
                    step = (lam - _wavelength(dx, dy, wave[s], tilt[s], curvature[s], half_height)) / slope
                    dy += step
                    if abs(step) < 1e-7:
                        break
                t = dy / half_height
                x_left = cubic(left[s], t)
                x_right = cubic(right[s], t)
                part = covered(float(x), x_left, x_right, edge_sigma)
                if part < 1e-7:
                    continue
                q = (x - 0.5 * (x_left + x_right)) / (x_right - x_left)
                light = line_area[k] * throughput[s] * (1.0 + q * (slit[s, 0] + q * slit[s, 1])) * part
                y0 = dy + y_middle
                low = max(1, math.floor(y0 - reach / 1.15))
                high = min(ny, math.ceil(y0 + reach / 1.15))
                edge = low - 0.5 - y_middle
                below = slit_fraction(
                    _wavelength(dx, edge, wave[s], tilt[s], curvature[s], half_height) - lam, half_slit, sigma
                )
                for y in range(low, high + 1):
                    edge = y + 0.5 - y_middle
                    upto = slit_fraction(
                        _wavelength(dx, edge, wave[s], tilt[s], curvature[s], half_height) - lam, half_slit, sigma
                    )
                    image[y - 1, x - 1] += light * (upto - below)
                    below = upto
