"""Several images become one: options of the combination and the table of what it does per pixel.

Per pixel, over the images with DQ = 0 there:

* ``average``: mean; variance sum(var)/n^2.
* ``median``: median; the variance of the middle image, or the sum of the two middle ones.
* ``minmax``: mean without the ``nlow`` lowest and ``nhigh`` highest values.
* ``sigclip``: mean of the values within ``lsigma``, ``hsigma`` mean absolute deviations about the median, one pass.
* ``sum``: the sum, scaled up for missing images.

Where no image is good, the image with the smallest flags gives value, variance and flags.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.errors import ParameterError

__all__ = ["METHODS", "CombineMethod", "CombineOptions"]

CombineMethod = Literal["average", "median", "minmax", "sigclip", "sum"]
METHODS: tuple[CombineMethod, ...] = ("average", "median", "minmax", "sigclip", "sum")


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
        if self.method == "minmax" and (n - self.nlow - self.nhigh < self.nkeep or n - self.nhigh <= 0):
            raise ParameterError(
                f"combine=minmax with nlow={self.nlow}, nhigh={self.nhigh}, nkeep={self.nkeep} needs at least "
                f"{max(self.nlow + self.nhigh + self.nkeep, self.nhigh + 1)} images, there are {n}",
                parameter="combine",
            )
