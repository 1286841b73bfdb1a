"""Star clusters of the simulated sky: the fields of known places that astrometric exposures look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.simulator.sources import Star, stars_in_field

__all__ = ["CLUSTERS", "Columns", "cluster_stars", "star_catalogue"]

Columns = dict[str, NDArray[np.float64] | NDArray[np.str_]]

CLUSTERS: Final[Mapping[str, tuple[float, float]]] = MappingProxyType(
    {f"Simulated cluster {hour:02d}h": (15.0 * hour + 7.5, -8.0 if hour % 4 else -44.0) for hour in range(0, 24, 2)}
)
"""RA and DEC [deg] of the centres: one each two hours, so that one stands high at any time. None is real."""

_COUNT: Final = 120
_MAGNITUDES: Final = (12.0, 17.0)
_FILTER: Final = "Johnson_V"  # magnitudes are those at 5500 Angstrom


@cache
def cluster_stars(seed: int, name: str) -> tuple[Star, ...]:
    """Stars of a cluster; they are in the same places for ever."""
    return stars_in_field(seed, *CLUSTERS[name], _COUNT, _MAGNITUDES)


def star_catalogue(stars: Sequence[Star]) -> Columns:
    """Columns of an ASTROMETRY_REFERENCE of stars, the brightest first."""
    ordered = sorted(stars, key=lambda star: star.magnitude)
    return {
        "SourceID": np.array([f"{number:04d}" for number in range(1, len(ordered) + 1)], np.str_),
        "RA": np.array([star.ra for star in ordered]),
        "DEC": np.array([star.dec for star in ordered]),
        "filter": np.full(len(ordered), _FILTER),
        "mag": np.array([star.magnitude for star in ordered]),
    }
