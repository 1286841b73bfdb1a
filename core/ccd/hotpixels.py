"""A master dark becomes flags and a number: hot pixels and the dark current."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from core.ccd.statistics import image_median_and_adev
from core.ccd.windows import HALF_SIZE, random_windows
from core.errors import DataError
from core.instruments.muse.facts import Dq

__all__ = ["DarkCurrent", "flag_hot_pixels", "measure_dark_current"]

N_WINDOWS = 300
_SIZE = 2 * HALF_SIZE + 1
_HOT = int(Dq.HOT)
_DEAD = int(Dq.DEAD)


@dataclass(frozen=True)
class DarkCurrent:
    """Dark current and its scatter over the detector [count/pix/h]."""

    current: float
    error: float


@njit(cache=True, nogil=True)
def _good_minimum(data, dq):  # type: ignore[no-untyped-def]
    lowest = np.inf
    for y in range(data.shape[0]):
        for x in range(data.shape[1]):
            if dq[y, x] == 0:
                lowest = min(lowest, np.float64(data[y, x]))
    return lowest


@njit(cache=True, nogil=True)
def _flag_outside(data, dq, low, high):  # type: ignore[no-untyped-def]
    n_low = 0
    n_high = 0
    for y in range(data.shape[0]):
        for x in range(data.shape[1]):
            value = np.float64(data[y, x])
            if value < low:
                dq[y, x] |= _DEAD
                n_low += 1
            elif value > high:
                dq[y, x] |= _HOT
                n_high += 1
    return n_low, n_high


def flag_hot_pixels(
    data: NDArray[np.float32], dq: NDArray[np.int32], hisigma: float, losigma: float | None = None
) -> tuple[int, int]:
    """Flag hot (256) and low (8192) pixels of one port, in place.

    Limits are deviations about the median of the good pixels. Every pixel is compared, flagged ones too.

    Parameters
    ----------
    data : ndarray, float32, shape (ny, nx)
        Master dark inside the port window.
    dq : ndarray, int32, shape (ny, nx)
        Flags of the same window.
    hisigma : float
        Upper limit in units of the mean absolute deviation; not positive: nothing is searched.
    losigma : float, optional
        Lower limit; without it the lowest good pixel is the limit, so that only pixels flagged before can be low.

    Returns
    -------
    tuple of int
        Numbers of low and of hot pixels.
    """
    if hisigma <= 0:
        return 0, 0
    median, deviation = image_median_and_adev(data, dq)
    low = _good_minimum(data, dq) if losigma is None else median - losigma * deviation
    n_low, n_high = _flag_outside(data, dq, low, median + hisigma * deviation)
    return int(n_low), int(n_high)


def measure_dark_current(
    data: NDArray[np.float32], dq: NDArray[np.int32], exptime: float, seed: int = 1
) -> DarkCurrent:
    """Dark current from the means of 300 random windows of 19 x 19 pix.

    The windows are the same for every IFU (the reference goes on with its random sequence from one IFU to the next,
    so its values depend on which IFUs were processed before).

    Parameters
    ----------
    data : ndarray, float32, shape (ny, nx)
        Master dark [count].
    dq : ndarray, int32, shape (ny, nx)
        Flagged pixels are left out.
    exptime : float
        Exposure time the master stands for [s].
    seed : int

    Raises
    ------
    DataError
        If no window has good pixels, or if the exposure time is not positive.
    """
    if exptime <= 0:
        raise DataError(f"a dark with an exposure time of {exptime:g} s has no dark current", keyword="EXPTIME")
    ny, nx = data.shape
    means = []
    for x, y in random_windows(1, nx, 1, ny, N_WINDOWS, seed, gap=0):
        window = (slice(y, y + _SIZE), slice(x, x + _SIZE))
        good = data[window][dq[window] == 0]
        if good.size:
            means.append(float(np.mean(good, dtype=np.float64)))
    if len(means) < 2:
        raise DataError("the dark has no good pixels in the windows that measure the dark current")
    per_hour = 3600.0 / exptime
    return DarkCurrent(float(np.median(means)) * per_hour, float(np.std(means, ddof=1)) * per_hour)
