"""Differential atmospheric refraction: the air is a prism, and blue light comes from higher up than red.

Source: Filippenko 1982 (PASP 94, 715).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from core.onsky.air import Air, RefractionMethod, refractive_index

__all__ = ["Refraction"]

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
        zenith = math.acos(1 / self.airmass)
        index = refractive_index(wave, self.air, self.method)
        at_reference = float(refractive_index(self.reference, self.air, self.method))
        arcsec = math.tan(zenith) * _ARCSEC * (at_reference - index)
        theta = math.radians(self.angle)
        return arcsec * (-math.sin(theta) / scales[0]), arcsec * (math.cos(theta) / scales[1])
