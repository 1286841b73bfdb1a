"""Differential atmospheric refraction: the air is a prism, and blue light comes from higher up than red.

Source: Filippenko 1982 (PASP 94, 715).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from numba import njit

from core.onsky.air import Air, RefractionMethod, refractive_index

__all__ = ["Refraction"]

F32 = npt.NDArray[np.float32]

_ARCSEC: Final = 206264.806  # of a radian


@dataclass(frozen=True)
class Refraction:
    """What moves pixels to where light of the reference wavelength would have been.

    Attributes
    ----------
    airmass : float
    angle : float
        Parallactic plus position angle [deg].
    reference : float
        Wavelength that stays where it is [Angstrom].
    air : Air
    method : str
    """

    airmass: float
    angle: float
    reference: float
    air: Air
    method: RefractionMethod = "Filippenko"

    def shift(
        self, wave: npt.ArrayLike, scales: tuple[float, float]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """What to add to x and y.

        Parameters
        ----------
        wave : array-like of float [Angstrom]
            In air.
        scales : pair of float
            Arcsec in a unit of x and of y, e.g. the size of a pixel; x runs to the west at position angle 0.

        Returns
        -------
        x, y : ndarray of float64
            In that unit.
        """
        index = refractive_index(wave, self.air, self.method)
        arcsec = self._bending * (self._at_reference - index)
        theta = math.radians(self.angle)
        return arcsec * (-math.sin(theta) / scales[0]), arcsec * (math.cos(theta) / scales[1])

    def moved(self, x: F32, y: F32, wave: F32, scales: tuple[float, float]) -> tuple[F32, F32]:
        """Positions where light of the reference wavelength would have been; see `shift`.

        Parameters
        ----------
        x, y, wave : ndarray of float32, shape (n,)
        scales : pair of float
        """
        index, theta = refractive_index(wave, self.air, self.method), math.radians(self.angle)
        new_x, new_y = np.empty_like(x), np.empty_like(y)
        factors = -math.sin(theta) / scales[0], math.cos(theta) / scales[1]
        _move(x, y, index, self._at_reference, self._bending, *factors, new_x, new_y)
        return new_x, new_y

    @property
    def _at_reference(self) -> float:
        return float(refractive_index(self.reference, self.air, self.method))

    @property
    def _bending(self) -> float:
        """Arcsec by a refractive index."""
        return math.tan(math.acos(1 / self.airmass)) * _ARCSEC


@njit(cache=True, nogil=True)
def _move(x, y, index, at_reference, bending, factor_x, factor_y, new_x, new_y):  # type: ignore[no-untyped-def]
    for i in range(x.size):
        arcsec = bending * (at_reference - index[i])
        new_x[i], new_y[i] = x[i] + arcsec * factor_x, y[i] + arcsec * factor_y
