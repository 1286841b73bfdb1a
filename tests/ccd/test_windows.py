"""Random windows are those of the C library's sequence, inside the image and apart."""

from __future__ import annotations

import ctypes
import sys

import numpy as np
import pytest

from core.ccd.windows import random_integers, random_windows
from core.errors import DataError


@pytest.mark.skipif(sys.platform != "linux", reason="compares with the C library of Linux")
@pytest.mark.parametrize("seed", [1, 101, 401, 2**31 - 2])
def test_random_sequence_is_that_of_the_c_library(seed):
    libc = ctypes.CDLL("libc.so.6")
    libc.srand(seed)
    assert random_integers(seed, 500).tolist() == [libc.rand() for _ in range(500)]


def test_windows_lie_inside_and_apart():
    corners = random_windows(1, 320, 401, 800, 100, 1)
    assert corners.shape == (100, 2)
    assert corners[:, 0].min() >= 0
    assert corners[:, 0].max() + 19 <= 320
    assert corners[:, 1].min() >= 400
    assert corners[:, 1].max() + 19 <= 800
    distance = np.hypot(*(corners[:, None] - corners[None, :]).transpose(2, 0, 1)) + 1e9 * np.eye(100)
    # squared distance at least W H / (sqrt(2) 102), less the rounding of the corners
    assert distance.min() > np.sqrt(299 * 379 / (np.sqrt(2) * 102)) - 1.5
    with pytest.raises(DataError):
        random_windows(1, 19, 1, 100, 10, 1)
