"""A mean of few measurements with errors, some of which may be wrong."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["clipped_mean"]


def clipped_mean(
    values: NDArray[np.float64], errors: NDArray[np.float64] | None, k_sigma: float
) -> tuple[float, float]:
    """Mean of what lies close together, and its scatter.

    Parameters
    ----------
    values : ndarray of float64 (n,)
    errors : ndarray of float64 (n,) or None
        Their inverses are the weights; None: all count alike.
    k_sigma : float
        Values further from the mean than so many times the scatter are dropped, again and again. It starts with median
        and mean absolute deviation.

    Returns
    -------
    mean, scatter : float
        The scatter is that of one value. If all values are dropped: middle and half width of the last limits.

    Raises
    ------
    ValueError
        If there are no values.
    """
    weights = np.ones_like(values) if errors is None else 1.0 / np.maximum(errors, np.finfo(np.float32).tiny)
    mean = float(np.median(values))
    scatter = float(np.mean(np.abs(values - mean)))
    used = np.ones(values.size, np.bool_)
    while True:
        # rounding must not drop one of equal values
        inside = np.abs(values - mean) <= k_sigma * scatter + 1e-12 * abs(mean)
        if not (used & inside).any():
            return mean, k_sigma * scatter
        used &= inside
        mean = float(np.average(values[used], weights=weights[used]))
        scatter = float(np.sqrt(np.average((values[used] - mean) ** 2, weights=weights[used])))
        if (np.abs(values[used] - mean) <= k_sigma * scatter + 1e-12 * abs(mean)).all():
            return mean, scatter
