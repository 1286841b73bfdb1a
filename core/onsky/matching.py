"""Which detection is which star: patterns of points that agree but for a linear transformation.

Two ways to find the transformation. In `match_near_identity` it is close to a mere shift: pairs of points that have the
same distance and direction vote for a shift. In `match_triangles` it is any rotation and scale: triangles of the same
shape, of the brightest points. Either way the transformation is refined with all points that it brings together.

Sources: behaviour of the reference pipeline; Groth 1986 (AJ 91, 1244) for triangles.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

__all__ = ["Match", "match_near_identity", "match_triangles"]

F64 = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]
Complexes = npt.NDArray[np.complex128]

_BRIGHTEST: Final = ((40, 60), (120, 150))  # detections and references that vote, at the first and at the second try
_APART: Final = 10.0  # points that make a pair, at least [pix]
_TURN: Final = 0.05  # of scale and angle, at most
_PEAKS: Final = 12  # shifts that are tried
_LEAST: Final = 4  # stars that are found again, at least
_BEYOND_CHANCE: Final = 8.0  # standard deviations; the best of many shifts is far beyond a chance one
_ROUNDS: Final = 20  # of refinement
_TRIANGLES: Final = (15, 10)  # detections and references that make triangles
_PATTERN_ERROR: Final = 1.0  # of references [pix]
_LOOSER: Final = 1.5  # by what the accuracy is divided when triangles do not lead to a match


@dataclass(frozen=True, eq=False)
class Match:
    """Detections that were identified; each has one reference, and each reference one detection.

    Attributes
    ----------
    detections, references : ndarray of int, shape (n,)
        Their numbers, from 0.
    accuracy, radius : float
        With which they were found [pix].
    """

    detections: Ints
    references: Ints
    accuracy: float
    radius: float

    def __len__(self) -> int:
        return len(self.detections)


def match_near_identity(detections: F64, references: F64, radius: float) -> Match | None:
    """Points that agree but for a shift, and a turn and a scale of less than 5 %.

    Parameters
    ----------
    detections, references : ndarray, shape (n, 2)
        x and y [pix], the brightest first.
    radius : float
        A detection is a star if it is nearer than this to its place [pix].

    Returns
    -------
    Match or None
        The one with most stars; None if there is none that has four, and more than by chance.
    """
    for n_detections, n_references in _BRIGHTEST:
        best: tuple[Ints, Ints] | None = None
        for turn, shift in _voted(detections[:n_detections], references[:n_references], radius):
            start = np.array([[turn.real, turn.imag], [-turn.imag, turn.real], [shift.real, shift.imag]])
            found = _settled(detections, references, start, radius)
            if found is not None and (best is None or len(found[0]) > len(best[0])):
                best = found
        if best is not None and _meaningful(len(best[0]), detections, references, radius):
            return Match(*best, 0.0, radius)
    return None


def match_triangles(detections: F64, references: F64, accuracy: float, radius: float) -> Match | None:
    """Points that agree but for a shift, a rotation and a scale.

    Parameters
    ----------
    detections, references : ndarray, shape (n, 2)
        x and y [pix], the brightest first.
    accuracy : float
        Of detections [pix]; smaller ones are tried if it leads to nothing.
    radius : float
        A detection is a star if it is nearer than this to its place [pix].

    Returns
    -------
    Match or None
        The one with most stars; None if there is none that has four, and more than by chance.
    """
    while accuracy > np.finfo(np.float32).eps:
        starts = list(_similar_triangles(_complex(detections), _complex(references), accuracy))
        best: tuple[Ints, Ints] | None = None
        for start in starts:
            found = _nearest_pairs(_moved(detections, start), references, radius)
            if len(found[0]) >= _LEAST and (best is None or len(found[0]) > len(best[0])):
                best = found
        if best is not None:
            settled = _settled(detections, references, _affine(detections, references, best), radius, anything=True)
            if settled is not None and _meaningful(len(settled[0]), detections, references, radius):
                return Match(*settled, accuracy, radius)
        if not starts:
            return None
        accuracy /= _LOOSER
    return None


def _complex(points: F64) -> Complexes:
    return np.asarray(points[:, 0] + 1j * points[:, 1], np.complex128)


def _voted(detections: F64, references: F64, radius: float) -> Iterator[tuple[complex, complex]]:
    """Turns and shifts for which most pairs of points vote, by number of votes."""
    if len(detections) < 2 or len(references) < 2:
        return
    here, there = _complex(detections), _complex(references)
    middle = complex(here.mean())
    first, second = (index.ravel() for index in np.indices((there.size, there.size)))
    apart = np.abs(there[second] - there[first]) > _APART
    start, vectors = there[first[apart]], (there[second] - there[first])[apart]
    turns, places = [], []
    for number, point in enumerate(here):
        for other in here[number + 1 :]:
            if abs(other - point) <= _APART:
                continue
            turn = vectors / (other - point)
            near = (np.abs(turn.real - 1) <= _TURN) & (np.abs(turn.imag) <= _TURN)
            turns.append(turn[near])
            places.append(start[near] + turn[near] * (middle - point))
    if not turns or not (votes := np.concatenate(turns)).size:
        return
    place = np.concatenate(places)
    cells = np.round(np.stack((place.real, place.imag), axis=1) / (2 * radius)).astype(np.int64)
    unique, counts = np.unique(cells, axis=0, return_counts=True)
    for cell in np.argsort(-counts, kind="stable")[:_PEAKS]:
        near = np.all(np.abs(cells - unique[cell]) <= 1, axis=1)
        turn = complex(np.median(votes[near].real), np.median(votes[near].imag))
        at = complex(np.median(place[near].real), np.median(place[near].imag))
        yield turn, at - turn * middle


def _similar_triangles(detections: Complexes, references: Complexes, accuracy: float) -> Iterator[F64]:
    """Transformations by triangles of the brightest points that have the same shape, and hand."""
    shapes, corners = _triangles(references[: _TRIANGLES[1]])
    if not len(shapes):
        return
    own_shapes, own_corners = _triangles(detections[: _TRIANGLES[0]])
    for shape, corner in zip(own_shapes, own_corners, strict=True):
        long = abs(corner[1] - corner[0])
        sizes = np.abs(corners[:, 1] - corners[:, 0])
        for k in np.flatnonzero(np.abs(shapes - shape) <= np.hypot(accuracy / long, _PATTERN_ERROR / sizes)):
            turn = (corners[k, 1] - corners[k, 0]) / (corner[1] - corner[0])
            shift = complex(corners[k].mean() - turn * corner.mean())
            yield np.array([[turn.real, turn.imag], [-turn.imag, turn.real], [shift.real, shift.imag]])


def _triangles(points: Complexes) -> tuple[Complexes, npt.NDArray[Any]]:
    """Shapes (where the third corner lies as seen from the longest side) and corners of all triangles."""
    shapes, corners = [], []
    for triple in combinations(points.tolist(), 3):
        a, b, c = max(((p, q, r) for p, q, r in _turned(triple)), key=lambda t: abs(t[1] - t[0]))
        if a != b:
            shapes.append((c - a) / (b - a))
            corners.append((a, b, c))
    return np.array(shapes, np.complex128), np.array(corners, np.complex128)


def _turned(triple: tuple[complex, complex, complex]) -> Iterator[tuple[complex, complex, complex]]:
    """The corners so that they go round to the left, from each of them."""
    a, b, c = triple
    if ((b - a).conjugate() * (c - a)).imag < 0:
        b, c = c, b
    yield from ((a, b, c), (b, c, a), (c, a, b))


def _moved(points: F64, transformation: F64) -> F64:
    return np.asarray(points @ transformation[:2] + transformation[2], np.float64)


def _affine(detections: F64, references: F64, pairs: tuple[Ints, Ints]) -> F64:
    """The linear transformation that brings pairs together, rows: matrix, shift."""
    design = np.column_stack((detections[pairs[0]], np.ones(len(pairs[0]))))
    return np.asarray(np.linalg.lstsq(design, references[pairs[1]], rcond=None)[0], np.float64)


def _nearest_pairs(moved: F64, references: F64, radius: float) -> tuple[Ints, Ints]:
    """Points that are each other's nearest, and nearer than a radius."""
    distance, nearest = cKDTree(references).query(moved, distance_upper_bound=radius)
    _, back = cKDTree(moved).query(references, distance_upper_bound=radius)
    own = np.flatnonzero(np.isfinite(distance))
    own = own[back[nearest[own]] == own]
    return own, np.asarray(nearest[own], np.intp)


def _settled(
    detections: F64, references: F64, start: F64, radius: float, *, anything: bool = False
) -> tuple[Ints, Ints] | None:
    """Pairs of a transformation that is fitted to its own pairs; None if it runs away."""
    transformation = start
    pairs = _nearest_pairs(_moved(detections, transformation), references, radius)
    for _ in range(_ROUNDS):
        if len(pairs[0]) < _LEAST:
            return None
        transformation = _affine(detections, references, pairs)
        if not anything and np.abs(transformation[:2] - np.eye(2)).max() > _TURN:
            return None
        again = _nearest_pairs(_moved(detections, transformation), references, radius)
        if np.array_equal(again[0], pairs[0]) and np.array_equal(again[1], pairs[1]):
            break
        pairs = again
    return pairs if len(pairs[0]) >= _LEAST else None


def _meaningful(n: int, detections: F64, references: F64, radius: float) -> bool:
    """Whether so many pairs are more than fall together by chance."""
    area = float(np.prod(np.ptp(references, axis=0) + 2 * radius))
    by_chance = len(detections) * min(1.0, len(references) * np.pi * radius**2 / area)
    return n >= _LEAST and n > by_chance + _BEYOND_CHANCE * float(np.sqrt(by_chance))
