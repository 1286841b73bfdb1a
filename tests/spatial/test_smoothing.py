"""Smoothing puts outliers of a stack on its line."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from core.spatial.smoothing import smooth_geometry, stack_lines
from tests.spatial.sequence import true_geometry


@pytest.fixture
def regular():
    """Slices on straight lines."""
    return true_geometry((12,), scatter=0.0)


def test_a_straight_stack_stays(regular):
    smooth = smooth_geometry(regular, 1.5)
    assert np.allclose(smooth.geometry.y, regular.y)


def test_an_outlier_goes_to_the_line(regular):
    angle = regular.angle.copy()
    angle[20] += 1.0
    smooth = smooth_geometry(replace(regular, angle=angle), 3.0)
    assert smooth.changed["angle"] >= 1
    assert abs(smooth.geometry.angle[20] - regular.angle[20]) < 0.2
    assert np.array_equal(smooth.geometry.angle[36:], regular.angle[36:])


def test_a_large_error_is_enough(regular):
    y, error = regular.y.copy(), np.zeros(48)
    y[:12] += np.tile([0.01, -0.01], 6)
    error[3] = 0.11
    smooth = smooth_geometry(replace(regular, y=y, y_error=error), 100.0)
    assert smooth.changed == {"x": 0, "y": 1, "angle": 0, "width": 0}
    assert smooth.geometry.y[3] == pytest.approx(regular.y[3], abs=0.005)
    assert np.array_equal(smooth.geometry.y_error, error)


def test_missing_slices_stay_missing(regular):
    x = regular.x.copy()
    x[[0, 5]] = np.nan
    smooth = smooth_geometry(replace(regular, x=x), 1.5).geometry
    assert np.flatnonzero(np.isnan(smooth.x)).tolist() == [0, 5]


def test_lines_go_through_stacks_that_have_three_slices(regular):
    y = regular.y.copy()
    y[:10] = np.nan
    lines = stack_lines(replace(regular, y=y), "y")
    assert np.isnan(lines[:12]).all()
    np.testing.assert_allclose(lines[12:], y[12:], atol=1e-12)
