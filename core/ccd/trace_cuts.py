"""A flat field becomes averaged cuts: the only pixels that tracing looks at.

Tracing averages blocks of ``nsum`` rows. The blocks are made here in one pass over the image, with flagged pixels
replaced by their neighbours on the way; neither a corrected copy of the image nor its derivative is ever stored.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from numba import njit

__all__ = ["BlockCuts", "Patches", "average_blocks", "patch_flagged", "sum_rows"]

FloatArray: TypeAlias = npt.NDArray[np.float64]
Image: TypeAlias = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Patches:
    """Replacement values of flagged pixels, row by row.

    Attributes
    ----------
    starts : ndarray of int64, shape (ny + 1,)
        Entries ``starts[row] .. starts[row + 1]`` belong to a row.
    columns : ndarray of int32, shape (n,)
        Column of each pixel (0-based), ascending within a row.
    values : ndarray of float32, shape (n,)
        What to use instead of the pixel.
    """

    starts: npt.NDArray[np.int64]
    columns: npt.NDArray[np.int32]
    values: Image

    @classmethod
    def none(cls, ny: int) -> Patches:
        """No replacements on an image of ``ny`` rows."""
        return cls(np.zeros(ny + 1, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32))


@dataclass(frozen=True, eq=False)
class BlockCuts:
    """Averages over blocks of rows.

    Attributes
    ----------
    y : ndarray of float64, shape (n,)
        FITS row at the middle of each block.
    flux : ndarray of float64, shape (n, nx)
        Mean of the pixels of each column of the block.
    slope : ndarray of float64, shape (n, nx)
        Mean of the differences pixel minus left neighbour; the neighbour of the first column counts as zero.
    """

    y: FloatArray
    flux: FloatArray
    slope: FloatArray


def patch_flagged(image: Image, dq: npt.NDArray[np.int32]) -> Patches:
    """Replace flagged pixels by the mean of the good ones among their 8 neighbours.

    Passes are repeated until all are replaced; a pass uses good pixels and those replaced in earlier passes.
    If an image has no good pixel at all the original values stay.

    Parameters
    ----------
    image : ndarray of float32, shape (ny, nx)
    dq : ndarray of int32, shape (ny, nx)
        Every value but 0 is flagged.
    """
    starts, columns = _flagged_pixels(dq)
    values = _replacements(image, dq, starts, columns)
    return Patches(starts, columns, values)


def average_blocks(image: Image, patches: Patches, nsum: int) -> BlockCuts:
    """Average blocks of ``nsum`` rows, from the first row upwards.

    As in the reference, a block must end before the last row, so that the last rows may remain unused.
    """
    starts = np.arange(0, image.shape[0] - nsum, nsum, dtype=np.int64)
    flux, slope = _block_means(image, patches.starts, patches.columns, patches.values, starts, nsum)
    return BlockCuts(starts + 1 + (nsum - 1) / 2, flux, slope)


def sum_rows(image: Image, patches: Patches, first: int, last: int) -> FloatArray:
    """Sum of the rows ``first`` .. ``last - 1`` (0-based) of an image, shape (nx,), float64."""
    blocks = np.array([first], dtype=np.int64)
    flux, _ = _block_means(image, patches.starts, patches.columns, patches.values, blocks, last - first)
    return np.asarray(flux[0] * (last - first))


@njit(cache=True, nogil=True)
def _flagged_pixels(dq):  # type: ignore[no-untyped-def]
    ny, nx = dq.shape
    starts = np.zeros(ny + 1, dtype=np.int64)
    for y in range(ny):
        count = 0
        for x in range(nx):
            count += dq[y, x] != 0
        starts[y + 1] = starts[y] + count
    columns = np.empty(starts[ny], dtype=np.int32)
    k = 0
    for y in range(ny):
        if starts[y + 1] == starts[y]:
            continue
        for x in range(nx):
            if dq[y, x] != 0:
                columns[k] = x
                k += 1
    return starts, columns


@njit(cache=True, nogil=True)
def _entry(starts, columns, y, x):  # type: ignore[no-untyped-def]
    """Index of a flagged pixel in the lists."""
    low, high = starts[y], starts[y + 1] - 1
    while low < high:
        middle = (low + high) // 2
        if columns[middle] < x:
            low = middle + 1
        else:
            high = middle
    return low


@njit(cache=True, nogil=True)
def _replacements(image, dq, starts, columns):  # type: ignore[no-untyped-def]
    ny, nx = dq.shape
    n = len(columns)
    values = np.empty(n, dtype=np.float32)
    rows = np.empty(n, dtype=np.int32)
    done = np.full(n, -1, dtype=np.int32)  # pass in which a pixel got its value
    queued = np.zeros(n, dtype=np.int32)  # latest pass for which a pixel is a candidate
    for y in range(ny):
        for k in range(starts[y], starts[y + 1]):
            rows[k] = y
            values[k] = image[y, columns[k]]
    candidates = np.arange(n)
    following = np.empty(n, dtype=np.int64)
    n_candidates = n
    turn = 0
    n_left = n
    while n_candidates > 0:
        for i in range(n_candidates):
            k = candidates[i]
            y, x = rows[k], columns[k]
            total, count = 0.0, 0
            for v in range(max(y - 1, 0), min(y + 2, ny)):
                for u in range(max(x - 1, 0), min(x + 2, nx)):
                    if dq[v, u] == 0:
                        total += image[v, u]
                        count += 1
                    elif turn > 0 and (v != y or u != x):
                        other = _entry(starts, columns, v, u)
                        if done[other] >= 0 and done[other] < turn:
                            total += values[other]
                            count += 1
            if count > 0:
                values[k] = total / count
                done[k] = turn
                n_left -= 1
        if n_left == 0:
            break
        # Only neighbours of what was replaced just now can be replaced in the next pass.
        n_following = 0
        for i in range(n_candidates):
            k = candidates[i]
            if done[k] != turn:
                continue
            y, x = rows[k], columns[k]
            for v in range(max(y - 1, 0), min(y + 2, ny)):
                for u in range(max(x - 1, 0), min(x + 2, nx)):
                    if dq[v, u] != 0:
                        other = _entry(starts, columns, v, u)
                        if done[other] < 0 and queued[other] <= turn:
                            queued[other] = turn + 1
                            following[n_following] = other
                            n_following += 1
        candidates, following = following, candidates
        n_candidates = n_following
        turn += 1
    return values


@njit(cache=True, nogil=True)
def _block_means(image, starts, columns, values, blocks, nsum):  # type: ignore[no-untyped-def]
    nx = image.shape[1]
    flux = np.zeros((len(blocks), nx))
    slope = np.zeros((len(blocks), nx))
    row = np.empty(nx, dtype=np.float32)
    for b in range(len(blocks)):
        for y in range(blocks[b], blocks[b] + nsum):
            for x in range(nx):
                row[x] = image[y, x]
            for k in range(starts[y], starts[y + 1]):
                row[columns[k]] = values[k]
            flux[b, 0] += row[0]
            slope[b, 0] += row[0]
            for x in range(1, nx):
                flux[b, x] += row[x]
                slope[b, x] += row[x] - row[x - 1]
        for x in range(nx):
            flux[b, x] /= nsum
            slope[b, x] /= nsum
    return flux, slope
