"""Vertical positions: the heights of the mask at which pinholes are in the slices, put into the known order of slices.

A pinhole that is in a slice at some height of the mask is one of many rows; heights are known but for multiples of the
distance of the rows. Slices lie on top of each other, so each follows from its neighbour. Until `finished`, heights and
angles grow downwards.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.instruments.muse.facts import N_SLICES_PER_STACK
from core.spatial.geometry import Geometry
from core.spatial.mask import MaskScale

__all__ = ["finished", "place_vertically"]

_REFERENCE: Final = (12, 24)  # IFU and slice on the sky where y is 0
_SHADE: Final = 3.0  # a rim is in the shade if it is closer than others by so many times their scatter


def place_vertically(geometry: Geometry, mask: MaskScale) -> Geometry:
    """Put the slices on top of each other.

    Parameters
    ----------
    geometry : Geometry
        y is the height of the mask [mm].
    mask : MaskScale

    Returns
    -------
    Geometry
        y from the reference slice, downwards [pix of 0.2 arcsec as the encoder of the mask has it].
    """
    reference = _reference(geometry)
    height = geometry.y - geometry.y[reference]
    y = np.empty_like(height)
    order = (geometry.ifu * N_SLICES_PER_STACK + geometry.row).astype(np.int64)
    for stack in np.unique(geometry.stack):
        rows = np.flatnonzero(geometry.stack == stack)
        rows = rows[np.argsort(order[rows], kind="stable")]
        start = int(np.argmin(np.abs(order[rows] - order[reference])))
        y[rows] = _stacked(height[rows], order[rows], start, int(order[reference]), mask)
        _free_rims(y, geometry, rows)
    return replace(geometry, y=y * mask.pix_per_mm, y_error=geometry.y_error * mask.pix_per_mm)


def _reference(geometry: Geometry) -> int:
    """Row of the slice where y is 0; the one in the middle, if that is missing."""
    found = np.flatnonzero((geometry.ifu == _REFERENCE[0]) & (geometry.slice_sky == _REFERENCE[1]))
    if found.size:
        return int(found[0])
    place = geometry.ifu * N_SLICES_PER_STACK + geometry.row
    middle = 0.5 * (place.min() + place.max())
    return int(np.argmin(np.abs(place - middle)))


def _stacked(
    height: NDArray[np.float64], order: NDArray[np.int64], start: int, reference: int, mask: MaskScale
) -> NDArray[np.float64]:
    """Heights of a stack of slices, each brought to where it must be after its neighbour [mm].

    Parameters
    ----------
    height : ndarray of float64
        Ascending in the order of the slices, which is downwards for the mask.
    order : ndarray of int64
        Numbers of the slices; some may be missing.
    start : int
        Where to start: the slice beside the reference.
    reference : int
        Number of the reference.
    mask : MaskScale
    """
    expected = -mask.slice_height * np.diff(order)
    steps = np.diff(height)
    steps = steps + mask.step * np.round((expected - steps) / mask.step)
    y = np.concatenate(([0.0], np.cumsum(steps)))
    beside = -mask.slice_height * (order[start] - reference)
    first = height[start] + mask.step * np.round((beside - height[start]) / mask.step)
    return y - y[start] + first


def _free_rims(y: NDArray[np.float64], geometry: Geometry, rows: NDArray[np.intp]) -> None:
    """Move first and last slice of each IFU outwards if they are too close to their neighbour: a part of them is in the
    shade of the next IFU, and their heights are those of the rest. In place.
    """
    for ifu in np.unique(geometry.ifu[rows]):
        own = {int(geometry.row[row]): row for row in rows if geometry.ifu[row] == ifu}
        if len(own) < N_SLICES_PER_STACK:
            continue
        stack = np.array([own[number] for number in range(1, N_SLICES_PER_STACK + 1)])
        steps = np.diff(y[stack])
        errors = np.hypot(geometry.y_error[stack[:-1]], geometry.y_error[stack[1:]])
        usual = float(np.abs(steps[1:-1]).mean())
        noise = max(float(errors[1:-1].mean()), _SHADE * float(steps[1:-1].std()))
        for rim, neighbour, step in ((0, 1, 0), (-1, -2, -1)):
            if usual - abs(steps[step]) > np.hypot(errors[step], noise):
                outwards = np.sign(y[stack[rim]] - y[stack[neighbour]])
                y[stack[rim]] = y[stack[neighbour]] + outwards * usual


def finished(geometry: Geometry, mask: MaskScale, *, upright: bool = True) -> Geometry:
    """Complete table: true lengths instead of those of the encoder, missing slices added, y upwards.

    Parameters
    ----------
    geometry : Geometry
        Of `place_vertically`.
    mask : MaskScale
    upright : bool
        y and angles grow upwards; else as the mask has them.

    Returns
    -------
    Geometry
        48 slices of each IFU that is there, by IFU and slice on the sky.
    """
    angle = np.degrees(np.arctan(mask.encoder * np.tan(np.radians(geometry.angle))))
    whole = replace(geometry, y=geometry.y * mask.encoder, angle=angle).complete()
    return replace(whole, y=-whole.y, angle=-whole.angle) if upright else whole
