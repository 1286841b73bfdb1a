"""What part of the light that reaches the telescope is counted, by the response of the instrument."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.constants import c, h

from core.onsky.fluxcal import Curve

__all__ = ["mean_throughput", "throughput", "zero_point"]

F64 = npt.NDArray[np.float64]

_PHOTON: Final = h * c * 1e17  # energy of a photon times its wavelength [erg Angstrom]
_HALF_WIDTH: Final = 100.0  # [Angstrom] of a mean


def throughput(wave: npt.ArrayLike, response: npt.ArrayLike, area: float) -> F64:
    """Part of the photons that are counted.

    Parameters
    ----------
    wave : array_like, shape (n,)
        [Angstrom].
    response : array_like, shape (n,)
        2.5 log10((count/s/Angstrom) / (erg/s/cm**2/Angstrom)).
    area : float
        Of the telescope [cm**2].
    """
    return _PHOTON / (area * np.asarray(wave, np.float64)) * 10 ** (0.4 * np.asarray(response, np.float64))


def mean_throughput(wave: F64, values: F64, place: float) -> float:
    """Mean of a throughput within 100 Angstrom of a wavelength; NaN if there is none."""
    near = np.abs(wave - place) <= _HALF_WIDTH
    return float(values[near].mean()) if near.any() else math.nan


def zero_point(wave: F64, values: F64, reference: Curve, through: F64) -> float:
    """Throughput in a filter for the light of a star [mag]; NaN if the filter lets nothing of it through.

    Parameters
    ----------
    wave, values : ndarray of float64, shape (n,)
        Throughput at ascending wavelengths [Angstrom].
    reference : Curve
        Spectrum of the star.
    through : ndarray of float64, shape (n,)
        Throughput of the filter.
    """
    light = reference.at(wave) * through * np.gradient(wave)
    counted = float((light * values).sum() / light.sum()) if light.sum() > 0 else 0.0
    return -2.5 * math.log10(counted) if counted > 0 else math.nan
