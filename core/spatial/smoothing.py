"""A more regular geometry: within a stack of slices, what deviates from a straight line is put on it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.spatial.geometry import Geometry

__all__ = ["Smoothed", "smooth_geometry"]

# quantity -> error above which a value counts for nothing [pix of 0.2 arcsec, deg]
_LARGEST_ERROR: Final = {"x": 0.90, "y": 0.10, "angle": 0.07, "width": 0.25}


@dataclass(frozen=True, eq=False)
class Smoothed:
    """A smoothed geometry, and how many slices were changed in ``x``, ``y``, ``angle`` and ``width``."""

    geometry: Geometry
    changed: dict[str, int]


def smooth_geometry(geometry: Geometry, k_sigma: float) -> Smoothed:
    """Smooth each quantity within each stack of each IFU.

    Parameters
    ----------
    geometry : Geometry
    k_sigma : float
        Values further from a straight line through their stack than so many times the rms are replaced by the line, as
        are values with a large error.

    Returns
    -------
    Smoothed
        The errors are those of before.
    """
    stacks = [
        np.flatnonzero((geometry.ifu == ifu) & (geometry.stack == stack))
        for ifu in geometry.ifus
        for stack in np.unique(geometry.stack)
    ]
    values = {name: getattr(geometry, name).copy() for name in _LARGEST_ERROR}
    changed: dict[str, int] = {}
    for name, limit in _LARGEST_ERROR.items():
        uncertain = getattr(geometry, f"{name}_error") > limit
        changed[name] = sum(
            _smooth_stack(values[name], geometry.slice_sky, uncertain, rows, k_sigma) for rows in stacks
        )
    return Smoothed(
        replace(geometry, x=values["x"], y=values["y"], angle=values["angle"], width=values["width"]), changed
    )


def _smooth_stack(
    values: NDArray[np.float64],
    slice_sky: NDArray[np.int32],
    uncertain: NDArray[np.bool_],
    rows: NDArray[np.intp],
    k_sigma: float,
) -> int:
    """Smooth one quantity of one stack in place; returns how many values were changed."""
    known = rows[np.isfinite(values[rows])]
    if known.size < 3:
        return 0
    place = slice_sky[known].astype(np.float64)
    line = np.polynomial.Polynomial.fit(place, values[known], 1)(place)
    off = np.abs(values[known] - line)
    replaced = uncertain[known] | (off > k_sigma * np.sqrt(np.mean(off**2)))
    values[known[replaced]] = line[replaced]
    return int(np.count_nonzero(replaced))
