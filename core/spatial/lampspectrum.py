"""The spectrum of the lamps that the data of an exposure were divided by, and must be multiplied with again.

The flat fields of all IFUs have it; each pixel table brings that of its own. The mean of them is smoothed, but not over
the edges of the filters of the instrument.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from core.errors import DataError
from core.instruments.muse.facts import EXTREME_RANGE, FLAT_BLUE_END, NOTCH
from core.onsky.interpolation import bracket, interpolated
from core.spectral.smoothing import smooth_by_polynomials, stretches

__all__ = ["LampSpectrum"]

F64 = NDArray[np.float64]

_GRID: Final[F64] = np.linspace(*EXTREME_RANGE, 4521)  # [Angstrom]
_NOTCH_MODES: Final = ("WFM-AO-E", "WFM-AO-N")  # in narrow field the edges are smoothed over


@dataclass(frozen=True, eq=False)
class LampSpectrum:
    """A spectrum.

    Attributes
    ----------
    wave : ndarray of float64 (n,)
        Ascending [Angstrom].
    values : ndarray of float64 (n,)
    unsmoothed : ndarray of float64 (n,)
        What they were before they were smoothed.
    n_units : int
        Of how many IFUs it is the mean.
    """

    wave: F64
    values: F64
    unsmoothed: F64
    n_units: int

    @classmethod
    def of(cls, spectra: Sequence[tuple[F64, F64]], mode: str) -> LampSpectrum:
        """The smoothed mean of the spectra of IFUs.

        Parameters
        ----------
        spectra : sequence of pairs of ndarray of float64
            Wavelengths [Angstrom] and values.
        mode : str
            Class of the instrument mode (`core.instruments.muse.facts.mode_class`).

        Raises
        ------
        DataError
            If one is empty, or they have no wavelength in common.
        """
        total = np.zeros(_GRID.size)
        for wave, values in spectra:
            if not wave.size:
                raise DataError("the flat-field spectrum of an IFU is empty")
            total += np.interp(_GRID, wave, values, left=np.nan, right=np.nan)
        known = np.isfinite(total)
        if not known.any():
            raise DataError("the flat-field spectra of the IFUs have no wavelength in common")
        common, mean = _GRID[known], total[known] / len(spectra)
        return cls(common, _smoothed(common, mean, mode), mean, len(spectra))

    def multiply(
        self, wave: NDArray[np.float32], data: NDArray[np.float32], stat: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Values and variances times the spectrum at their wavelengths, and its square; beyond it its ends go on."""
        new_data, new_stat = np.empty_like(data), np.empty_like(stat)
        _multiply(wave, data, stat, self.wave, self.values, new_data, new_stat)
        return new_data, new_stat


@njit(cache=True, nogil=True)
def _multiply(wave, data, stat, nodes, values, new_data, new_stat):  # type: ignore[no-untyped-def]
    place = 0
    for i in range(wave.size):
        at = np.float64(wave[i])
        place = bracket(nodes, at, max(place, 0))
        factor = interpolated(nodes, values, place, at, values[0], values[values.size - 1])
        new_data[i] = data[i] * factor
        once = np.float32(stat[i] * factor)  # rounded in between, as in the reference
        new_stat[i] = once * factor


def _smoothed(wave: F64, values: F64, mode: str) -> F64:
    """Smooth each stretch of the spectrum that has no edge of a filter in it."""
    result = values.copy()
    for stretch in stretches(wave, FLAT_BLUE_END[mode], NOTCH[mode] if mode in _NOTCH_MODES else None):
        if stretch.any():
            own = values[stretch]
            result[stretch], _ = smooth_by_polynomials(wave[stretch], own, np.zeros_like(own))
    return result
