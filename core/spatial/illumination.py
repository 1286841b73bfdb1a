"""How bright the slices of an IFU are, relative to each other, in an exposure of the flat-field lamps in the night."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from core.errors import DataError

__all__ = ["Illumination"]


@dataclass(frozen=True)
class Illumination:
    """Factors for the slices of an IFU.

    Attributes
    ----------
    factors : mapping of int to float
        Slice on the detector to the factor that its data are multiplied by; their mean is 1.
    """

    factors: Mapping[int, float]

    @classmethod
    def of(cls, medians: Mapping[int, float]) -> Illumination:
        """Factors from the median brightness of the slices.

        Raises
        ------
        DataError
            If a slice has no light.
        """
        dark = [str(number) for number, value in medians.items() if not (np.isfinite(value) and value > 0)]
        if dark or not medians:
            raise DataError(f"the illumination exposure has no light in slice {', '.join(dark) or '1 to 48'}")
        mean = float(np.mean([1.0 / value for value in medians.values()]))
        return cls({number: 1.0 / value / mean for number, value in medians.items()})

    @property
    def mean(self) -> float:
        """Mean of the factors."""
        return float(np.mean(list(self.factors.values())))

    @property
    def stdev(self) -> float:
        """Their standard deviation."""
        return float(np.std(list(self.factors.values()), ddof=1)) if len(self.factors) > 1 else 0.0
