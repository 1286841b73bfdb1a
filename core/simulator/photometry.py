"""Light of the sky becomes electrons: efficiency, spectra of night, twilight and sources."""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from core.instruments.muse.facts import SAMPLING
from core.simulator.atmosphere import Ambient, extinction, molecular_depth
from core.simulator.light import WAVE_GRID
from core.simulator.scenes import transmission
from core.staticcal.night_sky import RAMAN_BANDS, RAMAN_FLUX
from core.staticcal.published import published_rows
from core.staticcal.standards import standard_stars

__all__ = [
    "REFERENCE_WAVE",
    "ZERO_MAGNITUDE",
    "absorption",
    "efficiency",
    "electrons",
    "night_continuum",
    "night_lines",
    "photons_per_erg",
    "raman_lines",
    "twilight",
]

F64 = NDArray[np.float64]

TELESCOPE_AREA: Final = 483250.7024654051
"""[cm2]"""
ZERO_MAGNITUDE: Final = 3.63e-9
"""Flux of magnitude 0 at `REFERENCE_WAVE` [erg/s/cm2/Angstrom]."""
REFERENCE_WAVE: Final = 5500.0
"""[Angstrom]"""

_HC: Final = 1.98644586e-8  # [erg Angstrom]

# wavelength [Angstrom], part of the photons of the telescope's pupil that are counted, before the filters
_EFFICIENCY: Final = (
    (4100.0, 0.02), (4400.0, 0.07), (4700.0, 0.14), (5000.0, 0.21), (5500.0, 0.29), (6000.0, 0.34), (6500.0, 0.37),
    (7000.0, 0.38), (7500.0, 0.36), (8000.0, 0.32), (8500.0, 0.27), (9000.0, 0.22), (9400.0, 0.17), (9900.0, 0.08),
)  # fmt: skip

# absorption lines of the sun: wavelength, depth, width (sigma) [Angstrom]
_FRAUNHOFER: Final = (
    (4307.9, 0.50, 4.0), (4340.5, 0.45, 2.0), (4383.5, 0.40, 1.2), (4861.3, 0.55, 2.0), (5167.3, 0.40, 1.2),
    (5172.7, 0.45, 1.2), (5183.6, 0.50, 1.4), (5269.5, 0.35, 1.2), (5328.0, 0.25, 1.0), (5889.9, 0.50, 0.8),
    (5895.9, 0.45, 0.7), (6122.2, 0.20, 0.8), (6162.2, 0.25, 0.9), (6562.8, 0.60, 1.8), (8498.0, 0.40, 1.2),
    (8542.1, 0.55, 1.8), (8662.1, 0.50, 1.6),
)  # fmt: skip

# Lines of atomic oxygen at laboratory wavelengths [Angstrom, air], to which pipelines shift exposures: the list,
# measured on a spectrum, is 0.01 off.
_OXYGEN: Final = (5577.339, 6300.304)

_TWILIGHT_PEAK: Final = 15000.0  # [electron/pix] in the first exposure of a sequence


@cache
def _efficiency() -> PchipInterpolator:
    return PchipInterpolator(*zip(*_EFFICIENCY, strict=True), extrapolate=True)


def efficiency(wave: F64, mode: str) -> F64:
    """Electrons per photon in the telescope's pupil at wavelengths [Angstrom], filters of the mode included."""
    return np.asarray(np.clip(_efficiency()(wave), 0.0, None) * transmission(mode, wave), np.float64)


def photons_per_erg(wave: F64) -> F64:
    """Photons per erg at wavelengths [Angstrom]."""
    return wave / _HC


def absorption(wave: F64, airmass: float, ambient: Ambient) -> F64:
    """Part of the light from outside the air that arrives at wavelengths [Angstrom]."""
    continuous = 10.0 ** (-0.4 * airmass * extinction(wave, ambient.pressure))
    return np.asarray(continuous * np.exp(-airmass * np.interp(wave, WAVE_GRID, _depth())), np.float64)


@cache
def _depth() -> F64:
    return molecular_depth(WAVE_GRID)


def electrons(flux: F64, wave: F64, exptime: float, mode: str) -> F64:
    """Electrons of an exposure from a flux at the telescope [erg/s/cm2, per what it is given for]."""
    return flux * TELESCOPE_AREA * exptime * efficiency(wave, mode) * photons_per_erg(wave)


