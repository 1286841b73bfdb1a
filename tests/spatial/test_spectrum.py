"""Rows become a spectrum in bins of wavelength."""

from __future__ import annotations

import numpy as np

from core.spatial.spectrum import SpectrumBins, binned_with_rejection


def test_a_row_is_shared_by_the_bins_around_it() -> None:
    bins = SpectrumBins(5000.0, 5002.0, 1.0)
    wave = np.array([5000.25, 5001.0, 5001.5], np.float32)
    flags = np.array([0, 0, 32], np.int32)
    bins.add(wave, np.array([4.0, 8.0, 1e6], np.float32), np.array([1.0, 3.0, 1.0], np.float32), flags)
    found = bins.spectrum()
    np.testing.assert_allclose(found.wave, [5000.0, 5001.0])
    np.testing.assert_allclose(found.data, [4.0, (0.25 * 4 + 8) / 1.25])
    np.testing.assert_allclose(found.stat, [1.0, (0.25 + 3) / 1.25])


def test_a_straight_line_stays_one() -> None:
    wave = np.linspace(5000, 5100, 5001).astype(np.float32)
    bins = SpectrumBins(5000.0, 5100.0, 1.25)
    bins.add(wave, 2 * wave, np.ones_like(wave), np.zeros(wave.size, np.int32))
    found = bins.spectrum()
    np.testing.assert_allclose(found.data[1:-1], 2 * found.wave[1:-1], rtol=1e-5)


def test_values_without_a_number_and_pieces_make_no_difference() -> None:
    rng = np.random.default_rng(1)
    wave = rng.uniform(5000, 5010, 300).astype(np.float32)
    data, stat = rng.normal(10, 1, 300).astype(np.float32), np.ones(300, np.float32)
    dq = np.zeros(300, np.int32)
    data[7] = np.nan
    whole, pieces = (SpectrumBins(5000.0, 5010.0, 0.5) for _ in range(2))
    whole.add(wave, data, stat, dq)
    for part in (slice(0, 100), slice(100, 300)):
        pieces.add(wave[part], data[part], stat[part], dq[part])
    np.testing.assert_allclose(pieces.spectrum().data, whole.spectrum().data)
    values = SpectrumBins(5000.0, 5010.0, 0.5)
    values.add_values(wave, data)
    np.testing.assert_array_equal(values.spectrum().data, whole.spectrum().data)


def test_rows_far_from_the_spectrum_are_rejected() -> None:
    rng = np.random.default_rng(2)
    wave = rng.uniform(5000, 5010, 4000).astype(np.float32)
    data, stat = rng.normal(100, 3, 4000).astype(np.float32), np.full(4000, 9, np.float32)
    data[::500] += 1000  # far above
    data[1::500] -= 1000  # far below
    both = binned_with_rejection(wave, data, stat, (5000.0, 5010.0, 1.0), 15.0, 15.0, 2)
    np.testing.assert_allclose(both.data, 100, atol=1)
    above_only = binned_with_rejection(wave, data, stat, (5000.0, 5010.0, 1.0), 15.0, 0.0, 2)
    assert above_only.data.mean() < 99
    none = binned_with_rejection(wave, data, stat, (5000.0, 5010.0, 1.0), 15.0, 15.0, 0)
    assert np.ptp(none.data) > 2
