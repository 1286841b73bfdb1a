"""Robust statistics of QC1 series."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["MAD_TO_SIGMA", "RobustStatistics", "robust_statistics", "running_median"]

MAD_TO_SIGMA = 1.482602218505602  # 1 / inverse normal distribution at 3/4


@dataclass(frozen=True)
class RobustStatistics:
    """Median, and a standard deviation from the median absolute deviation, of ``number`` values."""

    number: int
    median: float
    sigma: float


def robust_statistics(values: ArrayLike) -> RobustStatistics:
    """Statistics of the finite values.

    Parameters
    ----------
    values : array_like
        Any shape.

    Returns
    -------
    RobustStatistics
        NaN for median and sigma if there is no value.
    """
    array = np.asarray(values, dtype=np.float64).ravel()
    array = array[np.isfinite(array)]
    if array.size == 0:
        return RobustStatistics(0, float("nan"), float("nan"))
    median = float(np.median(array))
    return RobustStatistics(int(array.size), median, float(MAD_TO_SIGMA * np.median(np.abs(array - median))))


def running_median(times: ArrayLike, values: ArrayLike, window: float) -> NDArray[np.float64]:
    """Median of the values within half a window on both sides of each time.

    Parameters
    ----------
    times : array_like, shape (n,)
        Ascending.
    values : array_like, shape (n,)
        Values that are not finite are left out.
    window : float
        Full width, in the unit of ``times``.

    Returns
    -------
    ndarray, shape (n,), float64
        NaN where the window holds no finite value.

    Raises
    ------
    ValueError
        If the lengths differ, the times are not ascending, or the window is not positive.
    """
    moments = np.asarray(times, dtype=np.float64)
    series = np.asarray(values, dtype=np.float64)
    if moments.shape != series.shape or moments.ndim != 1:
        raise ValueError(f"times and values must be equally long, not {moments.shape} and {series.shape}")
    if np.any(np.diff(moments) < 0):
        raise ValueError("times must be ascending")
    if window <= 0:
        raise ValueError(f"window={window} must be positive")
    first = np.searchsorted(moments, moments - window / 2, side="left")
    last = np.searchsorted(moments, moments + window / 2, side="right")
    result = np.full(series.shape, np.nan)
    for i, (start, stop) in enumerate(zip(first, last, strict=True)):
        inside = series[start:stop]
        inside = inside[np.isfinite(inside)]
        if inside.size:
            result[i] = np.median(inside)
    return result
