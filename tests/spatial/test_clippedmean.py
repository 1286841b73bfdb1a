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
    mean, _ = clipped_mean(np.array([1.0, 2.0]), np.array([0.1, 0.3]), 10.0)
    assert mean == pytest.approx(1.25)


def test_a_value_without_error_decides():
    assert clipped_mean(np.array([1.0, 1.1]), np.array([0.0, 0.1]), 10.0)[0] == pytest.approx(1.0)


def test_nothing_left_is_the_middle_of_the_limits():
    assert clipped_mean(np.array([0.0, 1.0]), None, 0.5) == (0.5, 0.25)


@settings(max_examples=50)
@given(st.lists(st.floats(-100, 100), min_size=1, max_size=12), st.floats(1.0, 5.0))
def test_the_mean_lies_among_the_values(values, k_sigma):
    mean, scatter = clipped_mean(np.array(values), None, k_sigma)
    assert min(values) - 1e-9 <= mean <= max(values) + 1e-9
    assert 0 <= scatter <= k_sigma * np.ptp(values) + 1e-9
