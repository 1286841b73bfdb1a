"""Facts about robust statistics of QC1 series."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.qc1.statistics import robust_statistics, running_median


def test_robust_statistics_recover_a_gaussian_with_outliers():
    sample = np.random.default_rng(1).normal(2.5, 0.1, 4000)
    sample[:200] = 1e6
    found = robust_statistics([*sample, np.nan])
    assert found.number == 4000
    # 5 % one-sided outliers shift the median by 0.066 sigma and widen the MAD by about 8 %
    assert found.median == pytest.approx(2.5, abs=0.012)
    assert found.sigma == pytest.approx(0.1, rel=0.15)


def test_robust_statistics_of_nothing_are_nan():
    found = robust_statistics([])
    assert found.number == 0
    assert math.isnan(found.median)


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(-5, 5)), min_size=1, max_size=40), st.floats(0.1, 50))
def test_the_running_median_is_the_median_of_the_window(points, window):
    times, values = (np.array(column) for column in zip(*sorted(points), strict=True))
    expected = [np.median(values[(times >= time - window / 2) & (times <= time + window / 2)]) for time in times]
    np.testing.assert_array_equal(running_median(times, values, window), expected)


def test_the_running_median_leaves_out_what_is_not_finite():
    result = running_median([0, 1, 10], [1.0, np.nan, np.nan], 4)
    np.testing.assert_array_equal(result, [1.0, 1.0, np.nan])


@pytest.mark.parametrize(
    ("times", "values", "window", "message"),
    [([0, 1], [1], 1, "equally long"), ([1, 0], [1, 1], 1, "ascending"), ([0], [1], 0, "positive")],
)
def test_the_running_median_refuses_nonsense(times, values, window, message):
    with pytest.raises(ValueError, match=message):
        running_median(times, values, window)
