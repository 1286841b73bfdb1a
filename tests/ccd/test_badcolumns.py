"""Bad columns of a bias."""

from __future__ import annotations

import numpy as np

from core.ccd.badcolumns import flag_bad_columns


def bias_port(seed=2):
    return np.random.default_rng(seed).normal(0, 1.4, (500, 200)).astype(np.float32)


def test_bright_piece_of_a_column_is_flagged_from_end_to_end():
    data = bias_port()
    data[:, 50] = 0
    data[100:301, 50] = 300
    dq = np.zeros(data.shape, np.int32)
    assert flag_bad_columns(data, dq, 3.0, 30.0, 3.0) == 201
    assert np.all(dq[100:301, 50] == 8192)
    assert np.count_nonzero(dq) == 201


def test_dark_column_needs_losigma_and_quiet_bright_column_is_none():
    data = bias_port()
    data[:, 20] -= 5
    data[:, 30] += 5  # bright, but its scatter stays below the noise
    dq = np.zeros(data.shape, np.int32)
    flagged = flag_bad_columns(data, dq, 3.0, 30.0, 3.0)
    assert set(np.flatnonzero(dq.any(axis=0))) == {20}
    # Noise of 1.4 about -5, limit near -1.5: all but a few rows at the ends lie beyond it.
    assert 480 <= flagged <= 500
    assert flag_bad_columns(data, np.zeros_like(dq), 3.0, 300.0, 3.0) == 0


def test_flags_are_added_and_counted_again():
    data = bias_port()
    data[:, 50] = -400
    dq = np.full(data.shape, 256, np.int32)
    assert flag_bad_columns(data, dq, 3.0, 30.0, 3.0) == 500
    assert np.all(dq[:, 50] == 256 | 8192)
