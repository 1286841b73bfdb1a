"""Ranges of rows."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from core.formats.pixtable_ranges import count, cut, numbers, portions, single, split

edges = st.lists(st.integers(0, 60), unique=True, max_size=12).map(sorted)


def ranges_of(ends: list[int]) -> np.ndarray:
    return np.array(ends[: len(ends) // 2 * 2], np.int64).reshape(-1, 2)


def listed(ranges: np.ndarray) -> list[int]:
    return [row for first, last in ranges.tolist() for row in range(first, last)]


@given(edges, st.integers(1, 9))
def test_portions_have_the_same_rows_in_the_same_order(ends: list[int], most: int) -> None:
    ranges = ranges_of(ends)
    found = list(portions(ranges, most))
    assert [row for part in found for row in listed(part)] == listed(ranges) == numbers(ranges).tolist()
    assert all(count(part) == most for part in found[:-1])


@given(edges, st.lists(st.integers(0, 60), max_size=4).map(sorted))
def test_pieces_have_their_own_rows(ends: list[int], inner: list[int]) -> None:
    ranges, bounds = ranges_of(ends), np.array([0, *inner, 60], np.int64)
    kept = np.random.default_rng(len(ends)).integers(0, 2, count(ranges)).astype(bool)
    rows, wanted = [], []
    for piece, inside, chosen in cut(ranges, bounds, kept):
        assert chosen is not None
        rows += [int(bounds[piece]) + row for row in listed(inside)]
        wanted += chosen.tolist()
        assert all(0 <= row < bounds[piece + 1] - bounds[piece] for row in listed(inside))
    assert rows == listed(ranges)
    assert wanted == kept.tolist()


@given(edges, st.lists(st.integers(0, 60), max_size=4).map(sorted))
def test_ranges_are_split_where_pieces_meet(ends: list[int], inner: list[int]) -> None:
    ranges, bounds = ranges_of(ends), np.array([0, *inner, 60], np.int64)
    found, pieces = split(ranges, bounds)
    assert [row for first, last in found for row in range(first, last)] == listed(ranges)
    assert all(
        bounds[piece] <= first < last <= bounds[piece + 1] for (first, last), piece in zip(found, pieces, strict=True)
    )


def test_one_range() -> None:
    assert listed(single(3, 6)) == [3, 4, 5]
