"""A mean of few measurements with errors, some of which may be wrong."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["clipped_mean"]

_OF_MEAN_DEVIATION: Final = math.sqrt(0.5 * math.pi)  # standard deviation over mean absolute deviation


def clipped_mean(
    values: NDArray[np.float64], errors: NDArray[np.float64] | None, k_sigma: float
) -> tuple[float, float]:
    """Mean of what lies close together, and its scatter.

    Parameters
    ----------
    values : ndarray of float64 (n,)
    errors : ndarray of float64 (n,) or None
        Rough errors, each from a few numbers: the typical one is added to each in quadrature, lest one that is small
        by chance decides. Their inverses are the weights; None: all count alike.
    k_sigma : float
        Values further from the mean than so many times the scatter are dropped, again and again. It starts with the
        median and what the mean absolute deviation tells.

    Returns
    -------
    mean, scatter : float
        The scatter is that of one value, as it would be without the cut (of a normal distribution). If all values are
        dropped: middle and half width of the last limits.
    """
    weights = _weights(values, errors)
    truncated = _truncated(k_sigma)
    mean = float(np.median(values))
    scatter = _OF_MEAN_DEVIATION * float(np.mean(np.abs(values - mean)))
    used = np.ones(values.size, np.bool_)
    while True:
        # rounding must not drop one of equal values
        inside = np.abs(values - mean) <= k_sigma * scatter + 1e-12 * abs(mean)
        if not (used & inside).any():
            return mean, k_sigma * scatter
        kept = int(np.count_nonzero(used))
        used &= inside
        mean = float(np.average(values[used], weights=weights[used]))
        scatter = float(np.sqrt(np.average((values[used] - mean) ** 2, weights=weights[used]))) / truncated
        if np.count_nonzero(used) == kept:
            return mean, scatter


def _weights(values: NDArray[np.float64], errors: NDArray[np.float64] | None) -> NDArray[np.float64]:
    if errors is None or not errors.any():
        return np.ones_like(values)
    typical = max(float(np.median(errors)), float(np.finfo(np.float32).eps))
    weights: NDArray[np.float64] = 1.0 / np.sqrt(errors**2 + typical**2)
    return weights


def _truncated(k_sigma: float) -> float:
    """Standard deviation of a normal distribution cut at so many times its own."""
    inside = math.erf(k_sigma / math.sqrt(2.0))
    return math.sqrt(1.0 - 2.0 * k_sigma * math.exp(-0.5 * k_sigma**2) / math.sqrt(2.0 * math.pi) / inside)
