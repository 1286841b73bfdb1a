"""What the air does to light: refraction, extinction, molecular bands.

Sources: refractive index after Filippenko (1982, PASP 94, 715); extinction as measured by Patat et al.
(2011, A&A 527, A91), with the Rayleigh scattering of Hansen & Travis (1974) for other pressures than the mean one; the
molecular bands have the ranges and depths of Paranal, each as a comb of lines.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.simulator.seeds import stream
from core.staticcal.night_sky import published_extinction

__all__ = ["Ambient", "extinction", "molecular_depth", "refraction"]

F64 = NDArray[np.float64]

_ARCSEC_PER_RAD: Final = 206264.80624709636
_MMHG_PER_HPA: Final = 0.750061683
_SEA_LEVEL: Final = 1013.25  # [hPa]
_PARANAL: Final = 743.0  # [hPa]

# first and last wavelength [Angstrom, air], optical depth of the deepest lines at airmass 1
_BANDS: Final = (
    (6274.0, 6306.0, 0.12),
    (6866.0, 6950.0, 0.75),
    (7166.0, 7322.0, 0.30),
    (7592.0, 7700.0, 1.90),
    (8130.0, 8308.0, 0.30),
    (8946.0, 9186.0, 0.40),
    (9205.0, 9700.0, 0.80),
)
_LINE_SPACING: Final = 4.0
_LINE_SIGMA: Final = 0.9


@dataclass(frozen=True)
class Ambient:
    """The air during an exposure.

    Attributes
    ----------
    temperature : float
        [Celsius]
    pressure : float
        [hPa]
    humidity : float
        Relative humidity [%].
    seeing : float
        FWHM of a point at 7000 Angstrom in the field of view [arcsec].
    """

    temperature: float = 11.5
    pressure: float = _PARANAL
    humidity: float = 14.5
    seeing: float = 0.8


def _refractivity(wave: ArrayLike, ambient: Ambient) -> F64:
    """1e6 (n - 1) of moist air at wavelengths [Angstrom]."""
    s = (np.asarray(wave, np.float64) * 1e-4) ** -2
    t, p = ambient.temperature, ambient.pressure * _MMHG_PER_HPA
    kelvin = t + 273.15
    saturation = -10474.0 + 116.43 * kelvin - 0.43284 * kelvin**2 + 5.384e-4 * kelvin**3  # [hPa], Owens (1967)
    vapour = 0.01 * ambient.humidity * saturation * _MMHG_PER_HPA
    dry = 64.328 + 29498.1 / (146.0 - s) + 255.4 / (41.0 - s)
    dry = dry * p / 720.883 * (1.0 + (1.049 - 0.0157 * t) * 1e-6 * p) / (1.0 + 0.003661 * t)
    return np.asarray(dry - vapour * (0.0624 - 0.000680 * s) / (1.0 + 0.003661 * t), np.float64)


def refraction(wave: ArrayLike, airmass: float, ambient: Ambient, reference: float = 7000.0) -> F64:
    """How far light is lifted towards the zenith, relative to that of a reference wavelength [arcsec].

    Parameters
    ----------
    wave : array-like
        [Angstrom]
    airmass : float
    ambient : Ambient
    reference : float
        [Angstrom]
    """
    slope = math.sqrt(max(airmass**2 - 1.0, 0.0))  # tangent of the zenith distance
    lifted = _refractivity(wave, ambient) - _refractivity(reference, ambient)
    return np.asarray(1e-6 * _ARCSEC_PER_RAD * slope * lifted, np.float64)


def extinction(wave: F64, pressure: float = _PARANAL) -> F64:
    """Continuous extinction [mag/airmass] at wavelengths [Angstrom], as published; scattering goes with pressure."""
    micron = wave * 1e-4
    depth = 0.008569 * micron**-4 * (1.0 + 0.0113 * micron**-2 + 1.3e-4 * micron**-4)
    rayleigh = 2.5 / math.log(10.0) * depth * (pressure - _PARANAL) / _SEA_LEVEL
    return np.asarray(np.interp(wave, *published_extinction()) + rayleigh, np.float64)


@cache
def _band_lines() -> tuple[F64, F64]:
    """Wavelengths and depths of the lines of all bands: strongest at the blue head, in pairs of chance."""
    rng = stream(0, "molecular bands")
    waves, depths = [], []
    for low, high, depth in _BANDS:
        count = max(2, round((high - low) / _LINE_SPACING))
        wave = np.linspace(low, high, count) + rng.uniform(-1.0, 1.0, count)
        waves.append(wave)
        depths.append(depth * rng.uniform(0.4, 1.0, count) * np.exp(-1.2 * (wave - low) / (high - low)))
    return np.concatenate(waves), np.concatenate(depths)


def molecular_depth(wave: F64) -> F64:
    """Optical depth of the oxygen and water bands at airmass 1, at ascending wavelengths [Angstrom]."""
    total = np.zeros_like(wave)
    for line, depth in zip(*_band_lines(), strict=True):
        window = slice(*np.searchsorted(wave, (line - 6.0 * _LINE_SIGMA, line + 6.0 * _LINE_SIGMA)))
        total[window] += depth * np.exp(-0.5 * ((wave[window] - line) / _LINE_SIGMA) ** 2)
    return total
