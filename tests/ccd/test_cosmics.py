"""DCR cosmic-ray search: hits far above the noise are found, noise and flagged pixels are left alone."""

from __future__ import annotations

import numpy as np
import pytest

from core.ccd.cosmics import DcrSettings, flag_cosmics
from core.errors import ParameterError


def noisy(ny=60, nx=200, seed=3):
    return np.random.default_rng(seed).normal(1000, 3, (ny, nx)).astype(np.float32)


def test_hits_are_found_everywhere_also_in_the_last_corner():
    data = noisy()
    hits = [(0, 0), (30, 100), (59, 199), (59, 0), (0, 199), (58, 150)]
    for y, x in hits:
        data[y, x] += 200
    before = data.copy()
    dq = np.zeros(data.shape, np.int32)
    assert flag_cosmics(data, dq, DcrSettings(40, 15, 3, 3.0)) == len(hits)
    assert {tuple(p) for p in np.argwhere(dq == 32).tolist()} == set(hits)
    assert np.array_equal(data, before)


def test_gaussian_noise_has_no_hits():
    dq = np.zeros((60, 200), np.int32)
    assert flag_cosmics(noisy(), dq, DcrSettings(60, 30, 2, 5.8)) == 0
    assert not dq.any()


def test_flagged_pixels_do_not_take_part():
    data = noisy()
    data[20, 20] += 500
    dq = np.zeros(data.shape, np.int32)
    dq[20, 20] = 4096
    assert flag_cosmics(data, dq, DcrSettings(40, 15, 3, 3.0)) == 0
    assert dq[20, 20] == 4096


def test_lower_hits_are_uncovered_by_later_passes():
    data = noisy()
    data[30, 90:93] = (1060, 1300, 3000)
    counts = []
    for npass in (1, 4):
        dq = np.zeros(data.shape, np.int32)
        counts.append(flag_cosmics(data, dq, DcrSettings(100, 40, npass, 6.0)))
    assert counts[0] <= counts[1] == 3


def test_constant_image_has_no_hits():
    dq = np.zeros((20, 20), np.int32)
    assert flag_cosmics(np.full((20, 20), 7, np.float32), dq, DcrSettings(10, 10, 2, 2.5)) == 0
    dq[:] = 1
    assert flag_cosmics(np.full((20, 20), 7, np.float32), dq, DcrSettings(10, 10, 2, 2.5)) == 0


def test_settings_must_be_positive():
    for wrong in ((0, 1, 1, 1.0), (1, 0, 1, 1.0), (1, 1, 0, 1.0), (1, 1, 1, 0.0), (1, 1, 1, float("nan"))):
        with pytest.raises(ParameterError):
            DcrSettings(*wrong)
