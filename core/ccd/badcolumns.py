"""A master bias becomes flags: bright and dark columns of each port."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from core.ccd.statistics import adev
from core.errors import DataError
from core.instruments.muse.facts import Dq

__all__ = ["flag_bad_columns"]

_DEAD = int(Dq.DEAD)


@njit(cache=True, nogil=True)
def _column_moments(data, mean, stdev):  # type: ignore[no-untyped-def]
    ny, nx = data.shape
    for y in range(ny):
        for x in range(nx):
            mean[x] += np.float64(data[y, x])
    for x in range(nx):
        mean[x] /= ny
    for y in range(ny):
        for x in range(nx):
            d = np.float64(data[y, x]) - mean[x]
            stdev[x] += d * d
    for x in range(nx):
        stdev[x] = np.sqrt(stdev[x] / (ny - 1))


def flag_bad_columns(
    data: NDArray[np.float32],
    dq: NDArray[np.int32],
    ron: float,
    losigma: float,
    hisigma: float,
) -> int:
    """Flag bright and dark columns of one port as dead (8192), in place.

    A column is bright if its mean lies more than ``hisigma`` deviations above the median of the column means and its
    pixels scatter more than the read-out noise; else it is dark if it lies more than ``losigma`` below. All pixels
    between the first and the last deviating one of such a column are flagged.

    Parameters
    ----------
    data : ndarray, float32, shape (ny, nx)
        Master bias inside the port window [adu].
    dq : ndarray, int32, shape (ny, nx)
        Flags of the same window.
    ron : float
        Read-out noise as in ``QC.BIAS.MASTERn.RON`` [count]; the reference compares it with adu, and so do we.
    losigma, hisigma : float
        In units of the mean absolute deviation of the column means.

    Returns
    -------
    int
        Number of pixels flagged.

    Raises
    ------
    DataError
        If the window has fewer than two rows.
    """
    ny, nx = data.shape
    if ny < 2 or nx < 1:
        raise DataError(f"a window of {nx} x {ny} pix is too small to find bad columns")
    mean, stdev = np.zeros(nx), np.zeros(nx)
    _column_moments(data, mean, stdev)
    centre, deviation = adev(mean)
    high, low = centre + hisigma * deviation, centre - losigma * deviation
    bright = (mean > high) & (stdev > ron)
    dark = ~bright & (mean < low)
    flagged = 0
    for x in np.flatnonzero(bright | dark):
        column = data[:, x].astype(np.float64)
        deviating = np.flatnonzero(column > high if bright[x] else column < low)
        first, last = (deviating[0], deviating[-1]) if deviating.size else (0, ny - 1)
        dq[first : last + 1, x] |= _DEAD
        flagged += int(last - first + 1)
    return flagged
