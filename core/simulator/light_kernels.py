"""The hot loops of light with a spectrum on places in the field: spectra through the slit, slices on pixels."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from core.simulator.kernels import _cubic, _inside, _slit_fraction

__all__ = ["render_slice", "spread"]

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

_BLOCK = 64  # places of a spectrum with one width of the line-spread function


@njit(cache=True, nogil=True)
def _normal(z: float) -> float:
    return 0.5 * math.erfc(-z * 0.7071067811865476)


@njit(cache=True, nogil=True)
def _width(lsf_sigma: F64, wave: float) -> float:
    v = (wave - 7000.0) / 1000.0
    return float(lsf_sigma[0] + v * (lsf_sigma[1] + v * lsf_sigma[2]))


@njit(cache=True, nogil=True)
def _profile(step: float, half_slit: float, sigma: float) -> F64:
    """Parts of the line-spread function in cells of width ``step`` around its middle, together 1."""
    reach = int((half_slit + 5.0 * sigma) / step) + 1
    part = np.empty(2 * reach + 1)
    for j in range(-reach, reach + 1):
        upper = _slit_fraction((j + 0.5) * step, half_slit, sigma)
        part[j + reach] = upper - _slit_fraction((j - 0.5) * step, half_slit, sigma)
    return part / part.sum()


@njit(cache=True, nogil=True)
def _convolve(
    start: float, step: float, continuum: F64, lsf_sigma: F64, half_slit: float, cumulative: F64, density: F64
) -> None:
    """Add the convolved continuum and its integral to ``density`` and ``cumulative``."""
    n = continuum.shape[0]
    pad = int((half_slit + 5.0 * max(_width(lsf_sigma, start), _width(lsf_sigma, start + n * step), 1.0)) / step) + 2
    # as they go on beyond both ends: no light there
    light = np.zeros(n + 2 * pad)
    below = np.zeros(n + 2 * pad)
    light[pad : pad + n] = continuum
    for k in range(pad + 1, n + 2 * pad):
        below[k] = below[k - 1]
        if k < pad + n:
            below[k] += 0.5 * step * (light[k - 1] + light[k])
    for block in range(0, n, _BLOCK):
        last = min(block + _BLOCK, n)
        part = _profile(step, half_slit, _width(lsf_sigma, start + 0.5 * (block + last) * step))
        reach = part.shape[0] // 2
        for j in range(-reach, reach + 1):
            p = part[j + reach]
            for k in range(block, last):
                cumulative[k] += p * below[k - j + pad]
                density[k] += p * light[k - j + pad]


@njit(cache=True, nogil=True)
def spread(
    start: float, step: float, continuum: F64, line_wave: F64, line_area: F64, lsf_sigma: F64, half_slit: float
) -> tuple[F64, F64]:
    """Convolve a spectrum with the line-spread function of a slice.

    Parameters
    ----------
    start, step : float
        Wavelengths of ``continuum`` [Angstrom].
    continuum : ndarray of float64, shape (n,)
        Light per Angstrom.
    line_wave, line_area : ndarray of float64
        Lines [Angstrom] and their light.
    lsf_sigma : ndarray of float64, shape (3,)
        Width of the Gaussian: polynomial in (wave - 7000) / 1000 [Angstrom].
    half_slit : float
        Half the width of the slit that the Gaussian is convolved with [Angstrom].

    Returns
    -------
    cumulative, density : ndarray of float64, shape (n,)
        Light below each wavelength, and light per Angstrom there.
    """
    n = continuum.shape[0]
    cumulative = np.zeros(n)
    density = np.zeros(n)
    if continuum.max() > 0.0:
        _convolve(start, step, continuum, lsf_sigma, half_slit, cumulative, density)
    done = np.zeros(n + 1)
    for i in range(line_wave.shape[0]):
        sigma = _width(lsf_sigma, line_wave[i])
        reach_wave = half_slit + 7.0 * sigma
        first = max(0, math.ceil((line_wave[i] - reach_wave - start) / step))
        last = min(n, math.floor((line_wave[i] + reach_wave - start) / step) + 1)
        for k in range(first, last):
            u = start + k * step - line_wave[i]
            cumulative[k] += line_area[i] * _slit_fraction(u, half_slit, sigma)
            rise = _normal((u + half_slit) / sigma) - _normal((u - half_slit) / sigma)
            density[k] += line_area[i] * rise / (2.0 * half_slit)
        done[max(last, 0)] += line_area[i]
    total = 0.0
    for k in range(n):
        total += done[k]
        cumulative[k] += total
    return cumulative, density


@njit(cache=True, nogil=True)
def _light_below(place: float, step: float, cumulative: F64, density: F64) -> float:
    """Light below a wavelength, ``place`` steps from the first: the cubic through values and slopes."""
    n = cumulative.shape[0]
    if place <= 0.0:
        return 0.0
    if place >= n - 1:
        return float(cumulative[n - 1])
    k = int(place)
    t = place - k
    rise = cumulative[k + 1] - cumulative[k]
    a = density[k] * step - rise
    b = rise - density[k + 1] * step
    return float(cumulative[k] + t * rise + t * (1.0 - t) * (a * (1.0 - t) + b * t))


@njit(cache=True, nogil=True)
def _lit(profile: F64) -> tuple[int, int]:
    """First and last place that is bright at any wavelength; (n, -1) if none is."""
    nodes, places = profile.shape
    low = places
    high = -1
    for i in range(places):
        for n in range(nodes):
            if profile[n, i] > 0.0:
                low = min(low, i)
                high = i
                break
    return low, high


@njit(cache=True, nogil=True)
def _brightness(profile: F64, node: float, place: float) -> float:
    """Brightness between the wavelengths and places of a profile, in units of their steps."""
    nodes = profile.shape[0]
    k = int(place)
    part = place - k
    n = 0 if node <= 0.0 else min(int(node), nodes - 1)
    here = profile[n, k] + part * (profile[n, k + 1] - profile[n, k])
    if node <= 0.0 or n == nodes - 1:
        return float(here)
    above = profile[n + 1, k] + part * (profile[n + 1, k + 1] - profile[n + 1, k])
    return float(here + (node - n) * (above - here))


@njit(cache=True, nogil=True)
def _columns(
    shape: tuple[int, int], y_middle: float, half_height: float, left: F64, right: F64, low: float, high: float
) -> tuple[int, int]:
    """First and last column between ``low`` and ``high``, in units of the width of the slice, at any row."""
    ny, nx = shape
    first = nx
    last = 1
    for j in range(0, ny + 16, 16):
        t = (j + 1.0 - y_middle) / half_height
        x_left = _cubic(left, t)
        x_right = _cubic(right, t)
        center = 0.5 * (x_left + x_right)
        width = x_right - x_left
        first = min(first, math.floor(max(x_left - 5.0, center + width * low)))
        last = max(last, math.ceil(min(x_right + 5.0, center + width * high)))
    return max(1, first), min(nx, last)


@njit(cache=True, nogil=True)
def render_slice(
    image: F32,
    y_middle: float,
    half_height: float,
    left: F64,
    right: F64,
    x_middle: float,
    wave: F64,
    tilt: F64,
    curvature: float,
    edge_sigma: float,
    flexure: float,
    start: float,
    step: float,
    cumulative: F64,
    density: F64,
    node_start: float,
    node_step: float,
    profile: F64,
    reach: float,
) -> None:
    """Add the light of one component in one slice to ``image`` (ny, nx).

    Parameters
    ----------
    image, y_middle, half_height, left, right, x_middle, wave, tilt, curvature, edge_sigma
        As in `core.simulator.kernels.render_continuum`, of one slice.
    flexure : float
        Shift of the light to the red [Angstrom].
    start, step, cumulative, density
        From `spread`.
    node_start, node_step : float
        Wavelengths of the rows of ``profile`` [Angstrom].
    profile : ndarray of float64, shape (nodes, places)
        Brightness at places from ``-reach`` to ``reach`` along the slice, in units of its width; constant beyond the
        first and the last wavelength.
    """
    low, high = _lit(profile)
    last_place = profile.shape[1] - 1
    scale = last_place / (2.0 * reach)
    first, last = _columns(
        image.shape, y_middle, half_height, left, right, (low - 1) / scale - reach, (high + 1) / scale - reach
    )
    if high < 0 or last < first:
        return
    per_step = 1.0 / step
    per_node = 1.0 / node_step
    edge_wave = np.empty(last - first + 1)
    edge_light = np.empty(last - first + 1)
    for j in range(-1, image.shape[0]):
        # the upper edges of row j, and with those of the row below the row itself
        dy = j + 1.5 - y_middle
        slope = tilt[0] + tilt[1] * dy / half_height
        along = _cubic(wave, dy) - flexure
        t = (dy - 0.5) / half_height
        x_left = _cubic(left, t)
        x_right = _cubic(right, t)
        center = 0.5 * (x_left + x_right)
        per_width = scale / (x_right - x_left)
        for x in range(first, last + 1):
            i = x - first
            dx = x - x_middle
            upper = along + slope * dx + curvature * dx * dx
            light = _light_below((upper - start) * per_step, step, cumulative, density)
            place = (x - center) * per_width + reach * scale
            if j >= 0 and light > edge_light[i] and 0.0 <= place < last_place and x_left - 5.0 < x < x_right + 5.0:
                value = (light - edge_light[i]) / (upper - edge_wave[i])
                value *= _brightness(profile, (0.5 * (upper + edge_wave[i]) - node_start) * per_node, place)
                if not (x - x_left > 5.0 and x_right - x > 5.0):
                    value *= _inside(float(x), x_left, x_right, edge_sigma)
                image[j, x - 1] += value
            edge_wave[i] = upper
            edge_light[i] = light
