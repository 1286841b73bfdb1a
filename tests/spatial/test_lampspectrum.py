"""Flat-field spectra of IFUs become one, smooth but for the edges of filters."""

from __future__ import annotations

import numpy as np
import pytest

from core.errors import DataError
from core.instruments.muse.facts import NOTCH
from core.spatial.lampspectrum import LampSpectrum

WAVE = np.arange(4740.0, 9360.0, 1.25) + 0.3


def lamp(wave: np.ndarray) -> np.ndarray:
    return 2.0 + 1e-4 * (wave - 7000) - 3e-8 * (wave - 7000) ** 2


def noisy(seed: int) -> np.ndarray:
    return lamp(WAVE) + np.random.default_rng(seed).normal(0, 0.02, WAVE.size)


def test_the_mean_of_all_ifus_is_smooth() -> None:
    spectra = [(WAVE, noisy(seed) * level) for seed, level in ((1, 1.0), (2, 3.0))]
    found = LampSpectrum.of(spectra, "WFM-NOAO-N")
    assert found.n_units == 2
    inside = found.wave > 4775
    assert np.std((found.values / lamp(found.wave) / 2)[inside]) < 0.2 * np.std(found.unsmoothed / lamp(found.wave) / 2)
    np.testing.assert_allclose(found.values[inside], 2 * lamp(found.wave[inside]), rtol=0.01)
    np.testing.assert_array_equal(found.values[~(found.wave >= 4775)], found.unsmoothed[~(found.wave >= 4775)])


def test_a_smooth_spectrum_stays_what_it_is_to_its_ends() -> None:
    found = LampSpectrum.of([(WAVE, lamp(WAVE))], "WFM-NOAO-E")
    np.testing.assert_allclose(found.values, lamp(found.wave), rtol=2e-6)


def test_a_line_of_a_few_points_is_smoothed_away() -> None:
    values = lamp(WAVE)
    values[2000:2002] *= 1.5
    found = LampSpectrum.of([(WAVE, values)], "WFM-NOAO-E")
    np.testing.assert_allclose(found.values, lamp(found.wave), rtol=1e-5)


def test_it_covers_what_all_ifus_cover() -> None:
    found = LampSpectrum.of([(WAVE, lamp(WAVE)), (WAVE[100:-200], lamp(WAVE[100:-200]))], "WFM-NOAO-N")
    assert (found.wave[0], found.wave[-1]) == (4866.25, 9108.75)
    with pytest.raises(DataError, match="no wavelength in common"):
        LampSpectrum.of([(WAVE[:50], WAVE[:50]), (WAVE[100:], WAVE[100:])], "WFM-NOAO-N")


@pytest.mark.parametrize(("mode", "kept"), [("WFM-AO-N", True), ("WFM-AO-E", True), ("NFM-AO-N", False)])
def test_the_notch_is_smoothed_in_narrow_field_only(mode: str, kept: bool) -> None:
    found = LampSpectrum.of([(WAVE, noisy(1))], mode)
    low, high = NOTCH[mode]
    inside = (found.wave > low) & (found.wave < high)
    assert np.array_equal(found.values[inside], found.unsmoothed[inside]) == kept
    assert not np.array_equal(found.values[~inside], found.unsmoothed[~inside])


def test_rows_are_multiplied_at_their_wavelengths() -> None:
    found = LampSpectrum.of([(WAVE, lamp(WAVE))], "WFM-NOAO-N")
    wave, ones = np.linspace(5000, 9000, 50, dtype=np.float32), np.ones(50, np.float32)
    data, stat = found.multiply(wave, ones, ones)
    assert (data.dtype, stat.dtype) == (np.float32, np.float32)
    np.testing.assert_allclose(data, lamp(wave), rtol=1e-5)
    np.testing.assert_allclose(stat, lamp(wave) ** 2, rtol=1e-5)
