"""How far exposures of one field are off each other, from the stars that they have in common (MUSE manual, 6.6.3).

Pairs of stars of two exposures are most frequent at the offset of the two. A first search takes the fullest bin of a
histogram; later ones, with smaller radii, take medians around the solution of before. All pairs of exposures together
give the offset of each, by least squares.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from core.errors import DataError

__all__ = ["FieldOffsets", "find_offsets"]

F64 = npt.NDArray[np.float64]
Field = tuple[npt.NDArray[Any], npt.NDArray[Any]]


@dataclass(frozen=True, eq=False)
class FieldOffsets:
    """Offsets of exposures relative to the first.

    Attributes
    ----------
    ra, dec : ndarray of float64, shape (n,)
        Measured less true [deg], without the cosine of the declination; 0 where there is no match.
    matches : tuple of int
        Of each exposure the median of stars in common with those that have some; 0 if none has.
    """

    ra: F64
    dec: F64
    matches: tuple[int, ...]


def find_offsets(
    fields: Sequence[Field], radii: Sequence[float], n_bins: int = 60, *, weighted: bool = True
) -> FieldOffsets:
    """Offsets of exposures.

    Parameters
    ----------
    fields : sequence of pairs of ndarray
        Right ascensions and declinations of the stars of each exposure [deg].
    radii : sequence of float
        Of the searches, one after the other [arcsec].
    n_bins : int
        Of the histogram of the first search, along each axis.
    weighted : bool
        Pairs of exposures with more stars in common, less scattered, count more.

    Raises
    ------
    DataError
        If there are fewer than two exposures, no radius, or a radius that is none.
    """
    if len(fields) < 2:
        raise DataError("offsets need two exposures or more")
    if not radii or any(not radius > 0 for radius in radii):
        raise DataError(f"{list(radii)} are no radii to search in", rule="rsearch")
    offsets = np.zeros((len(fields), 2))  # [arcsec]
    counts = np.zeros((len(fields), len(fields)), np.int64)
    pairs = {(i, j): _differences(fields[i], fields[j]) for i, j in combinations(range(len(fields)), 2)}
    for number, radius in enumerate(radii):
        rows = []
        counts[:] = 0
        for (i, j), (found, shrink) in pairs.items():
            if number == 0:
                measured = _fullest_bin(found, shrink, radius, n_bins)
            else:
                measured = _median(found, shrink, offsets[i] - offsets[j], radius)
            if measured is None:
                continue
            offset, weight, counts[i, j] = measured
            counts[j, i] = counts[i, j]
            rows.append((i, j, offset, weight if weighted else 1.0))
        offsets = _solve(len(fields), rows)
    matches = tuple(int(np.median(row[row > 0])) if (row > 0).any() else 0 for row in counts)
    matched = np.array([found > 0 for found in matches])
    offsets = np.where(matched[:, np.newaxis], offsets - offsets[0], 0.0)
    return FieldOffsets(offsets[:, 0] / 3600, offsets[:, 1] / 3600, matches)


def _differences(mine: Field, its: Field) -> tuple[F64, F64]:
    """Differences of all pairs of stars [arcsec], shape (n, 2), and what differences of right ascension shrink by."""
    ra = np.subtract.outer(np.asarray(mine[0], np.float64), np.asarray(its[0], np.float64))
    dec = np.subtract.outer(np.asarray(mine[1], np.float64), np.asarray(its[1], np.float64))
    middle = np.add.outer(np.asarray(mine[1], np.float64), np.asarray(its[1], np.float64)) / 2
    ra = (ra + 180) % 360 - 180
    return 3600 * np.stack([ra.ravel(), dec.ravel()], axis=1), np.cos(np.radians(middle.ravel()))


def _near(found: F64, shrink: F64, centre: F64, radius: float) -> F64:
    apart = found - centre
    return found[np.hypot(apart[:, 0] * shrink, apart[:, 1]) < radius]


def _fullest_bin(found: F64, shrink: F64, radius: float, n_bins: int) -> tuple[F64, float, int] | None:
    near = _near(found, shrink, np.zeros(2), radius)
    if not len(near):
        return None
    # Right ascensions reach further than the radius: bins are those of the field around its own middle.
    histogram, edges, others = np.histogram2d(near[:, 0], near[:, 1], n_bins, [[-radius, radius]] * 2)
    if not histogram.any():
        return None
    row, column = np.unravel_index(int(histogram.argmax()), histogram.shape)
    centre = np.array([edges[row : row + 2].mean(), others[column : column + 2].mean()])
    count = int(histogram[row, column])
    return centre, float(count), count


def _median(found: F64, shrink: F64, centre: F64, radius: float) -> tuple[F64, float, int] | None:
    near = _near(found, shrink, centre, radius)
    n = len(near)
    if not n:
        return None
    scatter = near.var(axis=0, ddof=1) if n > 1 else np.zeros(2)
    total = float(scatter.sum())
    return np.median(near, axis=0), n / (total if n > 1 and total > 0 else 2 * radius**2), n


def _solve(n: int, rows: Sequence[tuple[int, int, F64, float]]) -> F64:
    """Offsets whose sum is zero."""
    matrix, right = np.zeros((len(rows) + 1, n)), np.zeros((len(rows) + 1, 2))
    matrix[0] = 1
    for number, (i, j, offset, weight) in enumerate(rows, start=1):
        matrix[number, i], matrix[number, j] = weight, -weight
        right[number] = weight * offset
    if not rows:
        return np.zeros((n, 2))
    return np.asarray(np.linalg.lstsq(matrix, right, rcond=None)[0], np.float64)
