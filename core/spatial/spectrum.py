"""Rows of a pixel table become a spectrum, by linear weights in bins of wavelength.

Each row is shared by the two bins whose centres enclose its wavelength.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["BinnedSpectrum", "SpectrumBins", "binned_with_rejection"]


@dataclass(frozen=True, eq=False)
class BinnedSpectrum:
    """A spectrum; bins without data are left out.

    Attributes
    ----------
    wave : ndarray of float64 (n,)
        Centres of the bins [Angstrom].
    data, stat : ndarray of float64 (n,)
        Weighted means of the values and of their variances.
    """

    wave: NDArray[np.float64]
    data: NDArray[np.float64]
    stat: NDArray[np.float64]


class SpectrumBins:
    """Sums in bins, to which rows are added piece by piece.

    Parameters
    ----------
    low, high : float
        Wavelengths that the bins cover; the first is centred on ``low`` [Angstrom].
    step : float
        [Angstrom]
    """

    def __init__(self, low: float, high: float, step: float) -> None:
        self.low, self.step = float(low), float(step)
        self._sums = np.zeros((3, math.floor((high - low) / step) + 2))

    def add(
        self,
        wave: NDArray[np.float32],
        data: NDArray[np.float32],
        stat: NDArray[np.float32],
        dq: NDArray[np.int32],
    ) -> None:
        """Add rows; those with a flag or without a finite value are left out."""
        _add(wave, data, stat, dq, self.low, self.step, self._sums)

    def add_values(self, wave: NDArray[np.float32], data: NDArray[np.float32]) -> None:
        """Add rows that have neither variances nor flags; those without a finite value are left out."""
        _add_values(wave, data, self.low, self.step, self._sums)

    def spectrum(self) -> BinnedSpectrum:
        """Means of what has been added so far."""
        weight = self._sums[2]
        filled = np.flatnonzero(weight > 0)
        centres: NDArray[np.float64] = self.low + self.step * filled.astype(np.float64)
        return BinnedSpectrum(centres, *(self._sums[:2, filled] / weight[filled]))


@njit(cache=True, nogil=True)
def _add(wave, data, stat, dq, low, step, sums):  # type: ignore[no-untyped-def]
    for k in range(wave.size):
        if dq[k] != 0 or not np.isfinite(data[k]):
            continue
        place = max((np.float64(wave[k]) - low) / step, 0.0)
        lower = int(place)
        if lower + 1 >= sums.shape[1]:
            continue
        upper_weight = place - lower
        lower_weight = 1.0 - upper_weight
        sums[0, lower] += lower_weight * data[k]
        sums[1, lower] += lower_weight * stat[k]
        sums[2, lower] += lower_weight
        sums[0, lower + 1] += upper_weight * data[k]
        sums[1, lower + 1] += upper_weight * stat[k]
        sums[2, lower + 1] += upper_weight


@njit(cache=True, nogil=True)
def _add_values(wave, data, low, step, sums):  # type: ignore[no-untyped-def]
    for k in range(wave.size):
        if not np.isfinite(data[k]):
            continue
        place = max((np.float64(wave[k]) - low) / step, 0.0)
        lower = int(place)
        if lower + 1 >= sums.shape[1]:
            continue
        upper_weight = place - lower
        lower_weight = 1.0 - upper_weight
        sums[0, lower] += lower_weight * data[k]
        sums[2, lower] += lower_weight
        sums[0, lower + 1] += upper_weight * data[k]
        sums[2, lower + 1] += upper_weight


def binned_with_rejection(
    wave: NDArray[np.float32],
    data: NDArray[np.float32],
    stat: NDArray[np.float32],
    bins: tuple[float, float, float],
    high_sigma: float,
    low_sigma: float,
    iterations: int,
) -> BinnedSpectrum:
    """Spectrum of unflagged rows, without those that lie far from it.

    Parameters
    ----------
    wave, data, stat : ndarray of float32 (n,)
        Wavelength [Angstrom], value and variance of the rows.
    bins : tuple of float
        Lowest and highest wavelength, and step, of `SpectrumBins`.
    high_sigma, low_sigma : float
        A row is rejected above, below the spectrum by more than so many standard deviations; not at all if that is not
        positive. It is compared with the value and the mean variance of the higher one of the bins around it.
    iterations : int

    Returns
    -------
    BinnedSpectrum
    """
    dq = np.zeros(wave.size, np.int32)

    def spectrum() -> BinnedSpectrum:
        sums = SpectrumBins(*bins)
        sums.add(wave, data, stat, dq)
        return sums.spectrum()

    found = spectrum()
    for _ in range(iterations):
        if found.wave.size == 0 or not _reject(
            wave, data, dq, found.wave, found.data, found.stat, high_sigma, low_sigma
        ):
            break
        found = spectrum()
    return found


@njit(cache=True, nogil=True)
def _reject(wave, data, dq, centres, values, variances, high_sigma, low_sigma):  # type: ignore[no-untyped-def]
    """Flag rows that are far from the spectrum; how many."""
    count = 0
    for k in range(wave.size):
        if dq[k] != 0:
            continue
        place = max(np.searchsorted(centres, wave[k], side="right") - 1, 0)
        if place + 1 < values.size and values[place + 1] > values[place]:
            place += 1
        level = values[place]
        sigma = math.sqrt(max(variances[place], 0.0))
        if (high_sigma > 0 and data[k] > level + high_sigma * sigma) or (
            low_sigma > 0 and data[k] < level - low_sigma * sigma
        ):
            dq[k] = 1
            count += 1
    return count
