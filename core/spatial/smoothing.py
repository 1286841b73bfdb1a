"""A more regular geometry: within a stack of slices, what deviates from a straight line is put on it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.spatial.geometry import Geometry

__all__ = ["QUANTITIES", "Smoothed", "smooth_geometry", "stack_lines"]

# quantity -> error above which a value counts for nothing [pix of 0.2 arcsec, deg]
_LARGEST_ERROR: Final = {"x": 0.90, "y": 0.10, "angle": 0.07, "width": 0.25}
QUANTITIES: Final = tuple(_LARGEST_ERROR)
_FEWEST: Final = 3  # slices that tell a line from noise


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
    values = {name: getattr(geometry, name).copy() for name in _LARGEST_ERROR}
    changed: dict[str, int] = {}
    for name, limit in _LARGEST_ERROR.items():
        uncertain = getattr(geometry, f"{name}_error") > limit
        line = stack_lines(geometry, name)
        changed[name] = sum(
            _smooth_stack(values[name], line, uncertain, rows[np.isfinite(line[rows])], k_sigma)
            for rows in _stacks(geometry)
        )
    return Smoothed(
        replace(geometry, x=values["x"], y=values["y"], angle=values["angle"], width=values["width"]), changed
    )


def stack_lines(geometry: Geometry, quantity: str) -> NDArray[np.float64]:
    """Values of the straight line through each stack of each IFU.

    Parameters
    ----------
    geometry : Geometry
    quantity : {'x', 'y', 'angle', 'width'}

    Returns
    -------
    ndarray of float64 (n,)
        NaN for slices without a value, and in stacks of fewer than three.
    """
    values: NDArray[np.float64] = getattr(geometry, quantity)
    lines = np.full(values.shape, np.nan)
    for rows in _stacks(geometry):
        known = rows[np.isfinite(values[rows])]
        if known.size >= _FEWEST:
            place = geometry.slice_sky[known].astype(np.float64)
            lines[known] = np.polynomial.Polynomial.fit(place, values[known], 1)(place)
    return lines


def _stacks(geometry: Geometry) -> list[NDArray[np.intp]]:
    """Rows of the slices of each stack."""
    return [
        np.flatnonzero((geometry.ifu == ifu) & (geometry.stack == stack))
        for ifu in geometry.ifus
        for stack in np.unique(geometry.stack)
    ]


def _smooth_stack(
    values: NDArray[np.float64],
    line: NDArray[np.float64],
    uncertain: NDArray[np.bool_],
    rows: NDArray[np.intp],
    k_sigma: float,
) -> int:
    """Smooth one quantity of the known slices of one stack in place; returns how many values were changed."""
    if not rows.size:
        return 0
    off = np.abs(values[rows] - line[rows])
    replaced = uncertain[rows] | (off > k_sigma * np.sqrt(np.mean(off**2)))
    values[rows[replaced]] = line[rows[replaced]]
    return int(np.count_nonzero(replaced))
