"""Where there is nothing but sky."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import DataError
from core.onsky.skymask import find_level_sky, find_sky

# Number of pixels of 1, 2, 3 ..., ignore, fraction; brightness between which is sky, as the reference pipeline has it.
CASES = [
    (100, 0.05, 0.75, 5, 76),
    (100, 0.05, 0.10, 5, 15),
    (100, 0.0, 1.0, 1, 100),
    (100, 0.0, 0.5, 1, 50),
    (100, 0.1, 0.25, 10, 33),
    (37, 0.05, 0.75, 2, 28),
    (37, 0.05, 0.10, 2, 5),
]


@pytest.mark.parametrize(("n", "ignore", "fraction", "low", "high"), CASES)
def test_limits_are_those_of_the_reference(n: int, ignore: float, fraction: float, low: int, high: int) -> None:
    image = np.random.default_rng(1).permutation(np.arange(1, n + 1, dtype=np.float32)).reshape(1, n)
    sky = find_sky(image, ignore, fraction)
    assert (sky.low, sky.high) == (low, high)
    assert sorted(image[sky.mask]) == list(range(low + 1, high))


def test_pixels_without_a_value_do_not_count() -> None:
    image = np.arange(1, 101, dtype=np.float32).reshape(10, 10)
    with_gaps = np.vstack([image, np.full((3, 10), np.nan, np.float32)])
    found = find_sky(with_gaps, 0.05, 0.75)
    assert (found.low, found.high) == (5, 76)
    assert not found.mask[10:].any()


@given(st.floats(0, 1), st.floats(0, 1), st.integers(1, 50))
def test_any_parts_make_a_mask(ignore: float, fraction: float, n: int) -> None:
    sky = find_sky(np.arange(n, dtype=np.float32).reshape(1, n), ignore, fraction)
    assert sky.low <= sky.high
    assert sky.mask.sum() == max(0, sky.high - sky.low - 1)


@pytest.mark.parametrize(("ignore", "fraction", "rule"), [(-0.1, 0.5, "ignore"), (0.5, 1.5, "fraction")])
def test_what_is_no_part_is_refused(ignore: float, fraction: float, rule: str) -> None:
    with pytest.raises(DataError) as caught:
        find_sky(np.ones((2, 2)), ignore, fraction)
    assert caught.value.context["rule"] == rule


def test_no_pixels_no_sky() -> None:
    with pytest.raises(DataError):
        find_sky(np.full((2, 2), np.nan), 0.05, 0.75)


def test_pixels_like_most_are_sky_but_for_those_next_to_sources() -> None:
    image = 100 + np.random.default_rng(2).normal(0, 1, (30, 40))
    image[10:14, 20:24] = 150  # a source
    image[25, 5] = 150  # a cosmic ray
    image[:, 35:] = np.nan
    found = find_level_sky(image)
    assert (found.low + found.high) / 2 == pytest.approx(100, abs=0.3)
    assert found.high - found.low == pytest.approx(10 * 0.67, rel=0.2)
    assert not found.mask[8:16, 18:26].any()  # two pixels around the source
    assert found.mask[7, 18:26].all()
    assert found.mask[25, 5]
    assert found.mask[[0, -1], :30].all()
    assert not found.mask[:, 33:].any()


def test_an_image_of_nothing_has_no_level() -> None:
    with pytest.raises(DataError, match="no pixel"):
        find_level_sky(np.full((4, 4), np.nan))
