"""Images of a cube."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from core.cubes.collapse import WHITE, FieldImage, Filter, box_filter
from core.cubes.wcs import WaveAxis
from core.errors import DataError

AXIS = WaveAxis(5000.0, 1.0, 1.25)
SLOPE = Filter("slope", np.array([5002.0, 5022.0]), np.array([0.0, 1.0]))


@pytest.fixture
def cube() -> np.ndarray:
    data = np.random.default_rng(1).normal(5, 1, (12, 4, 3)).astype(np.float32)
    data[3:5, 1, 2] = np.nan
    data[:, 2, 0] = np.nan
    return data


def collapsed(cube: np.ndarray, bounds: tuple[int, ...] = (0, 12), **options) -> tuple[np.ndarray, float | None]:
    image = FieldImage(AXIS, cube.shape, options.pop("through", None), **options)
    stat = options.get("by_variance")
    for first, last in pairwise(bounds):
        image.add(first, cube[first:last], np.float32(2) + cube[first:last] ** 2 if stat else None)
    return image.image(), image.fraction


def test_without_a_filter_an_image_is_the_mean(cube) -> None:
    image, fraction = collapsed(cube)
    assert fraction is None
    expected = np.full((4, 3), np.nan)
    seen = ~np.isnan(cube).all(axis=0)
    expected[seen] = np.nanmean(cube.astype(np.float64)[:, seen], axis=0)
    np.testing.assert_allclose(image, expected, rtol=1e-6)


def test_a_filter_weights_the_planes(cube) -> None:
    image, _ = collapsed(cube, through=SLOPE)
    weights = np.clip((AXIS.wave(np.arange(12)) - 5002) / 20, 0, 1)[:, None, None] * np.isfinite(cube)
    with np.errstate(invalid="ignore"):
        expected = (weights * np.nan_to_num(cube)).sum(axis=0) / weights.sum(axis=0)
    expected[2, 0] = np.nan
    np.testing.assert_allclose(image, expected, rtol=1e-6)


def test_slabs_change_no_bit(cube) -> None:
    for options in ({}, {"through": SLOPE}, {"by_variance": True}):
        whole, parts = collapsed(cube, **options)[0], collapsed(cube, (0, 1, 7, 12), **options)[0]
        np.testing.assert_array_equal(parts, whole)


def test_voxels_may_count_by_their_variance(cube) -> None:
    image, _ = collapsed(cube, by_variance=True)
    weights = 1 / (2 + cube[:, 0, 0].astype(np.float64) ** 2)
    assert image[0, 0] == pytest.approx((weights * cube[:, 0, 0]).sum() / weights.sum(), rel=1e-6)
    with pytest.raises(DataError, match="without variances"):
        FieldImage(AXIS, cube.shape, by_variance=True).add(0, cube)


def test_the_covered_part_of_a_filter() -> None:
    # Three planes from 5000 reach to 5003.75, by the one after the last; the steps of 1 Angstrom begin just below 4650:
    # 5000.99999, 5001.99999 and 5002.99999 of 4650. The reference pipeline writes 0.06451613 percent.
    image = FieldImage(AXIS, (3, 1, 1), WHITE)
    assert image.fraction == pytest.approx(0.0006451613, rel=1e-6)
    assert FieldImage(AXIS, (3, 1, 1), box_filter("far", 8000, 9000)).fraction == 0
    whole = FieldImage(WaveAxis(4600.0, 1.0, 1.25), (4000, 1, 1), SLOPE)
    assert whole.fraction == 1


def test_planes_come_in_order(cube) -> None:
    image = FieldImage(AXIS, cube.shape)
    image.add(0, cube[:3])
    with pytest.raises(DataError, match="not those after plane 2"):
        image.add(4, cube[4:6])


def test_a_filter_needs_a_table_that_lets_light_through() -> None:
    with pytest.raises(DataError, match="no table of ascending wavelengths"):
        Filter("bad", np.array([5000.0, 4000.0]), np.ones(2))
    with pytest.raises(DataError, match="lets nothing through"):
        Filter("dark", np.array([4000.0, 5000.0]), np.zeros(2)).fraction(4000, 5000)
