"""Curves over wavelength become smooth: by medians, or by cubic polynomials through the neighbours of each point.

A curve is smoothed in stretches that hold no edge of a filter. Windows of medians and means reach as far to the one
side as to the other, less far towards the ends of a stretch: a slope stays what it is.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.spectral.iterfit import iterate_fit

__all__ = ["smooth_by_median", "smooth_by_polynomials", "stretches"]

F64 = NDArray[np.float64]
Mask = NDArray[np.bool_]

HALF_WIDTH: Final = 15.0  # [Angstrom] of the running median and mean
_FIT_HALF_WIDTH: Final = 150.0  # [Angstrom] of the piece that a polynomial is fitted to
_FIT_ORDER: Final = 3
_FIT_SIGMA: Final = 3.0


def stretches(wave: F64, first: float, gap: tuple[float, float] | None) -> list[Mask]:
    """Points from a wavelength on, in one stretch, or two if there is a gap between them that belongs to none."""
    inside = wave >= first
    if gap is None:
        return [inside]
    return [inside & (wave <= gap[0]), inside & (wave >= gap[1])]


def smooth_by_median(wave: F64, values: F64, errors: F64) -> tuple[F64, F64]:
    """Median of each point and its neighbours within 15 Angstrom.

    Parameters
    ----------
    wave : ndarray of float64, shape (n,)
        Ascending [Angstrom].
    values, errors : ndarray of float64, shape (n,)

    Returns
    -------
    values, errors : ndarray of float64, shape (n,)
        The error is the mean deviation from the median, or the median of the errors if that is larger.
    """
    smooth, spread = values.copy(), errors.copy()
    for k, side in enumerate(_sides(wave)):
        if side:
            own = values[k - side : k + side + 1]
            smooth[k] = np.median(own)
            spread[k] = max(np.abs(own - smooth[k]).mean(), np.median(errors[k - side : k + side + 1]))
    return smooth, spread


def smooth_by_polynomials(wave: F64, values: F64, errors: F64) -> tuple[F64, F64]:
    """At each point a cubic polynomial through its neighbours within 150 Angstrom; then means within 15 Angstrom.

    Parameters
    ----------
    wave : ndarray of float64, shape (n,)
        Ascending [Angstrom].
    values, errors : ndarray of float64, shape (n,)

    Returns
    -------
    values, errors : ndarray of float64, shape (n,)
        Errors contain the scatter around the polynomials and that of the means.
    """
    first = np.searchsorted(wave, wave - _FIT_HALF_WIDTH, "left")
    last = np.searchsorted(wave, wave + _FIT_HALF_WIDTH, "right")
    fitted, spread = np.empty_like(values), np.empty_like(values)
    for k, (low, high) in enumerate(zip(first.tolist(), last.tolist(), strict=True)):
        fit = iterate_fit(wave[low:high], values[low:high], min(_FIT_ORDER, high - low - 1), _FIT_SIGMA)
        fitted[k] = fit(wave[k])
        spread[k] = np.hypot(fit.rms, errors[k])
    smooth, deviation = _running_mean(wave, fitted)
    return smooth, np.hypot(spread, deviation)


def _running_mean(wave: F64, values: F64) -> tuple[F64, F64]:
    """Mean of each point and its neighbours, and their standard deviation."""
    mean, deviation = values.copy(), np.zeros_like(values)
    for k, side in enumerate(_sides(wave)):
        if side:
            own = values[k - side : k + side + 1]
            mean[k], deviation[k] = own.mean(), own.std(ddof=1)
    return mean, deviation


def _sides(wave: F64) -> list[int]:
    """How many neighbours on either side of each point are near it."""
    place = np.arange(wave.size)
    left = place - np.searchsorted(wave, wave - HALF_WIDTH, "left")
    right = np.searchsorted(wave, wave + HALF_WIDTH, "right") - 1 - place
    return [int(side) for side in np.minimum(left, right)]
