"""Detections are identified with stars."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.onsky.matching import Match, match_near_identity, match_triangles

Matcher = Callable[[np.ndarray, np.ndarray], Match | None]


def near(detections: np.ndarray, references: np.ndarray) -> Match | None:
    return match_near_identity(detections, references, 3.0)


def triangles(detections: np.ndarray, references: np.ndarray) -> Match | None:
    return match_triangles(detections, references, 0.5, 5.0)


def pattern(
    matrix: np.ndarray, shift: tuple[float, float], n: int = 40, extra: int = 0, missing: int = 0, seed: int = 1
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Detections, references, and which reference each detection is (-1: none); both roughly by brightness."""
    rng = np.random.default_rng(seed)
    references = rng.uniform(-150, 150, (n + missing, 2))
    order = np.sort(rng.permutation(n + missing)[:n])
    true = (references[order] - shift) @ np.linalg.inv(matrix).T + rng.normal(0, 0.05, (n, 2))
    places = np.sort(rng.permutation(n + extra)[:n])
    detections, identity = rng.uniform(-150, 150, (n + extra, 2)), np.full(n + extra, -1)
    detections[places], identity[places] = true, order
    return detections, references, identity


def turned(angle: float, scale: float = 1.0) -> np.ndarray:
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    return scale * np.array([[c, -s], [s, c]])


def check(found: Match | None, identity: np.ndarray, share: float = 1.0) -> None:
    assert found is not None
    mine = {(d, r) for d, r in zip(found.detections.tolist(), found.references.tolist(), strict=True)}
    true = {(d, int(r)) for d, r in enumerate(identity) if r >= 0}
    assert len(set(found.references.tolist())) == len(found) == len(set(found.detections.tolist()))
    assert len(mine & true) >= share * len(true)
    assert len(mine - true) <= 0.15 * len(mine)


@settings(deadline=None, max_examples=20)
@given(st.floats(-2, 2), st.floats(0.97, 1.03), st.floats(-40, 40), st.floats(-40, 40), st.integers(0, 99))
def test_a_small_turn_and_any_shift_are_found(angle: float, scale: float, dx: float, dy: float, seed: int) -> None:
    detections, references, identity = pattern(turned(angle, scale), (dx, dy), extra=15, missing=20, seed=seed)
    check(near(detections, references), identity, 0.9)


def test_pixels_may_be_skew() -> None:
    detections, references, identity = pattern(np.array([[1.02, 0.015], [-0.005, 0.99]]), (8.0, -3.0), missing=10)
    check(near(detections, references), identity)


def test_a_large_turn_is_for_triangles_alone() -> None:
    detections, references, identity = pattern(turned(70, 1.1), (20.0, -30.0))
    assert near(detections, references) is None
    check(triangles(detections, references), identity)


@pytest.mark.parametrize("match", [near, triangles])
def test_a_few_stars_are_enough(match: Matcher) -> None:
    detections, references, identity = pattern(turned(0.5), (5.0, 7.0), n=6)
    check(match(detections, references), identity)


@pytest.mark.parametrize("match", [near, triangles])
@pytest.mark.parametrize("seed", range(4))
def test_other_stars_are_no_match(match: Matcher, seed: int) -> None:
    rng = np.random.default_rng(seed)
    assert match(rng.uniform(-150, 150, (60, 2)), rng.uniform(-150, 150, (60, 2))) is None


@pytest.mark.parametrize("match", [near, triangles])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_three_stars_are_no_pattern(match: Matcher, n: int) -> None:
    points = np.random.default_rng(1).uniform(-50, 50, (n, 2))
    assert match(points, points) is None


def test_two_detections_of_a_star_are_one() -> None:
    detections, references, identity = pattern(np.eye(2), (0.0, 0.0))
    detections, identity = np.concatenate((detections, detections[:1] + 1.0)), np.append(identity, -1)
    check(near(detections, references), identity)


def test_a_closer_look_finds_faint_stars_among_many_others() -> None:
    detections, references, identity = pattern(turned(1.0), (30.0, 10.0), n=45, extra=60, missing=90, seed=4)
    bright = np.flatnonzero(identity >= 0)
    order = np.concatenate((np.flatnonzero(identity < 0), bright))  # what is no star is the brightest
    check(near(detections[order], references), identity[order], 0.9)
