"""The spectrum of the lamps that the data of an exposure were divided by, and must be multiplied with again.

The flat fields of all IFUs have it; each pixel table brings that of its own. The mean of them is smoothed, but not over
the edges of the filters of the instrument.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.errors import DataError
from core.instruments.muse.facts import FLAT_BLUE_END, NOTCH, SAMPLING
from core.spectral.iterfit import iterate_fit

__all__ = ["LampSpectrum"]

F64 = NDArray[np.float64]

_GRID: Final[F64] = np.linspace(4150.0, 9800.0, 4521)  # [Angstrom]: all that any mode records
_FIT_HALF_WIDTH: Final = 150.0  # [Angstrom] of the piece that a polynomial is fitted to
_FIT_ORDER: Final = 3
_FIT_SIGMA: Final = 3.0
_MEAN_HALF_WIDTH: Final = 15.0  # [Angstrom] of the running mean
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
        factor = np.interp(wave, self.wave, self.values)
        once = (stat * factor).astype(np.float32)  # rounded in between, as in the reference
        return (data * factor).astype(np.float32), (once * factor).astype(np.float32)


def _smoothed(wave: F64, values: F64, mode: str) -> F64:
    """Smooth each stretch of the spectrum that has no edge of a filter in it."""
    inside = wave >= FLAT_BLUE_END[mode]
    stretches = [inside]
    if mode in _NOTCH_MODES:
        low, high = NOTCH[mode]
        stretches = [inside & (wave <= low), inside & (wave >= high)]
    result = values.copy()
    for stretch in stretches:
        own = wave[stretch]
        if own.size:
            result[stretch] = _running_mean(_piecewise(own, values[stretch]))
    return result


def _piecewise(wave: F64, values: F64) -> F64:
    """At each point a cubic polynomial through its neighbours."""
    first = np.searchsorted(wave, wave - _FIT_HALF_WIDTH, "left")
    last = np.searchsorted(wave, wave + _FIT_HALF_WIDTH, "right")
    result = np.empty_like(values)
    for k, (low, high) in enumerate(zip(first.tolist(), last.tolist(), strict=True)):
        order = min(_FIT_ORDER, high - low - 1)
        result[k] = iterate_fit(wave[low:high], values[low:high], order, _FIT_SIGMA)(wave[k])
    return result


def _running_mean(values: F64) -> F64:
    """Mean of each point and as many neighbours on either side, fewer towards the ends: a slope stays what it is."""
    n = values.size
    sides = np.minimum(round(_MEAN_HALF_WIDTH / SAMPLING), np.minimum(np.arange(n), np.arange(n)[::-1])).tolist()
    return np.array([values[k - side : k + side + 1].mean() for k, side in enumerate(sides)])
