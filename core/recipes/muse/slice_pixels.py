"""The pixels of an exposure, slice by slice: of an image, or gathered while the exposure is reduced.

An image takes 12 bytes a pixel. What a pixel table needs of it are data and variances between the edges of the slices,
and the few flags that are set there: if nobody wants the image, two thirds of the memory are not needed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
from numba import njit
from numpy.typing import NDArray

from core.ccd.reduction import MasterRows
from core.formats.image import MuseImage
from core.formats.pixtable_slices import SliceRows
from core.instruments.muse.facts import N_SLICES_PER_STACK
from core.recipes.muse.slice_maps import with_pixels
from core.spatial.positions import SliceMap

__all__ = ["GatheredPixels", "PixelsOfImage", "PixelsOfSlices", "Planes"]

Planes = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int32]]


class PixelsOfSlices(Protocol):
    """Values, variances and flags of the pixels of an exposure."""

    def pieces(self, slices: Sequence[SliceRows]) -> Iterator[tuple[int, SliceRows, Planes]]:
        """Each slice with its number (from 0) and its pixels, which may be changed: they are read once."""

    def at(self, slice_map: SliceMap, rows: NDArray[np.int64]) -> Planes:
        """Some rows (ascending) of a slice."""


class PixelsOfImage:
    """The pixels of an image in memory.

    Parameters
    ----------
    image : MuseImage
    """

    def __init__(self, image: MuseImage) -> None:
        self._planes = image.data, image.stat, image.dq

    def pieces(self, slices: Sequence[SliceRows]) -> Iterator[tuple[int, SliceRows, Planes]]:
        """See `PixelsOfSlices.pieces`."""
        for number, rows, planes in with_pixels(slices, self._planes):
            data, stat, dq = planes
            yield number, rows, (data, stat, dq)

    def at(self, slice_map: SliceMap, rows: NDArray[np.int64]) -> Planes:
        """See `PixelsOfSlices.at`."""
        first = int(rows[0])
        places = slice_map.places(first, int(rows[-1]) + 1)
        x, y = places.x[rows - first] - 1, places.y[rows - first] - 1
        data, stat, dq = self._planes
        return data[y, x], stat[y, x], dq[y, x]


class _Stack:
    """Pixels of slices that lie side by side: a quarter of an exposure, which memory that was freed has room for."""

    def __init__(self, maps: Sequence[SliceMap]) -> None:
        self.bounds = np.cumsum([0, *(item.n_rows for item in maps)])
        self.data, self.stat = (np.empty(int(self.bounds[-1]), np.float32) for _ in range(2))
        self._spans = np.zeros((3, len(maps), maps[0].shape[0]), np.int64)  # column, length and place of each line
        self._flagged: list[tuple[NDArray[np.int64], NDArray[np.int32]]] = []
        for number, item in enumerate(maps):
            left, right = item.edges
            first, n = np.ceil(left), len(left)
            self._spans[0, number, :n] = first - 1
            self._spans[1, number, :n] = np.floor(right) - first + 1
            self._spans[2, number, :n] = self.bounds[number] + item.starts[:-1]

    def take(self, window: slice, rows: MasterRows) -> None:
        spans = self._spans[:, :, window]
        most = int(spans[1].sum())
        places, flags = np.empty(most, np.int64), np.empty(most, np.int32)
        n = _gather(rows.data, rows.stat, rows.dq, spans, self.data, self.stat, places, flags)
        self._flagged.append((places[:n].copy(), flags[:n].copy()))

    def flags(self) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Places of the flagged pixels, ascending, and their flags."""
        if len(self._flagged) != 1:
            places = np.concatenate([np.empty(0, np.int64), *(of_rows for of_rows, _ in self._flagged)])
            flags = np.concatenate([np.empty(0, np.int32), *(of_rows for _, of_rows in self._flagged)])
            order = np.argsort(places)
            self._flagged = [(places[order], flags[order])]
        return self._flagged[0]


class GatheredPixels:
    """The pixels of the slices, taken from the rows of an exposure as these are reduced (a `RowSink`).

    Parameters
    ----------
    maps : sequence of SliceMap
        Gapless: see `SliceMap.is_gapless`.
    """

    def __init__(self, maps: Sequence[SliceMap]) -> None:
        self._nx = maps[0].shape[1]
        self._numbers = {item.slice_no: divmod(number, N_SLICES_PER_STACK) for number, item in enumerate(maps)}
        starts = range(0, len(maps), N_SLICES_PER_STACK)
        self._stacks = [_Stack(maps[start : start + N_SLICES_PER_STACK]) for start in starts]

    def room(self, window: slice) -> MasterRows:
        """See `RowSink.room`."""
        shape = window.stop - window.start, self._nx
        return MasterRows(np.empty(shape, np.float32), np.empty(shape, np.int32), np.empty(shape, np.float32))

    def take(self, window: slice, rows: MasterRows) -> None:
        """See `RowSink.take`."""
        for stack in self._stacks:
            stack.take(window, rows)

    def pieces(self, slices: Sequence[SliceRows]) -> Iterator[tuple[int, SliceRows, Planes]]:
        """See `PixelsOfSlices.pieces`."""
        for number, rows in enumerate(slices):
            stack, first, last = self._ends(rows.map)
            places, flags = stack.flags()
            own = slice(*np.searchsorted(places, (first, last)).tolist())
            of_slice = np.zeros(last - first, np.int32)
            of_slice[places[own] - first] = flags[own]
            data, stat = (rows.of_rows(values[first:last]) for values in (stack.data, stack.stat))
            yield number, rows, (data, stat, rows.of_rows(of_slice))

    def at(self, slice_map: SliceMap, rows: NDArray[np.int64]) -> Planes:
        """See `PixelsOfSlices.at`."""
        stack, first, _ = self._ends(slice_map)
        wanted = rows + first
        dq = np.zeros(rows.size, np.int32)
        places, flags = stack.flags()
        near = slice(*np.searchsorted(places, (wanted[0], wanted[-1] + 1)).tolist())
        found = np.searchsorted(wanted, places[near])
        hit = wanted[found] == places[near]
        dq[found[hit]] = flags[near][hit]
        return stack.data[wanted], stack.stat[wanted], dq

    def _ends(self, slice_map: SliceMap) -> tuple[_Stack, int, int]:
        """Where the pixels of a slice are."""
        of_stack, number = self._numbers[slice_map.slice_no]
        stack = self._stacks[of_stack]
        return stack, int(stack.bounds[number]), int(stack.bounds[number + 1])


@njit(cache=True, nogil=True)
def _gather(data, stat, dq, spans, out_data, out_stat, places, flags):  # type: ignore[no-untyped-def]
    """Copy the pixels of the slices in some lines; places and flags of those that are flagged; how many these are."""
    found = 0
    for line in range(data.shape[0]):
        for number in range(spans.shape[1]):
            x, n, place = spans[0, number, line], spans[1, number, line], spans[2, number, line]
            out_data[place : place + n] = data[line, x : x + n]
            out_stat[place : place + n] = stat[line, x : x + n]
            for k in range(n):
                if dq[line, x + k] != 0:
                    places[found], flags[found] = place + k, dq[line, x + k]
                    found += 1
    return found
