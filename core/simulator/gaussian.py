"""Integrals of the normal distribution inside compiled loops, from tables: some 1e-10 of the functions themselves."""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.special import ndtr

__all__ = ["below", "covered", "ramp", "slit_fraction"]

F64 = NDArray[np.float64]

_END: Final = 6.5  # beyond it the functions are those of a step
_PER_UNIT: Final = 64  # cells of the tables


def _cubics(values: F64, slopes: F64) -> F64:
    """Powers 0..3 of the place in each cell, by values and slopes (per cell) at its ends."""
    rise = np.diff(values)
    first, last = slopes[:-1], slopes[1:]
    return np.ascontiguousarray(
        np.stack((values[:-1], first, 3.0 * rise - 2.0 * first - last, first + last - 2.0 * rise), axis=1)
    )


_Z: Final = np.arange(-_END * _PER_UNIT, _END * _PER_UNIT + 1) / _PER_UNIT
_DENSITY: Final = np.exp(-0.5 * _Z**2) / np.sqrt(2.0 * np.pi)
_BELOW: Final = _cubics(ndtr(_Z), _DENSITY / _PER_UNIT)
_RAMP: Final = _cubics(_Z * ndtr(_Z) + _DENSITY, ndtr(_Z) / _PER_UNIT)


@njit(cache=True, nogil=True)
def below(z: float) -> float:
    """Part of the standard normal distribution below z."""
    if z <= -_END:
        return 0.0
    if z >= _END:
        return 1.0
    t = (z + _END) * _PER_UNIT
    k = int(t)
    t -= k
    return float(_BELOW[k, 0] + t * (_BELOW[k, 1] + t * (_BELOW[k, 2] + t * _BELOW[k, 3])))


@njit(cache=True, nogil=True)
def ramp(u: float, sigma: float) -> float:
    """Integral from -infinity to u of the part below, of a normal distribution of width sigma."""
    z = u / sigma
    if z <= -_END:
        return 0.0
    if z >= _END:
        return u
    t = (z + _END) * _PER_UNIT
    k = int(t)
    t -= k
    return float(sigma * (_RAMP[k, 0] + t * (_RAMP[k, 1] + t * (_RAMP[k, 2] + t * _RAMP[k, 3]))))


@njit(cache=True, nogil=True)
def slit_fraction(u: float, half_slit: float, sigma: float) -> float:
    """Part below u of a slit of half width half_slit convolved with a Gaussian."""
    return (ramp(u + half_slit, sigma) - ramp(u - half_slit, sigma)) / (2.0 * half_slit)


@njit(cache=True, nogil=True)
def covered(x: float, left: float, right: float, sigma: float) -> float:
    """Part of pixel x that a slice with soft edges covers."""
    rise = ramp(x + 0.5 - left, sigma) - ramp(x - 0.5 - left, sigma)
    fall = ramp(x + 0.5 - right, sigma) - ramp(x - 0.5 - right, sigma)
    return rise - fall
