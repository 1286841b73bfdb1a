"""Hot pixels and dark current."""

from __future__ import annotations

import numpy as np
import pytest

from core.ccd.hotpixels import flag_hot_pixels, measure_dark_current
from core.errors import DataError


def test_hot_pixels_are_flagged_and_low_ones_only_if_flagged_before():
    rng = np.random.default_rng(6)
    data = rng.uniform(9, 11, (100, 100)).astype(np.float32)
    data[3, 4] = 40
    data[5, 6] = -20  # the lowest good pixel is the limit
    data[7, 8] = -90
    dq = np.zeros(data.shape, np.int32)
    dq[7, 8] = 1
    assert flag_hot_pixels(data, dq, 5.0) == (1, 1)
    assert (dq[3, 4], dq[5, 6], dq[7, 8]) == (256, 0, 8193)
    dq[:] = 0
    assert flag_hot_pixels(data, dq, 5.0, 5.0) == (2, 1)
    assert (dq[5, 6], dq[7, 8]) == (8192, 8192)
    assert flag_hot_pixels(data, dq, 0.0) == (0, 0)


def test_dark_current_is_per_hour_and_ignores_flagged_pixels():
    data = np.full((300, 400), 2.0, np.float32)
    dq = np.zeros(data.shape, np.int32)
    data[:, 100:110] = 5000
    dq[:, 100:110] = 256
    result = measure_dark_current(data, dq, 900.0)
    assert (result.current, result.error) == pytest.approx((8.0, 0.0))
    with pytest.raises(DataError, match="0 s"):
        measure_dark_current(data, dq, 0.0)
    with pytest.raises(DataError, match="no good pixels"):
        measure_dark_current(data, np.ones_like(dq), 900.0)
