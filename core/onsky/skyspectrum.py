"""The mean spectrum of many pixels, each of which has a wavelength of its own (MUSE manual, 6.5.2).

Pixels are added piece by piece, so that those of an exposure need not be in memory together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

from core.errors import DataError

__all__ = ["MeanSpectrum", "SpectrumSum"]

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class MeanSpectrum:
    """A spectrum.

    Attributes
    ----------
    wave : ndarray of float64, shape (n,)
        Ascending [Angstrom], where there are pixels.
    data : ndarray of float64, shape (n,)
        Means.
    stat : ndarray of float64, shape (n,)
        Variances of a pixel, not of the mean.
    """

    wave: F64
    data: F64
    stat: F64


class SpectrumSum:
    """Sums of pixels in bins; a pixel counts in the two bins around it.

    Parameters
    ----------
    low, high : float
        Wavelengths of the pixels [Angstrom].
    sampling : float
        Width of a bin [Angstrom].
    clip : tuple of MeanSpectrum and float, optional
        A first spectrum, and how many sigma (of a pixel) above it a pixel is left out.

    Raises
    ------
    DataError
        If the limits are none, or the bins have no width.
    """

    def __init__(
        self, low: float, high: float, sampling: float, clip: tuple[MeanSpectrum, float] | None = None
    ) -> None:
        if not (sampling > 0 and low <= high):
            raise DataError(f"no bins of {sampling} Angstrom from {low} to {high} Angstrom")
        n = int((high - low) / sampling) + 2
        self._wave = low + sampling * np.arange(n, dtype=np.float64)
        self._sums: F64 = np.zeros((3, n))  # of weights, data, variances
        self._clip = clip

    def add(self, wave: F32, data: F32, stat: F32, dq: npt.NDArray[np.int32], weight: F32 | None = None) -> None:
        """Add pixels; those that are flagged, or not finite, do not count."""
        first, sigma = (MeanSpectrum(*(np.zeros(0),) * 3), 0.0) if self._clip is None else self._clip
        weights = np.zeros(0, np.float32) if weight is None else weight
        _add(wave, data, stat, dq, weights, self._wave, first.wave, first.data, first.stat, sigma, self._sums)

    def mean(self) -> MeanSpectrum:
        """The spectrum, where there are pixels; DataError if there are none."""
        weights, data, stat = self._sums
        there = weights > 0
        if not there.any():
            raise DataError("no pixel has sky: there is no spectrum")
        return MeanSpectrum(self._wave[there], data[there] / weights[there], stat[there] / weights[there])


@njit(cache=True, nogil=True)
def _add(wave, data, stat, dq, weight, bins, c_wave, c_data, c_stat, sigma, sums):  # type: ignore[no-untyped-def]
    low, step, n = bins[0], bins[1] - bins[0], bins.size
    c = 0
    for i in range(wave.size):
        if dq[i] != 0 or not np.isfinite(data[i]):
            continue
        at = np.float64(wave[i])
        if c_wave.size:
            while c > 0 and c_wave[c] > at:
                c -= 1
            while c < c_wave.size - 1 and c_wave[c + 1] <= at:
                c += 1
            k = c + 1 if c < c_wave.size - 1 and c_data[c + 1] > c_data[c] else c
            if data[i] > c_data[k] + sigma * np.sqrt(c_stat[k]):
                continue
        place = (at - low) / step
        k = int(np.floor(place))
        if k < 0 or k >= n - 1:
            continue
        part = place - k
        own = 1.0 if weight.size == 0 else np.float64(weight[i])
        for j, share in ((k, own * (1 - part)), (k + 1, own * part)):
            sums[0, j] += share
            sums[1, j] += share * data[i]
            sums[2, j] += share * stat[i]
