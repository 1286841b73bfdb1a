"""The pinholes of the mask in the field of view, as a geometry has it: they must stand on the grid of the mask.

A peak of a spot along the sequence says at which height of the mask a pinhole was in a slice, and where in it. With
the place of the slice that is a point of the mask; so what is off the grid is an error of the geometry, or of the spot.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.spatial.geometry import Geometry
from core.spatial.mask import PINHOLE_DX, PINHOLE_DY, MaskScale
from core.spatial.slices import IfuPeaks
from core.spatial.spots import N_SPOTS

__all__ = ["OffGrid", "off_grid"]

F64 = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class OffGrid:
    """Pinholes in slices, arrays of shape (n,): each the median of all arc lines.

    Attributes
    ----------
    ifu, slice_no : ndarray of int32
        Slice on the detector.
    x, y : ndarray of float64
        In the field of view [pix of 0.2 arcsec].
    dx, dy : ndarray of float64
        From the closest point of the grid [pix of 0.2 arcsec].
    """

    ifu: NDArray[np.int32]
    slice_no: NDArray[np.int32]
    x: F64
    y: F64
    dx: F64
    dy: F64


def off_grid(geometry: Geometry, found: Sequence[IfuPeaks], mask: MaskScale) -> OffGrid:
    """How far the pinholes are from the grid of the mask.

    Parameters
    ----------
    geometry : Geometry
        Upright; slices that are not known have no pinholes.
    found : sequence of IfuPeaks
        Of one IFU each.
    mask : MaskScale
        Not turned in its holder.

    Returns
    -------
    OffGrid
        The grid is put where most of them are on it.
    """
    parts = [part for peaks in found for part in _of_ifu(geometry, peaks, mask)]
    if not parts:
        none, empty = np.empty(0, np.int32), np.empty(0)
        return OffGrid(none, none, empty, empty, empty, empty)
    ifu, slice_no, x, y, column, row = (np.concatenate(values) for values in zip(*parts, strict=True))
    dx = _from_grid(column, PINHOLE_DX * mask.pix_per_mm)
    dy = _from_grid(row, PINHOLE_DY * mask.pix_per_mm)
    return OffGrid(ifu.astype(np.int32), slice_no.astype(np.int32), x, y, dx, dy)


def _of_ifu(geometry: Geometry, found: IfuPeaks, mask: MaskScale) -> list[tuple[F64, ...]]:
    """Of each slice: IFU, slice, place in the field and on the mask of its three pinholes."""
    peaks = found.peaks
    along = (found.center - peaks.x) / (found.right - found.left)  # left on the detector is right in the field
    up = peaks.height * mask.encoder * mask.pix_per_mm
    known = np.isfinite(geometry.x) & np.isfinite(geometry.y) & (geometry.width > 0)
    own = geometry.where(known & (geometry.ifu == found.ifu))
    parts = []
    for at, number in enumerate(own.slice_ccd.tolist()):
        rows = peaks.slice_no == number
        if not rows.any():
            continue
        angle = np.radians(own.angle[at])
        distance = along[rows] * own.width[at]
        x, y = own.x[at] + distance * np.cos(angle), own.y[at] + distance * np.sin(angle)
        row = _same_row(y + up[rows], PINHOLE_DY * mask.pix_per_mm)
        medians = (np.median(values, axis=0) for values in (x, y, x, row))
        parts.append((np.full(N_SPOTS, found.ifu), np.full(N_SPOTS, number), *medians))
    return parts


def _same_row(row: F64, step: float) -> F64:
    """Places along the sequence, some of which are of the next row of pinholes, brought to one row."""
    return row - step * np.round((row - row.flat[0]) / step)


def _from_grid(values: F64, step: float) -> F64:
    """Distance from the closest multiple of a step, counted from where most values are."""
    turns = values / step
    start = float(np.angle(np.mean(np.exp(2j * np.pi * turns)))) / (2 * np.pi)
    off = turns - start
    off -= np.round(off)
    return step * (off - float(np.median(off)))
