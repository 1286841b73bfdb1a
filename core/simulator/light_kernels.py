"""The hot loops of light with a spectrum on places in the field: spectra through the slit, slices on pixels."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from core.simulator.gaussian import below, covered, slit_fraction
from core.simulator.kernels import cubic

__all__ = ["add_moffats", "render_slice", "spread"]

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

_NEXT = np.uint64(1)
_BLOCK = 64  # places of a spectrum with one width of the line-spread function


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
        upper = slit_fraction((j + 0.5) * step, half_slit, sigma)
        part[j + reach] = upper - slit_fraction((j - 0.5) * step, half_slit, sigma)
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
    total = np.zeros(n + 2 * pad)
    light[pad : pad + n] = continuum
    for k in range(pad + 1, n + 2 * pad):
        total[k] = total[k - 1]
        if k < pad + n:
            total[k] += 0.5 * step * (light[k - 1] + light[k])
    for block in range(0, n, _BLOCK):
        last = min(block + _BLOCK, n)
        part = _profile(step, half_slit, _width(lsf_sigma, start + 0.5 * (block + last) * step))
        reach = part.shape[0] // 2
        sums, means = cumulative[block:last], density[block:last]
        for j in range(-reach, reach + 1):
            p = part[j + reach]
            below_there, light_there = total[block - j + pad : last - j + pad], light[block - j + pad : last - j + pad]
            for k in range(last - block):
                sums[k] += p * below_there[k]
                means[k] += p * light_there[k]


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
            cumulative[k] += line_area[i] * slit_fraction(u, half_slit, sigma)
            rise = below((u + half_slit) / sigma) - below((u - half_slit) / sigma)
            density[k] += line_area[i] * rise / (2.0 * half_slit)
        done[max(last, 0)] += line_area[i]
    total = 0.0
    for k in range(n):
        total += done[k]
        cumulative[k] += total
    return cumulative, density


@njit(cache=True, nogil=True)
def _lit(profiles: F64) -> tuple[int, int]:
    """First and last place that is bright in any component at any wavelength; (n, -1) if none is."""
    nodes, places, components = profiles.shape
    low = places
    high = -1
    for n in range(nodes):
        for i in range(places):
            if i < low or i > high:
                for c in range(components):
                    if profiles[n, i, c] > 0.0:
                        low = min(low, i)
                        high = max(high, i)
                        break
    return low, high


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
        x_left = cubic(left, t)
        x_right = cubic(right, t)
        center = 0.5 * (x_left + x_right)
        width = x_right - x_left
        first = min(first, math.floor(max(x_left - 5.0, center + width * low)))
        last = max(last, math.ceil(min(x_right + 5.0, center + width * high)))
    return max(1, first), min(nx, last)


@njit(cache=True, nogil=True)
def _cell(place: float, cells: int) -> tuple[np.uint64, float]:
    """Cell of a row of ``cells`` (one, if there is only a value) that a place lies in or next to, and where in it."""
    inside = min(max(place, 0.0), float(cells))
    k = max(min(int(inside), cells - 1), 0)
    return np.uint64(k), inside - k


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
    profiles: F64,
    reach: float,
) -> None:
    """Add the light of all components in one slice to ``image`` (ny, nx).

    Parameters
    ----------
    image, y_middle, half_height, left, right, x_middle, wave, tilt, curvature, edge_sigma
        As in `core.simulator.kernels.render_continuum`, of one slice.
    flexure : float
        Shift of the light to the red [Angstrom].
    start, step : float
        Wavelengths of the spectra [Angstrom].
    cumulative, density : ndarray of float64, shape (n, components)
        From `spread`, of each component.
    node_start, node_step : float
        Wavelengths of the rows of ``profiles`` [Angstrom].
    profiles : ndarray of float64, shape (nodes, places, components)
        Brightness at places from ``-reach`` to ``reach`` along the slice, in units of its width; constant beyond the
        first and the last wavelength.
    """
    components = cumulative.shape[1]
    low, high = _lit(profiles)
    scale = (profiles.shape[1] - 1) / (2.0 * reach)
    first, last = _columns(
        image.shape, y_middle, half_height, left, right, (low - 1) / scale - reach, (high + 1) / scale - reach
    )
    if high < 0 or last < first:
        return
    per_step, per_node = 1.0 / step, 1.0 / node_step
    cells, places, nodes = cumulative.shape[0] - 1, profiles.shape[1] - 1, profiles.shape[0] - 1
    next_node = _NEXT if nodes > 0 else np.uint64(0)
    edge_wave = np.empty(last - first + 1)
    edge_light = np.empty((last - first + 1, components))
    for j in range(-1, image.shape[0]):
        # the upper edges of row j, and with those of the row below the row itself
        dy = j + 1.5 - y_middle
        slope = tilt[0] + tilt[1] * dy / half_height
        along = cubic(wave, dy) - flexure
        t = (dy - 0.5) / half_height
        x_left = cubic(left, t)
        x_right = cubic(right, t)
        per_width = scale / (x_right - x_left)
        origin = reach * scale - 0.5 * (x_left + x_right) * per_width
        for x in range(first, last + 1):
            column = np.uint64(x - first)
            dx = x - x_middle
            upper = along + dx * (slope + curvature * dx)
            lower = edge_wave[column]
            edge_wave[column] = upper
            # light below the upper edge: cubics by values and slopes at the ends of a cell
            k, t = _cell((upper - start) * per_step, cells)
            k1 = k + _NEXT
            value_k1 = t * t * (3.0 - 2.0 * t)
            value_k = 1.0 - value_k1
            slope_k = step * t * (1.0 - t) * (1.0 - t)
            slope_k1 = step * t * t * (t - 1.0)
            # brightness in the middle of the pixel: linear between places and wavelengths
            place = x * per_width + origin
            lit = j >= 0 and 0.0 <= place < places and x_left - 5.0 < x < x_right + 5.0
            p0, part = _cell(place, places)
            p1 = p0 + _NEXT
            n0, up = _cell((0.5 * (upper + lower) - node_start) * per_node if lit else 0.0, nodes)
            n1 = n0 + next_node
            total = 0.0
            for c in range(components):
                light = value_k * cumulative[k, c] + value_k1 * cumulative[k1, c]
                light += slope_k * density[k, c] + slope_k1 * density[k1, c]
                below_row = profiles[n0, p0, c] + part * (profiles[n0, p1, c] - profiles[n0, p0, c])
                above_row = profiles[n1, p0, c] + part * (profiles[n1, p1, c] - profiles[n1, p0, c])
                total += max(light - edge_light[column, c], 0.0) * (below_row + up * (above_row - below_row))
                edge_light[column, c] = light
            if lit and total > 0.0:
                total /= upper - lower
                if not (x - x_left > 5.0 and x_right - x > 5.0):
                    total *= covered(float(x), x_left, x_right, edge_sigma)
                image[j, x - 1] += total


@njit(cache=True, nogil=True)
def add_moffats(
    total: F64,
    east: F64,
    north: F64,
    source_east: F64,
    source_north: F64,
    weight: F64,
    lifted: F64,
    alpha2: F64,
    end2: F64,
) -> None:
    """Add Moffat profiles of beta 2.5 to ``total`` (nodes, across, along).

    Parameters
    ----------
    total
    east, north : ndarray of float64, shape (across, along)
        Places [arcsec].
    source_east, source_north, weight : ndarray of float64, shape (n,)
        Sources [arcsec], and 1.5 / pi of their light.
    lifted : ndarray of float64, shape (nodes, 2)
        Displacement of the sources by refraction, east and north [arcsec].
    alpha2, end2 : ndarray of float64, shape (nodes,)
        Squares of the scale of the profile and of the radius where it ends [arcsec2].
    """
    nodes, across, along = total.shape
    low_east, high_east = east.min(), east.max()
    low_north, high_north = north.min(), north.max()
    for k in range(source_east.shape[0]):
        for n in range(nodes):
            x = source_east[k] + lifted[n, 0]
            y = source_north[k] + lifted[n, 1]
            end = math.sqrt(end2[n])
            if x < low_east - end or x > high_east + end or y < low_north - end or y > high_north + end:
                continue
            scale = weight[k] / alpha2[n]
            per_alpha2 = 1.0 / alpha2[n]
            for a in range(across):
                for i in range(along):
                    dx = east[a, i] - x
                    dy = north[a, i] - y
                    r2 = dx * dx + dy * dy
                    if r2 < end2[n]:
                        u = 1.0 + r2 * per_alpha2
                        total[n, a, i] += scale / (u * u * math.sqrt(u))
