"""Heights of the mask become positions of slices on top of each other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from core.spatial.mask import MaskScale
from core.spatial.vertical import finished, place_vertically
from tests.spatial.sequence import true_geometry

MASK = MaskScale()


def as_heights(geometry, seed: int = 3):
    """Heights at which some row of pinholes is in each slice: known but for multiples of their distance."""
    rows = np.random.default_rng(seed).integers(-1, 2, len(geometry))
    return replace(geometry, y=13.3 - geometry.y / MASK.pix_per_mm + rows * MASK.step, angle=-geometry.angle)


def test_heights_are_put_into_the_order_of_the_slices():
    truth = true_geometry((11, 12, 13), scatter=0.0)
    found = finished(place_vertically(as_heights(truth), MASK), MASK)
    # a slice a row of pinholes away from the reference would be 5 pix off
    assert np.allclose(found.y, truth.y, atol=1e-9)
    assert np.allclose(found.angle, truth.angle)


@pytest.mark.parametrize("lost", [range(20, 60), [5, 6, 7, 71], range(48)])
def test_missing_slices_do_not_matter(lost):
    truth = true_geometry((11, 12, 13), scatter=0.0)
    kept = truth.where(~np.isin(np.arange(len(truth)), lost))
    found = place_vertically(as_heights(kept), MASK)
    assert np.allclose(np.diff(-found.y), np.diff(kept.y), atol=1e-9)


def test_stacks_may_have_no_slice_beside_the_reference():
    truth = true_geometry((12,), scatter=0.0)
    kept = truth.where(np.isin(truth.slice_sky, (16, 32, 33)))
    found = finished(place_vertically(as_heights(kept), MASK), MASK)
    y = found.y[np.isfinite(found.y)]
    assert np.allclose(y - y[0], kept.y - kept.y[0], atol=1e-9)


def test_a_slice_in_the_shade_of_the_next_ifu_moves_outwards():
    truth = true_geometry((12,), scatter=0.0)
    y = truth.y.copy()
    top, bottom = truth.slice_sky % 12 == 0, truth.slice_sky % 12 == 1
    y[top] -= 0.3
    y[bottom] += 0.3
    error = np.full(len(truth), 0.002)
    found = finished(place_vertically(as_heights(replace(truth, y=y, y_error=error)), MASK), MASK)
    assert np.allclose(np.diff(found.y[:12]), np.diff(truth.y[:12]), atol=1e-9)
