"""Ranges of rows of a pixel table: how they are counted, cut, and read in portions.

Ranges are int64 of shape (n, 2): the first row of each and the one after the last; ascending, apart from each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

__all__ = ["PORTION", "Kept", "Ranges", "count", "cut", "joined", "numbers", "only_kept", "portions", "single", "split"]

Ranges = npt.NDArray[np.int64]
Kept = npt.NDArray[np.bool_] | None  # of each row of some ranges, whether it is wanted; None: all

PORTION: Final = 1 << 17  # rows that are read and worked on at a time: many enough for numpy, few enough for the cache


def single(first: int, last: int) -> Ranges:
    """One range."""
    return np.array([[first, last]], np.int64)


def count(ranges: Ranges) -> int:
    """Number of rows."""
    return int((ranges[:, 1] - ranges[:, 0]).sum())


def portions(ranges: Ranges, max_rows: int = PORTION) -> Iterator[Ranges]:
    """The same rows in groups of ranges, none of them with more than so many rows."""
    held: list[tuple[int, int]] = []
    room = max_rows
    for first, last in ranges.tolist():
        start = first
        while start < last:
            stop = min(last, start + room)
            held.append((start, stop))
            room -= stop - start
            start = stop
            if not room:
                yield np.array(held, np.int64)
                held, room = [], max_rows
    if held:
        yield np.array(held, np.int64)


def cut(ranges: Ranges, bounds: npt.NDArray[np.int64], kept: Kept = None) -> Iterator[tuple[int, Ranges, Kept]]:
    """Ranges by the pieces of a table that they lie in.

    Parameters
    ----------
    ranges : ndarray
    bounds : ndarray of int64
        First row of each piece, and the number of rows.
    kept : ndarray of bool, optional
        Of each row of the ranges.

    Yields
    ------
    tuple of int, ndarray, ndarray or None
        Number of a piece, the ranges in it, counted from its first row, and which of their rows are kept. Only pieces
        that are met.
    """
    if not len(ranges):
        return
    begin = int(np.searchsorted(bounds, ranges[0, 0], "right")) - 1
    end = int(np.searchsorted(bounds, ranges[-1, 1], "left"))
    done = 0
    for piece in range(begin, end):
        low, high = int(bounds[piece]), int(bounds[piece + 1])
        inside = np.clip(ranges, low, high) - low
        inside = inside[inside[:, 0] < inside[:, 1]]
        if len(inside):
            n = count(inside)
            yield piece, inside, None if kept is None else kept[done : done + n]
            done += n


def split(ranges: Ranges, bounds: npt.NDArray[np.int64]) -> tuple[list[list[int]], list[int]]:
    """The same rows as ranges that lie in one piece of a table each, and the numbers of these pieces."""
    first = np.searchsorted(bounds, ranges[:, 0], "right") - 1
    last = np.searchsorted(bounds, ranges[:, 1], "left") - 1
    if np.array_equal(first, last):
        return ranges.tolist(), first.tolist()
    found, pieces = [], []
    for piece, inside, _ in cut(ranges, bounds):
        found += (inside + bounds[piece]).tolist()
        pieces += [piece] * len(inside)
    return found, pieces


def numbers(ranges: Ranges) -> npt.NDArray[np.int64]:
    """The number of each row."""
    lengths = ranges[:, 1] - ranges[:, 0]
    starts = np.repeat(ranges[:, 0] - (np.cumsum(lengths) - lengths), lengths)
    return starts + np.arange(starts.size)


def only_kept(columns: Mapping[str, npt.NDArray[Any]], kept: Kept) -> dict[str, npt.NDArray[Any]]:
    """The rows of columns that are kept."""
    return dict(columns) if kept is None else {name: cells[kept] for name, cells in columns.items()}


def joined(
    parts: Sequence[Mapping[str, npt.NDArray[Any]]], kinds: Mapping[str, np.dtype[Any]]
) -> dict[str, npt.NDArray[Any]]:
    """Columns of some types, one part after the other; one alone is not copied."""
    if len(parts) == 1:
        return {name: parts[0][name] for name in kinds}
    return {name: np.concatenate([np.empty(0, kind), *(part[name] for part in parts)]) for name, kind in kinds.items()}
