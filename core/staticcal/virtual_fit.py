"""How far a fit misses an arc line because of its neighbours: noise-free fits of the light of a lamp on pixels.

The lamp is seen at the resolution of MUSE (a slit of 2.61 Angstrom convolved with a Gaussian) on pixels of 1.25
Angstrom at several phases, and its lines are fitted as wavelength calibrations do: Gaussians in windows of six
pixels around the line, weights from photon noise. The neighbours make the difference between a fit to the line
alone and a fit to the lamp, so that the effect of a Gaussian on a line that is none cancels.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.instruments.muse.facts import SAMPLING, SLIT_WIDTH_ANGSTROM
from core.staticcal.lamps import LampLines

__all__ = ["multiplet_shift", "single_shift"]

F64 = NDArray[np.float64]

FROZEN_SIGMA: Final = SLIT_WIDTH_ANGSTROM / SAMPLING / 2.3548200450309493  # of fits with a fixed width [pix]
_HALF_WINDOW: Final = 6  # [pix]
_LSF_SIGMA: Final = 0.48  # Gaussian part of the resolution [Angstrom]
_NOISE: Final = 1.5  # read noise left in the variances [count]
_PHASES: Final = (-0.375, -0.125, 0.125, 0.375)  # of the line on the pixel grid [pix]


def _ramp(u: F64) -> F64:
    z = u / _LSF_SIGMA
    from scipy.special import erfc  # here, since daemons that only look at static calibrations need none of it

    return u * 0.5 * erfc(-z / np.sqrt(2.0)) + _LSF_SIGMA / np.sqrt(2.0 * np.pi) * np.exp(-0.5 * z**2)


def _below(u: F64) -> F64:
    """Part of a line below ``u`` Angstrom from its centre."""
    half = 0.5 * SLIT_WIDTH_ANGSTROM
    return (_ramp(u + half) - _ramp(u - half)) / (2.0 * half)


def _light(pixel: F64, wave: F64, area: F64, origin: float) -> F64:
    """Counts per pixel; pixel 0 is centred on ``origin``."""
    edge = (pixel[:, None] - 0.5) * SAMPLING + origin - wave[None, :]
    return (_below(edge + SAMPLING) - _below(edge)) @ area


def _fit(pixel: F64, counts: F64, centers: F64, areas: F64, free_width: bool, slope: bool) -> F64:
    """Centres [pix] of Gaussians fitted to counts."""
    n = len(centers)
    error = np.sqrt(np.maximum(counts, 0.0) + _NOISE**2)
    scale = float(areas.max())

    def residual(p: F64) -> F64:
        sigma = p[2 * n] if free_width else FROZEN_SIGMA
        offset = p[-1] * scale + (p[-2] * scale * pixel if slope else 0.0)
        z = (pixel[:, None] - p[None, :n]) / sigma
        model = np.exp(-0.5 * z**2) @ p[n : 2 * n] * scale / (sigma * np.sqrt(2.0 * np.pi)) + offset
        return (model - counts) / error

    start = [*centers, *(areas / scale)]
    if free_width:
        start.append(FROZEN_SIGMA)
    start.extend([0.0, 0.0] if slope else [0.0])
    from scipy.optimize import least_squares

    result = least_squares(residual, np.array(start), method="lm", xtol=1e-10, ftol=1e-10)
    return np.asarray(result.x[:n])


def _nearby(lines: LampLines, low: float, high: float) -> tuple[F64, F64]:
    reach = (lines.wave > low - 20.0) & (lines.wave < high + 20.0)
    return lines.wave[reach], lines.area[reach]


def single_shift(lines: LampLines, wave: float, *, free_width: bool) -> float:
    """Largest shift of the fitted centre of one line by the other lines of its lamp.

    Parameters
    ----------
    lines : LampLines
    wave : float
        Wavelength of the line; its area is that of the line of the lamp at this wavelength [Angstrom].
    free_width : bool
        Fit the width of the Gaussian too.

    Returns
    -------
    float
        Largest absolute shift over several positions of the line on the pixels [Angstrom].
    """
    return float(multiplet_shift(lines, np.array([wave]), free_width=free_width, slope=False).max())


def multiplet_shift(lines: LampLines, wave: F64, *, free_width: bool = True, slope: bool = True) -> F64:
    """Largest shift of the fitted centres of lines that are fitted together, with a common width.

    Parameters
    ----------
    lines : LampLines
    wave : ndarray of float64, shape (n,)
        Wavelengths of lines of the lamp, ascending [Angstrom].
    free_width, slope : bool
        Fit the common width; fit a straight line below the Gaussians instead of a constant.

    Returns
    -------
    ndarray of float64, shape (n,)
        Largest absolute distance between each centre and its wavelength over several positions of the lines on
        the pixels, the effect of the pixels on a line alone taken off [Angstrom].
    """
    chosen = np.array([int(np.argmin(np.abs(lines.wave - value))) for value in wave])
    area = lines.area[chosen]
    near_wave, near_area = _nearby(lines, float(wave[0]), float(wave[-1]))
    worst = np.zeros(len(wave))
    for phase in _PHASES:
        origin = float(wave[0]) - phase * SAMPLING
        true = (wave - origin) / SAMPLING
        pixel = np.arange(np.floor(true[0]) - _HALF_WINDOW, np.ceil(true[-1]) + _HALF_WINDOW + 1.0)
        found = _fit(pixel, _light(pixel, near_wave, near_area, origin), true, area, free_width, slope)
        for k in range(len(wave)):
            around = np.arange(np.floor(true[k]) - _HALF_WINDOW, np.floor(true[k]) + _HALF_WINDOW + 1.0)
            alone = _light(around, wave[k : k + 1], area[k : k + 1], origin)
            clean = _fit(around, alone, true[k : k + 1], area[k : k + 1], free_width, False)[0]
            worst[k] = max(worst[k], abs(found[k] - clean) * SAMPLING)
    return worst
