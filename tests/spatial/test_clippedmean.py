"""Means of few values, some of which are wrong."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.spatial.clippedmean import clipped_mean


def test_what_lies_apart_is_dropped():
    mean, scatter = clipped_mean(np.array([1.0, 1.02, 0.98, 1.01, 5.0]), None, 2.0)
    assert mean == pytest.approx(1.0, abs=0.02)
    assert scatter < 0.03


def test_errors_are_weights():
    errors = np.array([0.1, 0.1, 0.3])
    weights = 1 / np.hypot(errors, 0.1)
    mean, _ = clipped_mean(np.array([1.0, 1.0, 2.0]), errors, 10.0)
    assert mean == pytest.approx(np.average([1.0, 1.0, 2.0], weights=weights))


def test_an_error_that_is_small_by_chance_does_not_decide():
    mean, scatter = clipped_mean(np.array([1.0, 1.1, 0.9]), np.array([0.1, 1e-9, 0.1]), 10.0)
    assert mean == pytest.approx(1.0, abs=0.02)
    assert scatter == pytest.approx(0.08, abs=0.01)


@pytest.mark.parametrize("k_sigma", [1.5, 2.0, 3.0])
def test_the_cut_does_not_make_the_scatter_smaller(k_sigma):
    values = np.random.default_rng(4).normal(3.0, 0.5, 4000)
    mean, scatter = clipped_mean(values, None, k_sigma)
    assert mean == pytest.approx(3.0, abs=0.03)
    assert scatter == pytest.approx(0.5, rel=0.1)


def test_nothing_left_is_the_middle_of_the_limits():
    middle, half = clipped_mean(np.array([0.0, 1.0]), None, 0.5)
    assert (middle, half) == pytest.approx((0.5, 0.5 * 0.5 * np.sqrt(np.pi / 2)))


@settings(max_examples=50)
@given(st.lists(st.floats(-100, 100), min_size=1, max_size=12), st.floats(1.0, 5.0))
def test_the_mean_lies_among_the_values(values, k_sigma):
    mean, scatter = clipped_mean(np.array(values), None, k_sigma)
    assert min(values) - 1e-9 <= mean <= max(values) + 1e-9
    assert 0 <= scatter <= 2 * k_sigma * np.ptp(values) + 1e-9
