"""The hot loops of the simulator: light on pixels, and pixels into adu."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["digitise", "render_continuum", "render_lines"]

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]


@njit(cache=True, nogil=True)
def _smooth_ramp(u: float, sigma: float) -> float:
    """Integral of the normal distribution function of width sigma from -infinity to u."""
    z = u / sigma
    if z > 6.0:
        return u
    if z < -6.0:
        return 0.0
    return u * 0.5 * math.erfc(-z * 0.7071067811865476) + sigma * 0.3989422804014327 * math.exp(-0.5 * z * z)


@njit(cache=True, nogil=True)
def _slit_fraction(u: float, half_slit: float, sigma: float) -> float:
    """Part below u of a slit of half width half_slit convolved with a Gaussian."""
    return (_smooth_ramp(u + half_slit, sigma) - _smooth_ramp(u - half_slit, sigma)) / (2.0 * half_slit)


@njit(cache=True, nogil=True)
def _inside(x: float, left: float, right: float, sigma: float) -> float:
    """Part of pixel x that a slice with soft edges covers."""
    rise = _smooth_ramp(x + 0.5 - left, sigma) - _smooth_ramp(x - 0.5 - left, sigma)
    fall = _smooth_ramp(x + 0.5 - right, sigma) - _smooth_ramp(x - 0.5 - right, sigma)
    return rise - fall


@njit(cache=True, nogil=True)
def _cubic(c: Any, t: float) -> float:
    return c[0] + t * (c[1] + t * (c[2] + t * c[3]))


@njit(cache=True, nogil=True)
def _wavelength(dx: float, dy: float, wave: Any, tilt: Any, curvature: float, half_height: float) -> float:
    return _cubic(wave, dy) + (tilt[0] + tilt[1] * dy / half_height) * dx + curvature * dx * dx


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
            x_left = _cubic(left[s], t)
            x_right = _cubic(right[s], t)
            width = x_right - x_left
            center = 0.5 * (x_left + x_right)
            first = max(1, math.floor(x_left - 5.0))
            last = min(nx, math.ceil(x_right + 5.0))
            slope = tilt[s, 0] + tilt[s, 1] * t
            along = _cubic(wave[s], dy)
            for x in range(first, last + 1):
                if x - x_left > 5.0 and x_right - x > 5.0:
                    part = 1.0
                else:
                    part = _inside(float(x), x_left, x_right, edge_sigma)
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
            first = max(1, math.floor(_cubic(left[s], t) - 8.0))
            last = min(nx, math.ceil(_cubic(right[s], t) + 8.0))
            for x in range(first, last + 1):
                dx = x - x_middle[s]
                for _ in range(8):
                    slope = wave[s, 1] + dy * (2.0 * wave[s, 2] + 3.0 * dy * wave[s, 3]) + tilt[s, 1] * dx / half_height
                    step = (lam - _wavelength(dx, dy, wave[s], tilt[s], curvature[s], half_height)) / slope
                    dy += step
                    if abs(step) < 1e-7:
                        break
                t = dy / half_height
                x_left = _cubic(left[s], t)
                x_right = _cubic(right[s], t)
                part = _inside(float(x), x_left, x_right, edge_sigma)
                if part < 1e-7:
                    continue
                q = (x - 0.5 * (x_left + x_right)) / (x_right - x_left)
                light = line_area[k] * throughput[s] * (1.0 + q * (slit[s, 0] + q * slit[s, 1])) * part
                y0 = dy + y_middle
                low = max(1, math.floor(y0 - reach / 1.15))
                high = min(ny, math.ceil(y0 + reach / 1.15))
                edge = low - 0.5 - y_middle
                below = _slit_fraction(
                    _wavelength(dx, edge, wave[s], tilt[s], curvature[s], half_height) - lam, half_slit, sigma
                )
                for y in range(low, high + 1):
                    edge = y + 0.5 - y_middle
                    upto = _slit_fraction(
                        _wavelength(dx, edge, wave[s], tilt[s], curvature[s], half_height) - lam, half_slit, sigma
                    )
                    image[y - 1, x - 1] += light * (upto - below)
                    below = upto


@njit(cache=True, nogil=True)
def digitise(
    out: NDArray[np.uint16],
    electrons: F32,
    uniform: F32,
    normal: F32,
    row_bias: F32,
    column_bias: F32,
    level: F64,
    gain: F64,
    ron: F64,
    first_row: int,
    ny_quarter: int,
    first_data_row: int,
    scan_x: int,
    port_nx: int,
) -> None:
    """Draw noise and convert a slab of raw rows to adu.

    Parameters
    ----------
    out : (rows, nx_raw)
        Slab of the raw frame, to be filled.
    electrons, uniform : (trimmed rows, 2 port_nx)
        Expected electrons of the trimmed rows that lie in the slab, and random numbers in [0, 1) for them.
    normal : (rows, nx_raw)
        Normal deviates.
    row_bias, column_bias, level, gain, ron
        As in `core.simulator.channel.ChannelTruth`; ``ron`` in adu.
    first_row : int
        Raw row (0-based) of the first row of the slab.
    ny_quarter : int
        Half the height of the raw frame.
    first_data_row : int
        Row of the slab that holds the first row of ``electrons``; all rows of ``electrons`` follow each other.
    scan_x, port_nx : int
        Prescan width and width of the data section.

    Notes
    -----
    Photon noise is Poisson up to 50 electrons and its Gaussian limit above, where it is drawn together with the
    read noise in one deviate.
    """
    rows, nx_raw = out.shape
    nx_quarter = nx_raw // 2
    n_data = electrons.shape[0]
    for r in range(rows):
        raw_y = first_row + r
        upper = raw_y >= ny_quarter
        depth = 2 * ny_quarter - 1 - raw_y if upper else raw_y
        d = r - first_data_row
        lit = 0 <= d < n_data
        for half in range(2):
            if half == 0:
                port = 3 if upper else 0
            else:
                port = 2 if upper else 1
            base = level[port] + row_bias[port, depth]
            per_adu = 1.0 / gain[port]
            noise = ron[port]
            for i in range(nx_quarter):
                raw_x = i if half == 0 else nx_raw - 1 - i
                value = base + column_bias[port, i]
                k = i - scan_x
                if lit and 0 <= k < port_nx:
                    x = k if half == 0 else 2 * port_nx - 1 - k
                    mean = electrons[d, x]
                    if mean > 50.0:
                        value += mean * per_adu + normal[r, raw_x] * math.sqrt(mean * per_adu * per_adu + noise * noise)
                    else:
                        u = uniform[d, x]
                        n = 0
                        if mean > 0.0 and u > 1.0 - mean:
                            p = math.exp(-mean)
                            total = p
                            while u > total and n < 150:
                                n += 1
                                p *= mean / n
                                total += p
                        value += n * per_adu + normal[r, raw_x] * noise
                else:
                    value += normal[r, raw_x] * noise
                adu = math.floor(value + 0.5)
                if adu < 0.0:
                    adu = 0.0
                elif adu > 65535.0:
                    adu = 65535.0
                out[r, raw_x] = np.uint16(adu)
