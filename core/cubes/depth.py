"""How deep a cube is: the noise of its voxels, and the faintest point source in the mean of all its planes.

Source: the reference pipeline's definition of PIXNOISE and ABMAGLIM in ESO's science data products.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from core.errors import DataError

__all__ = ["VarianceMode", "limiting_magnitude"]

_BINS: Final = 625
_RANGE: Final = 25.0  # of variances; wider where the median lies beyond
_SIGMA: Final = 1.4826  # of a median absolute deviation
_FREEDMAN: Final = 2 * 3.49  # width of a bin over sigma / n**(1/3)
_HALF_NORMAL: Final = math.sqrt(1 - 2 / math.pi)  # scatter of one half of a Gaussian
_LIMIT: Final = 5.0  # sigma
_FWHM: Final = 2.3548
_AB_ZERO: Final = 3631.0  # [Jy]
_TO_JANSKY: Final = 3.34e4  # a flux per Angstrom, times the square of the wavelength [Angstrom]
_EXPONENT: Final = 50.0  # magnitudes of the factor 10**(-20) of fluxes


class VarianceMode:
    """The most frequent variance of a cube, from its planes one slab after the other.

    Parameters
    ----------
    sample : ndarray
        Some of the variances. Bins are 0.04 wide and reach to 25; both are doubled until half of the sample lies below.
    """

    def __init__(self, sample: npt.NDArray[np.float32]) -> None:
        known = sample[np.isfinite(sample)]
        median = float(np.median(known)) if known.size else 0.0
        widened = 2.0 ** math.ceil(math.log2(max(1.0, median / _RANGE)))
        self._width = _RANGE / _BINS * widened
        self._counts = np.zeros(_BINS, np.int64)

    def add(self, stat: npt.NDArray[np.float32]) -> None:
        """Count variances; those that are no numbers, or beyond the bins, do not count."""
        with np.errstate(invalid="ignore"):
            inside = stat[(stat >= 0) & (stat < self._width * _BINS)]
        places = (inside / np.float32(self._width)).astype(np.int64)
        self._counts += np.bincount(places, minlength=_BINS)[:_BINS]

    @property
    def value(self) -> float:
        """Centre of the fullest bin; NaN if nothing was counted."""
        return (int(self._counts.argmax()) + 0.5) * self._width if self._counts.any() else math.nan


def limiting_magnitude(image: npt.NDArray[np.float32], fwhm: float, wave_range: tuple[float, float]) -> float:
    """AB magnitude of a point source of 5 sigma in the mean of a cube over all wavelengths.

    Parameters
    ----------
    image : ndarray, shape (ny, nx)
        The mean [1e-20 erg/s/cm**2/Angstrom]; NaN where there is none.
    fwhm : float
        Width of a point source [pix].
    wave_range : pair of float
        First and last wavelength [Angstrom].

    Returns
    -------
    float
        From the scatter of the smoothed image below its most frequent value, where there is sky and no source.

    Raises
    ------
    DataError
        If the image has no such scatter.
    """
    smooth = _smoothed(image.astype(np.float64), fwhm)
    values = image[np.isfinite(image)].astype(np.float64)
    mode = _mode(values)
    dark = smooth[np.isfinite(smooth) & (smooth <= mode)]
    if dark.size < 2 or not (scatter := float(np.median(np.abs(dark - np.median(dark))))) > 0:
        raise DataError("the image has no scatter below its most frequent value: there is no limit of its sources")
    noise = _SIGMA * scatter / _HALF_NORMAL
    area = 4 * math.pi * (fwhm / _FWHM) ** 2
    zero = _EXPONENT - 2.5 * math.log10(_TO_JANSKY * wave_range[0] * wave_range[1] / _AB_ZERO)
    return zero - 2.5 * math.log10(_LIMIT * noise * area)


def _smoothed(image: npt.NDArray[np.float64], fwhm: float) -> npt.NDArray[np.float64]:
    """Folded with a Gaussian; pixels without a value do not count, and have none afterwards."""
    reach = np.arange(-int(fwhm), int(fwhm) + 1)
    profile = np.exp(-((reach / (fwhm / _FWHM)) ** 2) / 2)
    known = np.isfinite(image)
    sums: Any = np.where(known, image, 0.0)
    weights: Any = known.astype(np.float64)
    for axis in (0, 1):
        sums, weights = (ndimage.correlate1d(part, profile, axis=axis, mode="reflect") for part in (sums, weights))
    return np.divide(sums, weights, out=np.full(image.shape, np.nan), where=known)


def _mode(values: npt.NDArray[np.float64]) -> float:
    """Most frequent value: the fullest bin of a histogram, and within it by the bins beside."""
    if values.size < 3:
        raise DataError(f"{values.size} values have no most frequent one")
    scatter = float(np.median(np.abs(values - np.median(values))))
    low, high = float(values.min()), float(values.max())
    width = _FREEDMAN * _SIGMA * scatter / values.size ** (1 / 3)
    if not width > 0:
        return float(np.median(values))
    counts, edges = np.histogram(values, min(math.ceil((high - low) / width), values.size * 100) or 1, (low, high))
    peak = int(counts.argmax())
    before, after = (int(counts[k]) if 0 <= k < counts.size else 0 for k in (peak - 1, peak + 1))
    rise, fall = int(counts[peak]) - before, int(counts[peak]) - after
    return float(edges[peak] + (edges[1] - edges[0]) * (rise / (rise + fall) if rise + fall else 0.5))
