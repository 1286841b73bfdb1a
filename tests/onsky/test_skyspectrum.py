"""The mean spectrum of pixels that have sky alone."""

from __future__ import annotations

import numpy as np
import pytest

from core.errors import DataError
from core.onsky.skyspectrum import SpectrumSum

WAVE = np.array([5000, 5000.3, 5000.9, 5001.25, 5001.9, 5002.5, 5003.75, 5004.9, 5005], np.float32)
DATA = np.array([10, 12, 9, 11, 14, 8, 10, 13, 200], np.float32)
STAT = np.array([4, 4, 4, 4, 9, 9, 1, 1, 1], np.float32)
DQ = np.array([0, 0, 0, 0, 0, 1, 0, 0, 0], np.int32)


def test_means_are_those_of_the_reference() -> None:
    total = SpectrumSum(5000, 5005, 1.25)
    total.add(WAVE, DATA, STAT, DQ)
    found = total.mean()
    np.testing.assert_allclose(found.wave, [5000, 5001.25, 5002.5, 5003.75, 5005])
    np.testing.assert_allclose(found.data, [10.6079, 11.0985, 14, 10.2224, 110.4], rtol=5e-5)
    np.testing.assert_allclose(found.stat, [4, 4.98383, 9, 1, 1], rtol=5e-6)


def test_pieces_add_up() -> None:
    whole, pieces = SpectrumSum(5000, 5005, 1.25), SpectrumSum(5000, 5005, 1.25)
    whole.add(WAVE, DATA, STAT, DQ)
    for part in (slice(0, 4), slice(4, 9)):
        pieces.add(WAVE[part], DATA[part], STAT[part], DQ[part])
    np.testing.assert_array_equal(whole.mean().data, pieces.mean().data)


def test_bright_pixels_are_left_out_the_second_time() -> None:
    wave = np.repeat(5000 + 1.25 * np.arange(9), 12).astype(np.float32)
    rng = np.random.default_rng(3)
    data = rng.normal(100, 5, wave.size).astype(np.float32)
    data[40], data[41] = 400, -200  # both at 5003.75
    stat, dq = np.full(wave.size, 25, np.float32), np.zeros(wave.size, np.int32)
    first = SpectrumSum(5000, 5010, 1.25)
    first.add(wave, data, stat, dq)
    second = SpectrumSum(5000, 5010, 1.25, (first.mean(), 15.0))
    second.add(wave, data, stat, dq)
    own = data[36:48]
    assert second.mean().data[3] == pytest.approx(own[own != 400].mean(), rel=1e-6)
    np.testing.assert_allclose(np.delete(second.mean().data, 3), np.delete(first.mean().data, 3))


def test_weights_count() -> None:
    total = SpectrumSum(5000, 5001, 1.0)
    two = np.zeros(2, np.int32)
    wave, weight = np.full(2, 5000, np.float32), np.array([1, 3], np.float32)
    total.add(wave, np.array([0, 4], np.float32), np.array([1, 5], np.float32), two, weight)
    assert (total.mean().data[0], total.mean().stat[0]) == (3, 4)


def test_without_pixels_there_is_no_spectrum() -> None:
    with pytest.raises(DataError):
        SpectrumSum(5000, 5005, 1.25).mean()
    with pytest.raises(DataError):
        SpectrumSum(5000, 5005, 0)
