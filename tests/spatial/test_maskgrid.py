"""Pinholes stand on the grid of the mask where the geometry is right."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from core.spatial.mask import MaskScale
from core.spatial.maskgrid import off_grid
from core.spatial.peaks import pinhole_distance
from tests.spatial.sequence import MaskSequence, true_geometry


@pytest.fixture(scope="module")
def seen():
    """Peaks of two IFUs, and the scale of the mask."""
    sequence = MaskSequence(true_geometry((11, 12)))
    peaks = sequence.peaks()
    distance = pinhole_distance(np.concatenate([found.peaks.distances for found in peaks]))
    return sequence.geometry, peaks, MaskScale(1.705, distance)


def test_the_true_geometry_has_them_on_the_grid(seen):
    geometry, peaks, mask = seen
    off = off_grid(geometry, peaks, mask)
    assert off.x.size == 2 * 48 * 3
    # centres have a noise of 0.01 pix of the detector, heights follow from a dozen exposures
    assert np.abs(off.dx).max() < 0.01
    assert np.abs(off.dy).max() < 0.005
    assert np.ptp(off.x) > 250


def test_a_slice_that_is_not_in_its_place_is_seen_and_no_other(seen):
    geometry, peaks, mask = seen
    x, y = geometry.x.copy(), geometry.y.copy()
    x[30] += 0.2
    y[30] -= 0.1
    off = off_grid(replace(geometry, x=x, y=y), peaks, mask)
    wrong = (off.ifu == geometry.ifu[30]) & (off.slice_no == geometry.slice_ccd[30])
    np.testing.assert_allclose(off.dx[wrong], 0.2, atol=0.01)
    np.testing.assert_allclose(off.dy[wrong], -0.1, atol=0.005)
    assert np.abs(off.dx[~wrong]).max() < 0.01
    assert np.abs(off.dy[~wrong]).max() < 0.005


def test_the_grid_has_no_place_of_its_own(seen):
    geometry, peaks, mask = seen
    moved = off_grid(replace(geometry, x=geometry.x + 3.0, y=geometry.y - 1.7), peaks, mask)
    np.testing.assert_allclose(moved.dy, off_grid(geometry, peaks, mask).dy, atol=1e-9)


def test_slices_without_a_place_have_no_pinholes(seen):
    geometry, peaks, mask = seen
    unknown = np.where(geometry.ifu == 11, np.nan, geometry.x)
    assert set(off_grid(replace(geometry, x=unknown), peaks, mask).ifu.tolist()) == {12}
    assert off_grid(geometry, [], mask).x.size == 0
