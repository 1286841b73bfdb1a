"""Median of the neighbourhood where some spaxels have no value."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from core.spatial.fieldfilter import median_filter


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([(5, 7), (3, 1), (1, 1)]), st.integers(0, 100))
def test_medians_are_those_of_the_good_spaxels_in_a_window(seed: int, size: tuple[int, int], percent: int) -> None:
    rng = np.random.default_rng(seed)
    image = rng.normal(size=(11, 9)).astype(np.float32)
    good = rng.uniform(size=image.shape) * 100 < percent
    image[~good] = np.nan
    medians, known = median_filter(image, good, size)
    half_x, half_y = size[0] // 2, size[1] // 2
    for y, x in np.ndindex(*image.shape):
        window = np.s_[max(y - half_y, 0) : y + half_y + 1, max(x - half_x, 0) : x + half_x + 1]
        values = image[window][good[window]]
        assert known[y, x] == (values.size > 0)
        assert medians[y, x] == (np.float32(np.median(values.astype(np.float64))) if values.size else 0)
