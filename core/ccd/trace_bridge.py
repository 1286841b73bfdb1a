"""Edges beside flagged columns are put where the opposite edge of the slice says.

Neighbours stand in for flagged pixels. In the light or the dark that is harmless; on the slope of an edge it moves the
edge by a tenth of a pixel or two, which is too little to be told by the widths of other slices. The slice itself tells
it: in rows without such a column its width is known, and how widths change along the detector is the same in all
slices of an IFU. So the width leads from the good edge to the other.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from core.ccd.trace_cuts import Patches
from core.ccd.trace_fit import EdgePoints, PointState

__all__ = ["FlaggedBlocks", "bridge_edges", "flagged_blocks"]

FloatArray: TypeAlias = npt.NDArray[np.float64]
FlaggedBlocks: TypeAlias = npt.NDArray[np.bool_]

_MANY = 0.25  # fraction of the rows of a block from which on a column counts as flagged there
_REACH = 2.5  # distance from an edge within which the neighbours of a column are no substitute [pix]
_DAMAGED = 0.1  # fraction of the points of a slice from which on it matters
_KNOWN = 0.1  # fraction of them that must have both edges, for the width of the slice to be known
_TURNS = 3  # of widths of slices and their change along the detector, each from the other


def flagged_blocks(patches: Patches, nsum: int, count: int, nx: int) -> FlaggedBlocks:
    """Columns that are flagged in the blocks of rows of `average_blocks`, shape (count, nx)."""
    block = np.repeat(np.arange(len(patches.starts) - 1) // nsum, np.diff(patches.starts))
    inside = block < count
    cells = block[inside] * nx + patches.columns[inside]
    return np.asarray(np.bincount(cells, minlength=count * nx).reshape(count, nx) > _MANY * nsum)


def bridge_edges(
    points: EdgePoints,
    edges: tuple[FloatArray, FloatArray],
    state: npt.NDArray[np.int8],
    flagged: FlaggedBlocks,
) -> tuple[FloatArray, FloatArray, npt.NDArray[np.int8]]:
    """Replace edges beside flagged columns.

    Parameters
    ----------
    points : EdgePoints
        As measured.
    edges : (ndarray of float64, ndarray of float64), shape (48, n)
        Left and right edges as they are by now; columns from 1.
    state : ndarray of int8, shape (48, n)
        `PointState`
    flagged : ndarray of bool, shape (n, nx)
        See `flagged_blocks`.

    Returns
    -------
    left, right : ndarray of float64, shape (48, n)
        FITS columns of the edges.
    state : ndarray of int8, shape (48, n)
        RESCUED where an edge was replaced: in slices that have many such points, if their width is known from others
        and the opposite edge is not damaged, too.
    """
    left, right, state = edges[0].copy(), edges[1].copy(), state.copy()
    beside_left, beside_right = (_beside(line, flagged) for line in (points.left_threshold, points.right_threshold))
    many = np.count_nonzero(beside_left | beside_right, axis=1) > _DAMAGED * left.shape[1]
    if not many.any():
        return left, right, state
    clean = (points.state == PointState.GOOD) & points.significant & ~beside_left & ~beside_right
    width = _own_widths(points.right - points.left, clean)
    found = many[:, None] & np.isfinite(width) & (points.state != PointState.NO_EDGE)
    use = found & beside_left & ~beside_right
    left[use], right[use], state[use] = (points.right - width)[use], points.right[use], PointState.RESCUED
    use = found & beside_right & ~beside_left
    left[use], right[use], state[use] = points.left[use], (points.left + width)[use], PointState.RESCUED
    return left, right, state


def _beside(edge: FloatArray, flagged: FlaggedBlocks) -> npt.NDArray[np.bool_]:
    """Whether a flagged column lies beside an edge, shape (48, n)."""
    count, nx = flagged.shape
    sums = np.zeros((count, nx + 1), np.int64)
    np.cumsum(flagged, axis=1, out=sums[:, 1:])
    known = np.isfinite(edge)
    place = np.where(known, edge, 1.0)
    low = np.clip(np.ceil(place - _REACH).astype(np.int64) - 1, 0, nx)
    high = np.clip(np.floor(place + _REACH).astype(np.int64), 0, nx)
    block = np.arange(count)
    return np.asarray(known & (sums[block, high] > sums[block, low]))


def _own_widths(width: FloatArray, clean: npt.NDArray[np.bool_]) -> FloatArray:
    """Width of each slice in each block, from the clean points: a constant of the slice plus a change that all share.

    NaN for slices without enough clean points.
    """
    change = np.zeros(width.shape[1])
    for _ in range(_TURNS):
        constant = _medians(width - change, clean)
        change = _medians((width - constant[:, None]).T, (clean & np.isfinite(constant)[:, None]).T)
    constant[np.count_nonzero(clean, axis=1) < _KNOWN * width.shape[1]] = np.nan
    return np.asarray(constant[:, None] + change)


def _medians(values: FloatArray, known: npt.NDArray[np.bool_]) -> FloatArray:
    """Medians of the known values of each row; NaN where none is."""
    ordered = np.sort(np.where(known, values, np.inf), axis=1)
    count = np.count_nonzero(known, axis=1)
    rows = np.arange(len(ordered))
    middle = 0.5 * (
        ordered[rows, np.maximum(count - 1, 0) // 2] + ordered[rows, np.minimum(count // 2, ordered.shape[1] - 1)]
    )
    return np.where(count > 0, middle, np.nan)
