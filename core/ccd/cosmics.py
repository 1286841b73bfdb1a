"""Pixels become flags: cosmic-ray hits found by the DCR method.

Pych 2004, PASP 116, 148: in small sub-frames the histogram of values is searched upwards from its mode for a gap of
empty bins that is wide compared with the noise; everything above the gap is a hit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from core.errors import ParameterError
from core.instruments.muse.facts import Dq

__all__ = ["DcrSettings", "flag_cosmics"]

_COSMIC = int(Dq.COSMIC)


@dataclass(frozen=True)
class DcrSettings:
    """Settings of the DCR search.

    Attributes
    ----------
    xbox, ybox : int
        Size of the sub-frames [pix].
    npass : int
        Maximum number of passes over the image.
    thres : float
        Width of a gap in units of the local standard deviation.
    """

    xbox: int = 128
    ybox: int = 32
    npass: int = 3
    thres: float = 2.5

    def __post_init__(self) -> None:
        if self.xbox < 1 or self.ybox < 1 or self.npass < 1 or not self.thres > 0:
            raise ParameterError(
                f"dcr settings {self.xbox},{self.ybox},{self.npass},{self.thres:g} are not usable: "
                "box sizes, number of passes and threshold must be positive",
                parameter="dcr",
            )

    def fitted_to(self, nx: int, ny: int) -> DcrSettings:
        """The same settings with boxes not larger than the image."""
        return DcrSettings(min(self.xbox, nx), min(self.ybox, ny), self.npass, self.thres)

    def turned(self) -> DcrSettings:
        """The same settings with the box sizes exchanged."""
        return DcrSettings(self.ybox, self.xbox, self.npass, self.thres)


@njit(cache=True, nogil=True)
def _clip_subframe(data, dq, x1, x2, y1, y2, threshold):  # type: ignore[no-untyped-def]
    """Flag the hits of one sub-frame (1-based inclusive limits, clipped to the image); return their number."""
    ny, nx = data.shape
    x1 = max(x1, 1) - 1
    y1 = max(y1, 1) - 1
    x2 = min(x2, nx)
    y2 = min(y2, ny)
    n = 0
    total = 0.0
    total2 = 0.0
    low = np.inf
    high = -np.inf
    for y in range(y1, y2):
        for x in range(x1, x2):
            if dq[y, x] != 0:
                continue
            value = data[y, x]
            n += 1
            total += value
            total2 += np.float64(np.float32(value * value))
            low = min(low, np.float64(value))
            high = max(high, np.float64(value))
    if n == 0:
        return 0
    mean = total / n
    sigma = np.sqrt(max((total2 - total * total / n) / n, 0.0))

    length = int(high - low + 1.0 + 0.5)
    histogram = np.zeros(length + 1, dtype=np.int64)
    lower = mean - sigma * threshold
    upper = mean + sigma * threshold
    n = 0
    total = 0.0
    total2 = 0.0
    for y in range(y1, y2):
        for x in range(x1, x2):
            if dq[y, x] != 0:
                continue
            value = data[y, x]
            histogram[int(np.float64(value) - low + 0.5)] += 1
            if value > lower and value < upper:
                n += 1
                total += value
                total2 += np.float64(np.float32(value * value))
    if n == 0:
        return 0
    sigma = np.sqrt(max((total2 - total * total / n) / n, 0.0))

    index = 0
    for i in range(1, length):
        if histogram[i] > histogram[index]:
            index = i
    gap = -1
    while index < length:
        while index < length and histogram[index] != 0:
            index += 1
        if index >= length:
            break
        first_empty = index
        while index < length and histogram[index] == 0:
            index += 1
        if index >= length:
            break
        if index - first_empty > sigma * threshold:
            gap = first_empty
            break
    if gap < 0:
        return 0
    limit = gap + low
    found = 0
    for y in range(y1, y2):
        for x in range(x1, x2):
            if dq[y, x] == 0 and data[y, x] > limit:
                dq[y, x] |= _COSMIC
                found += 1
    return found


@njit(cache=True, nogil=True)
def _dcr_pass(data, dq, xbox, ybox, threshold):  # type: ignore[no-untyped-def]
    ny, nx = data.shape
    found = 0
    imax = 0
    jmax = 0
    i = 1
    # A box of one pixel still has to move on.
    xstep = max(xbox // 2, 1)
    ystep = max(ybox // 2, 1)
    while i <= nx - xbox + 1:
        j = 1
        while j <= ny - ybox + 1:
            found += _clip_subframe(data, dq, i, i + xbox, j, j + ybox, threshold)
            imax = max(imax, i + xbox)
            jmax = max(jmax, j + ybox)
            j += ystep
        if jmax < ny:
            found += _clip_subframe(data, dq, i, i + xbox, ny - ybox + 1, ny, threshold)
        i += xstep
    if imax < nx:
        j = 1
        while j <= ny - ybox + 1:
            found += _clip_subframe(data, dq, nx - xbox + 1, nx, j, j + ybox, threshold)
            j += ystep
        if jmax < ny:
            # The reference takes the x size of the box in y here; kept for equal flags.
            found += _clip_subframe(data, dq, nx - xbox + 1, nx, ny - xbox + 1, ny, threshold)
    return found


def flag_cosmics(data: NDArray[np.float32], dq: NDArray[np.int32], settings: DcrSettings) -> int:
    """Flag cosmic-ray hits with DQ bit 32, in place.

    Parameters
    ----------
    data : ndarray, float32, shape (ny, nx)
        Image in adu or count; not changed.
    dq : ndarray, int32, shape (ny, nx)
        Flags; pixels with any flag are left out, hits are flagged here.
    settings : DcrSettings
        Boxes larger than the image are cut to its size.

    Returns
    -------
    int
        Number of hits found.
    """
    ny, nx = data.shape
    fitted = settings.fitted_to(nx, ny)
    found = 0
    for _ in range(fitted.npass):
        new = int(_dcr_pass(data, dq, fitted.xbox, fitted.ybox, np.float32(fitted.thres)))
        if new == 0:
            break
        found += new
    return found
