"""What a pixel counts for a voxel."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.cubes.grid import TablePositions
from core.cubes.wcs import CubeGrid, SpatialAxes, WaveAxis
from core.cubes.weights import Resampling, depth, kernel_of, overlap, weight

VOXELS = np.arange(-20, 21)


def kernel(resampling: Resampling):
    pixels = SpatialAxes(False, (0.0, 0.0), (1.0, 1.0), ((2.0, 0.0), (0.0, 3.0)))
    return kernel_of(resampling, CubeGrid(9, 9, 9, pixels, WaveAxis(5000.0, 1.0, 2.5)), TablePositions())


@settings(deadline=None)
@given(place=st.floats(-5, 5), pixel=st.floats(0.01, 8))
def test_drizzle_loses_no_light_between_voxels(place: float, pixel: float) -> None:
    parts = [overlap(abs(place - voxel), pixel, 1.0) for voxel in VOXELS]
    assert min(parts) >= 0
    assert sum(parts) == pytest.approx(pixel, rel=1e-9)


def test_weights_fall_with_the_distance() -> None:
    for method in ("linear", "quadratic", "renka"):
        numbers = kernel(Resampling(method, radius=1.0))
        weights = [weight(x, 0.5, depth(0.5, numbers), numbers) for x in np.linspace(0, 6, 20)]
        assert np.all(np.diff(weights) <= 0)
        assert weights[-1] > 0
        assert weight(0.0, 0.0, depth(0.0, numbers), numbers) == np.finfo(np.float32).max


def test_the_radius_of_renka_is_in_voxels() -> None:
    radius = kernel(Resampling("renka", radius=0.5)).radius
    assert radius == pytest.approx(0.5 * np.sqrt(2**2 + 3**2 + 2**2))
    numbers = kernel(Resampling("renka", radius=0.5))
    assert weight(radius, 0.0, depth(0.0, numbers), numbers) == np.finfo(np.float64).tiny
    assert weight(0.999 * radius, 0.0, depth(0.0, numbers), numbers) > 1e-10


def test_lanczos_ends_at_its_reach() -> None:
    numbers = kernel(Resampling("lanczos", reach=2))
    assert weight(0.0, 0.0, depth(0.0, numbers), numbers) == 1
    assert weight(1.5, 0.0, depth(0.0, numbers), numbers) == pytest.approx(np.sinc(1.5) * np.sinc(0.75))
    assert (weight(2.0, 0.0, depth(0.0, numbers), numbers), weight(0.0, 2.1, depth(0.0, numbers), numbers)) == (0, 0)
    assert depth(1.25 * 2.1, numbers) == 0
    assert depth(1.25 * 1.5, numbers) == weight(1.5, 0.0, depth(0.0, numbers), numbers)
