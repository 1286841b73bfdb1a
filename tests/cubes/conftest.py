"""Pixel tables of a few hundred rows, and threads."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from core.cubes.wcs import CubeGrid, SpatialAxes, WaveAxis

Table = dict[str, np.ndarray]


@pytest.fixture
def table() -> Callable[..., Table]:
    """Pixels at random places, a few to a voxel of `grid`; one in eight is flagged."""

    def make(n: int = 900, seed: int = 1, **constant: float) -> Table:
        rng = np.random.default_rng(seed)
        columns = {
            "xpos": rng.uniform(-4.4, 3.4, n),
            "ypos": rng.uniform(1.6, 8.4, n),
            "lambda": rng.uniform(4999.5, 5010.5, n),
            "data": rng.normal(100, 10, n),
            "stat": rng.uniform(50, 150, n),
        }
        found = {name: values.astype(np.float32) for name, values in columns.items()}
        found["dq"] = rng.choice(np.array([0, 0, 0, 0, 0, 0, 0, 32, 256], np.int32), n)
        for name, value in constant.items():
            found[name][:] = value
        return found

    return make


@pytest.fixture
def grid() -> CubeGrid:
    """8 x 7 x 9 voxels in pixels of the field."""
    axes = SpatialAxes(False, (-4.0, 2.0), (1.0, 1.0), ((1.0, 0.0), (0.0, 1.0)))
    return CubeGrid(8, 7, 9, axes, WaveAxis(5000.0, 1.0, 1.25))


@pytest.fixture
def threads() -> Callable[[Callable[[Any], Any], Iterable[Any]], list[Any]]:
    """Three threads."""

    def spread(function: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
        with ThreadPoolExecutor(3) as pool:
            return list(pool.map(function, items))

    return spread