@cache
def night_lines() -> tuple[F64, F64]:
    """Night-sky lines: wavelengths in air [Angstrom], flux [erg/s/cm2/arcsec2]."""
    rows = list(published_rows("sky_lines_paranal.csv"))
    wave = np.array([float(row["wave_air"]) for row in rows])
    for line in _OXYGEN:
        wave[np.argmin(np.abs(wave - line))] = line
    return wave, np.array([float(row["int_flux_1e-17_cgs_arcsec2"]) for row in rows]) * 1e-17


def night_continuum(wave: F64) -> F64:
    """Continuum of the dark sky [erg/s/cm2/Angstrom/arcsec2]: 1.15e-17 at 5000 Angstrom, scattered sunlight in it."""
    solar = _solar(wave)
    return np.asarray(1e-17 * (0.75 * solar / _solar(np.array(5000.0)) + 0.4 + 0.25 * (wave - 5000.0) / 4000.0))


def raman_lines() -> tuple[F64, F64]:
    """Lines of the laser guide stars in the sky over the telescope: [Angstrom, air], flux [erg/s/cm2/arcsec2]."""
    pairs = [(w, part * flux) for (_, band), flux in zip(RAMAN_BANDS, RAMAN_FLUX, strict=True) for w, part in band]
    wave, flux = np.array(pairs).T
    return wave, flux


def _planck(wave: F64, temperature: float) -> F64:
    """Black body, relative to 5500 Angstrom."""

    def density(at: F64) -> F64:
        return np.asarray(at**-5.0 / np.expm1(1.4387769e8 / (at * temperature)))

    return density(wave) / density(np.array(5500.0))


def _solar(wave: F64) -> F64:
    """Spectrum of the sun, relative to the continuum at 5500 Angstrom."""
    spectrum = _planck(wave, 5780.0)
    for line, depth, sigma in _FRAUNHOFER:
        spectrum = spectrum * (1.0 - depth * np.exp(-0.5 * ((wave - line) / sigma) ** 2))
    return spectrum


def star_spectrum(kind: str, wave: F64) -> F64:
    """Spectrum of a star, relative to its continuum at 5500 Angstrom.

    Parameters
    ----------
    kind : str
        ``hot`` (a white dwarf with Balmer lines), ``solar`` or ``cool`` (with bands of titanium oxide); or the name of
        a standard star, whose spectrum is the published one.
    wave : ndarray of float64
        [Angstrom]
    """
    if kind in standard_stars():
        return standard_stars()[kind].at(wave) / standard_stars()[kind].at(REFERENCE_WAVE)
    if kind == "solar":
        return _solar(wave)
    if kind == "hot":
        spectrum = _planck(wave, 40000.0)
        for line, depth, width in ((4340.5, 0.45, 18.0), (4861.3, 0.40, 18.0), (6562.8, 0.35, 16.0)):
            spectrum = spectrum * (1.0 - depth / (1.0 + ((wave - line) / width) ** 2))
        return spectrum
    spectrum = _planck(wave, 3600.0)
    for head, depth in ((4954.0, 0.25), (5448.0, 0.15), (5847.0, 0.2), (6158.0, 0.3), (7053.0, 0.4), (7589.0, 0.2)):
        inside = np.clip((wave - head) / 6.0, 0.0, 1.0) * np.exp(-np.clip(wave - head, 0.0, None) / 90.0)
        spectrum = spectrum * (1.0 - depth * inside)
    return spectrum


def twilight(mode: str, airmass: float, ambient: Ambient) -> F64:
    """Twilight on `WAVE_GRID` [electron/Angstrom of a detector column], `_TWILIGHT_PEAK` per pixel at its maximum."""
    blue = (WAVE_GRID / 5500.0) ** -2.0  # scattered by air
    light = _solar(WAVE_GRID) * blue * absorption(WAVE_GRID, airmass, ambient)
    spectrum = light * efficiency(WAVE_GRID, mode) * photons_per_erg(WAVE_GRID)
    return np.asarray(spectrum / spectrum.max() * _TWILIGHT_PEAK / SAMPLING, np.float64)
