"""Bad pixels become the mean of the good ones around them."""

from __future__ import annotations

import numpy as np
import pytest

from core.ccd.mending import mend
from core.errors import DataError


def test_a_bad_pixel_is_the_mean_of_its_good_neighbours() -> None:
    data = np.arange(9, dtype=np.float32).reshape(3, 3)
    stat = data * 2
    bad = np.zeros((3, 3), bool)
    bad[1, 1] = bad[0, 0] = True
    mend(data, stat, bad)
    assert data[1, 1] == np.float32((1 + 2 + 3 + 5 + 6 + 7 + 8) / 7)  # not the corner, which was bad as well
    assert data[0, 0] == 2  # mean of 1 and 3
    assert stat[0, 0] == 4
    np.testing.assert_array_equal(data[2], [6, 7, 8])


def test_an_area_is_filled_from_its_edge_inwards() -> None:
    rng = np.random.default_rng(3)
    image = rng.normal(100, 5, (9, 12)).astype(np.float32)
    bad = np.zeros(image.shape, bool)
    bad[2:8, 3:9] = True
    data, stat = image.copy(), image.copy()
    mend(data, stat, bad)
    expected, left = image.astype(np.float64), bad.copy()
    while left.any():
        before, ready = expected.copy(), []
        for y, x in np.argwhere(left):
            around = np.s_[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2]
            if not left[around].all():
                expected[y, x] = np.float32(before[around][~left[around]].mean())
                ready.append((y, x))
        for place in ready:
            left[place] = False
    np.testing.assert_allclose(data, expected, rtol=1e-6)
    np.testing.assert_array_equal(stat, data)


def test_without_a_good_pixel_there_is_nothing_to_take() -> None:
    image = np.ones((4, 4), np.float32)
    with pytest.raises(DataError, match="all pixels"):
        mend(image, image, np.ones((4, 4), bool))
