"""Several images become one: options and rules of the combination; `core.ccd.combine_rows` does it.

Per pixel, over the n images with DQ = 0 there:

* ``average``: mean; variance sum(var)/n^2.
* ``median``: median; the variance of the middle image, or the sum of those of the two middle ones (the reference does
  not divide it by 4, and neither do we).
* ``minmax``: mean without the ``nlow`` lowest and ``nhigh`` highest values. Where that leaves fewer than ``nkeep``
  values, flagged images are admitted again, in order, and their flags go to the result.
* ``sigclip``: mean of the values within ``lsigma``, ``hsigma`` mean absolute deviations about the median, one pass.
* ``sum``: the sum, scaled up for missing images.

Where no image is good, the image with the smallest flags gives value, variance and flags.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from core.ccd.combine_rows import AVERAGE, COPY, MEDIAN, MINMAX, SIGCLIP, SUM, combine_rows_of
from core.errors import DataError, ParameterError

__all__ = ["CombineMethod", "CombineOptions", "combine_images", "method_code", "sorting_network"]

CombineMethod = Literal["average", "median", "minmax", "sigclip", "sum"]
_CODES: dict[str, int] = {
    "copy": COPY, "average": AVERAGE, "median": MEDIAN, "minmax": MINMAX, "sigclip": SIGCLIP, "sum": SUM,
}  # fmt: skip


@dataclass(frozen=True)
class CombineOptions:
    """How images are combined.

    Attributes
    ----------
    method : {"average", "median", "minmax", "sigclip", "sum"}
    nlow, nhigh, nkeep : int
        Values to drop at both ends, and values to keep at least (minmax).
    lsigma, hsigma : float
        Limits in units of the mean absolute deviation (sigclip).
    """

    method: CombineMethod = "sigclip"
    nlow: int = 1
    nhigh: int = 1
    nkeep: int = 1
    lsigma: float = 3.0
    hsigma: float = 3.0

    def check_number(self, n: int) -> None:
        """Refuse options that do not fit the number of images.

        Raises
        ------
        ParameterError
            If sigclip gets fewer than 3 images, or minmax would drop too many. One image is never combined.
        """
        if n == 1:
            return
        if self.method == "sigclip" and n < 3:
            raise ParameterError(
                f"combine=sigclip needs at least 3 images, there are {n}; use average or median",
                parameter="combine",
            )
        if self.method == "minmax" and n < max(self.nlow + self.nhigh + max(self.nkeep, 1), self.nhigh + 1):
            raise ParameterError(
                f"combine=minmax with nlow={self.nlow}, nhigh={self.nhigh}, nkeep={self.nkeep} needs at least "
                f"{self.nlow + self.nhigh + max(self.nkeep, 1)} images, there are {n}",
                parameter="combine",
            )


def method_code(options: CombineOptions, n: int) -> int:
    """Number of a method inside the kernels; a single image is copied."""
    return _CODES["copy" if n == 1 else options.method]


@lru_cache(maxsize=32)
def sorting_network(n: int) -> NDArray[np.int64]:
    """Compare-exchange pairs that sort ``n`` values (Batcher's odd-even merge), shape (m, 2)."""
    pairs = []
    p = 1
    while p < n:
        k = p
        while k >= 1:
            for j in range(k % p, n - k, 2 * k):
                for i in range(min(k, n - j - k)):
                    if (i + j) // (2 * p) == (i + j + k) // (2 * p):
                        pairs.append((i + j, i + j + k))
            k //= 2
        p *= 2
    network = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    network.flags.writeable = False
    return network


def combine_images(
    data: NDArray[np.float32], dq: NDArray[np.int32], stat: NDArray[np.float32], options: CombineOptions
) -> tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.float32]]:
    """Combine images that are in memory.

    Parameters
    ----------
    data, stat : ndarray, float32, shape (n, ny, nx)
        Values and variances.
    dq : ndarray, int32, shape (n, ny, nx)
        Flags.
    options : CombineOptions

    Returns
    -------
    data, dq, stat : ndarray, shape (ny, nx)

    Raises
    ------
    DataError
        If there is no image, or if the shapes differ.
    ParameterError
        If the options do not fit the number of images.
    """
    if data.ndim != 3 or data.shape[0] == 0 or not data.shape == dq.shape == stat.shape:
        raise DataError(f"cannot combine images of shapes {data.shape}, {dq.shape} and {stat.shape}")
    n, ny, nx = data.shape
    options.check_number(n)
    out, out_stat = np.empty((ny, nx), np.float32), np.empty((ny, nx), np.float32)
    out_dq = np.empty((ny, nx), np.int32)
    counts = np.array([options.nlow, options.nhigh, options.nkeep], np.int64)
    sigmas = np.array([options.lsigma, options.hsigma], np.float64)
    combine_rows_of(data, stat, dq, method_code(options, n), counts, sigmas, sorting_network(n), out, out_stat, out_dq)
    return out, out_dq, out_stat
