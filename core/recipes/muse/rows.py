"""Where the rows of a combined image go: into a whole image, or, of an arc, into data and a mask.

A pass over the raw rows (`core.recipes.muse.basic`) asks for room for a slab, fills it, and hands it back.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from core.ccd.reduction import MasterRows

__all__ = ["MaskedImage", "RowSink", "WholeImage"]

Planes = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int32]]


class RowSink(Protocol):
    """Takes combined rows; halves of the detector may come at the same time."""

    def room(self, window: slice) -> MasterRows:
        """Where rows are to be written."""

    def take(self, window: slice, rows: MasterRows) -> None:
        """They have been written."""


@dataclass(frozen=True, eq=False)
class WholeImage:
    """All of an image.

    Attributes
    ----------
    data, stat : ndarray of float32 (ny, nx)
    dq : ndarray of int32 (ny, nx)
    """

    data: NDArray[np.float32]
    dq: NDArray[np.int32]
    stat: NDArray[np.float32]

    @classmethod
    def empty(cls, shape: tuple[int, int]) -> WholeImage:
        """Room for an image."""
        return cls(np.empty(shape, np.float32), np.empty(shape, np.int32), np.empty(shape, np.float32))

    def room(self, window: slice) -> MasterRows:
        """Where rows are to be written."""
        return MasterRows(self.data[window], self.dq[window], self.stat[window])

    def take(self, window: slice, rows: MasterRows) -> None:
        """Nothing is left to do."""

    def columns(self, window: slice) -> Planes:
        """DATA, STAT and DQ of some columns, contiguous."""
        return self.data[:, window].copy(), self.stat[:, window].copy(), self.dq[:, window].copy()


@dataclass(frozen=True, eq=False)
class MaskedImage:
    """An image whose flags are kept as a mask, a quarter of their memory, and wholly in a few columns only.

    Attributes
    ----------
    data, stat : ndarray of float32 (ny, nx)
    bad : ndarray of bool (ny, nx)
        Whether any flag is set.
    flagged_columns : ndarray of int
        Columns (0-based, ascending) whose flags are kept.
    flags : ndarray of int32 (ny, number of these columns)
    """

    data: NDArray[np.float32]
    stat: NDArray[np.float32]
    bad: NDArray[np.bool_]
    flagged_columns: NDArray[np.intp]
    flags: NDArray[np.int32] = field(repr=False)

    @classmethod
    def empty(cls, shape: tuple[int, int], flagged_columns: NDArray[np.intp] | None = None) -> MaskedImage:
        """Room for an image."""
        columns = np.empty(0, np.intp) if flagged_columns is None else np.unique(flagged_columns)
        data, stat = np.empty(shape, np.float32), np.empty(shape, np.float32)
        return cls(data, stat, np.empty(shape, np.bool_), columns, np.empty((shape[0], columns.size), np.int32))

    def room(self, window: slice) -> MasterRows:
        """Where rows are to be written; the flags into an array of their own."""
        data = self.data[window]
        return MasterRows(data, np.empty(data.shape, np.int32), self.stat[window])

    def take(self, window: slice, rows: MasterRows) -> None:
        """Keep what is wanted of the flags."""
        np.not_equal(rows.dq, 0, out=self.bad[window])
        self.flags[window] = rows.dq[:, self.flagged_columns]

    def columns(self, window: slice) -> Planes:
        """DATA, STAT and DQ of some of the flagged columns, contiguous."""
        places = np.searchsorted(self.flagged_columns, np.arange(window.start, window.stop))
        return self.data[:, window].copy(), self.stat[:, window].copy(), np.ascontiguousarray(self.flags[:, places])
