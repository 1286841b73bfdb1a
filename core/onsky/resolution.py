"""What a cube resolves: the power of the spectrograph, and the width of a star behind the atmosphere.

Sources: resolving power as the reference pipeline 2.8.7 tells it; Tokovinin 2002 (PASP 114, 1156) for the width of an
image in turbulence of a finite outer scale.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from core.instruments.muse.facts import NOMINAL_RANGE

__all__ = ["UNKNOWN_NARROW", "UNKNOWN_WIDE", "Sharpness", "image_quality", "narrow_sharpness", "resolving_power",
           "wide_sharpness"]  # fmt: skip

_WIDE: Final = (
    1674.77, 1769.45, 1864.50, 1959.52, 2054.19, 2148.34, 2241.81, 2334.46, 2426.18, 2516.84,
    2606.28, 2694.36, 2780.89, 2865.70, 2948.59, 3029.32, 3107.70, 3183.46, 3256.36, 3326.12,
    3392.45, 3455.01, 3513.44, 3567.37, 3616.34, 3659.87, 3697.42, 3728.38, 3752.11, 3767.93,
)  # fmt: skip
_NARROW: Final = ((4800.0, 9300.0), (1740.0, 3450.0))
_DIAMETER: Final = 8.1175365721399437  # of the telescope [m]
_OUTER_SCALE: Final = 23.0  # of the turbulence [m]
_WAVE: Final = 7000.0  # at which the width holds [Angstrom]
_SEEING_WAVE: Final = 5000.0  # that of the seeing
_SCATTER: Final = 0.3  # of the seeing monitor against the instrument [arcsec]
_STREHL: Final = (1.0, 80.0)  # limits of the relation [%]
_NARROW_FIT: Final = (-0.71985411, 0.81622807, -0.01941496)  # width = a + b S**c
_NARROW_SCATTER: Final = 0.01  # [arcsec]


@dataclass(frozen=True)
class Sharpness:
    """Width of a point source in a cube.

    Attributes
    ----------
    fwhm, error : float
        [arcsec]
    measured : bool
        False: nothing is known of the exposures, this is typical of the mode.
    """

    fwhm: float
    error: float
    measured: bool = True


UNKNOWN_WIDE: Final = Sharpness(0.853823, 0.495547, measured=False)
UNKNOWN_NARROW: Final = Sharpness(0.15, 0.05, measured=False)


def resolving_power(wave: float, *, narrow: bool = False) -> float:
    """Wavelength over width of the line-spread function in the table [Angstrom], that at the nearest end beyond it."""
    if narrow:
        return float(np.interp(wave, *_NARROW))
    return float(np.interp(wave, np.linspace(*NOMINAL_RANGE, len(_WIDE)), _WIDE))


def image_quality(seeing: float, airmass: float) -> float:
    """Width of a star at 7000 Angstrom [arcsec].

    Parameters
    ----------
    seeing : float
        At the zenith and 5000 Angstrom, by the lines of the image analysis [arcsec].
    airmass : float
    """
    ratio = _WAVE / _SEEING_WAVE
    r0 = 0.976 * _SEEING_WAVE * 1e-10 / seeing * 206265 * ratio**1.2 * airmass**-0.6  # Fried parameter [m]
    kolb = 1 / (1 + 300 * _DIAMETER / _OUTER_SCALE) - 1
    return seeing * ratio**-0.2 * airmass**0.6 * math.sqrt(1 + kolb * 2.183 * (r0 / _OUTER_SCALE) ** 0.356)


def wide_sharpness(seeings: Sequence[float], airmasses: Sequence[float], exptimes: Sequence[float],
                   monitor: Sequence[float]) -> Sharpness:  # fmt: skip
    """Width in the wide field, from what is known of all exposures.

    Parameters
    ----------
    seeings, airmasses, exptimes : sequence of float
        Of the exposures [arcsec, -, s]: the mean is weighted by time.
    monitor : sequence of float
        All that the seeing monitor told [arcsec]; its range is part of the error.
    """
    widths = [image_quality(seeing, airmass) for seeing, airmass in zip(seeings, airmasses, strict=True)]
    half_range = (max(monitor) - min(monitor)) / 2 if monitor else 0.0
    return Sharpness(float(np.average(widths, weights=exptimes)), math.hypot(half_range, _SCATTER))


def narrow_sharpness(strehl: float) -> Sharpness:
    """Width in the narrow field, from the Strehl ratio [%]."""
    ratio = min(max(strehl, _STREHL[0]), _STREHL[1])
    offset, factor, power = _NARROW_FIT
    slope = factor * power * ratio ** (power - 1)
    return Sharpness(offset + factor * ratio**power, math.hypot(slope, _NARROW_SCATTER))
