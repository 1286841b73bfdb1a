"""From counts of a star to response and telluric bands; from the response to throughput and zero points."""

from __future__ import annotations

import numpy as np
import pytest

from core.errors import DataError
from core.instruments.muse.facts import EFFECTIVE_AREA, EXTREME_RANGE, TELLURIC_BANDS, Dq
from core.onsky.fluxcal import Curve
from core.onsky.sensitivity import (
    Band,
    Sensitivity,
    correct_bands,
    extend,
    flag_bands,
    measure_sensitivity,
    telluric_curve,
)
from core.onsky.throughput import mean_throughput, throughput, zero_point

WAVE = np.arange(4750.0, 9350.1, 1.25)
BANDS = [Band(*limits) for limits in TELLURIC_BANDS]
AIRMASS, EXPTIME, STEP = 1.4, 30.0, 1.25
STAR = Curve.of(np.arange(3000.0, 11000.0, 5.0), 1e-13 * (np.arange(3000.0, 11000.0, 5.0) / 5000) ** -2.0, 1e-16)
AIR = Curve.of([4000.0, 5000.0, 7000.0, 10000.0], [0.3, 0.15, 0.07, 0.02])


def response(wave: np.ndarray) -> np.ndarray:
    return 41.5 - 0.4 * ((wave - 6800) / 2500) ** 2


def transmission(wave: np.ndarray) -> np.ndarray:
    """At airmass 1."""
    return 1 - 0.6 * np.exp(-(((wave - 7625) / 25) ** 2)) * ((wave > 7590) & (wave < 7700))


def measured(noise: float = 0.0) -> Sensitivity:
    counts = EXPTIME * STEP * STAR.at(WAVE) * 10 ** (0.4 * (response(WAVE) - AIRMASS * AIR.at(WAVE)))
    counts *= transmission(WAVE) ** AIRMASS
    counts *= 1 + noise * np.random.default_rng(2).normal(size=WAVE.size)
    return measure_sensitivity(
        WAVE, counts, (1e-3 * counts) ** 2, STAR, AIR, airmass=AIRMASS, exptime=EXPTIME, step=STEP
    )


def corrected(noise: float = 0.0) -> Sensitivity:
    return correct_bands(flag_bands(measured(noise), BANDS), BANDS, AIRMASS)


def test_counts_and_flux_give_the_response() -> None:
    found = measured()
    clear = transmission(found.wave) == 1
    np.testing.assert_allclose(found.values[clear], response(found.wave)[clear], atol=1e-4)
    part = 1e-16 / STAR.at(7000.0)
    at = np.abs(found.wave - 7000).argmin()
    assert found.errors[at] == pytest.approx(2.5 / np.log(10) * np.hypot(1e-3, part), rel=1e-3)


def test_what_was_not_measured_has_no_row() -> None:
    data = np.array([1.0, 0.0, -1.0, 5.0, 5.0])
    stat = np.array([1.0, 1.0, 1.0, 0.0, 1.0])
    found = measure_sensitivity(
        np.array([5000.0, 5001, 5002, 5003, 5004]),
        data,
        stat,
        STAR,
        AIR,
        airmass=1.0,
        exptime=1.0,
        step=1.0,
        first=5001.0,
    )
    assert found.wave.tolist() == [5004.0]
    for airmass, first in ((0.9, 0.0), (1.0, 6000.0)):
        with pytest.raises(DataError, match=r"no response|no flux"):
            measure_sensitivity(WAVE[:5], data, stat, STAR, AIR, airmass=airmass, exptime=1.0, step=1.0, first=first)


def test_bands_become_a_transmission_at_airmass_1() -> None:
    found = corrected()
    np.testing.assert_allclose(found.values, response(found.wave), atol=2e-3)
    inside = (found.wave > 7590) & (found.wave < 7700)
    np.testing.assert_allclose(found.transmission[inside], transmission(found.wave)[inside], atol=2e-3)
    assert (found.flags[inside] == Dq.TELLURIC_CORRECTED).all()
    assert np.isnan(found.transmission[(found.wave > 7720) & (found.wave < 7800)]).all()
    assert np.nanmax(found.transmission) <= 1


def test_points_off_the_curve_around_a_band_are_left_out() -> None:
    curve = measured(1e-3)
    values = curve.values.copy()
    spike = int(np.abs(WAVE - 7500).argmin())
    values[spike] -= 1.0
    rough = Sensitivity(curve.wave, values, curve.errors, curve.flags, curve.transmission)
    found = correct_bands(flag_bands(rough, BANDS), BANDS, AIRMASS)
    assert WAVE[spike] not in found.wave
    assert found.wave.size > 0.95 * WAVE.size


def test_a_band_without_surroundings_stays_and_is_told() -> None:
    told: list[str] = []
    band = Band(5000.0, 5100.0, 5001.0, 5099.0)
    found = correct_bands(flag_bands(measured(), [band]), [band], AIRMASS, told.append)
    assert len(told) == 1
    assert (found.flags == Dq.TELLURIC).sum() == 81


@pytest.mark.parametrize("width", [15.0, 150.0])
def test_straight_lines_go_on_to_the_limits(width: float) -> None:
    curve = corrected()
    found = extend(curve, EXTREME_RANGE, width)
    assert (found.wave[0], found.wave[-1]) == EXTREME_RANGE
    assert found.wave.size == curve.wave.size + 200
    assert np.all(np.diff(found.wave) > 0)
    new = found.flags == Dq.OUTSIDE_RANGE
    np.testing.assert_allclose(np.diff(found.values[new][:99], 2), 0, atol=1e-9)
    slope = np.diff(found.values[new][:2]) / np.diff(found.wave[new][:2])
    assert slope == pytest.approx(np.gradient(response(WAVE), WAVE)[0], rel=0.1)
    assert found.errors[0] == pytest.approx(curve.errors[0] * (1 + 2 * 600 / 50))


def test_a_response_is_never_below_nothing() -> None:
    wave = np.arange(5000.0, 9000.0, 1.25)
    falling = Sensitivity(
        wave, 2.0 + (wave - 5000) * 1e-2, wave * 0 + 0.1, np.zeros(wave.size, np.int64), wave * np.nan
    )
    found = extend(falling, EXTREME_RANGE, 150.0)
    assert found.values.min() > 0
    assert 4790 < found.wave[0] < 4810


def test_the_telluric_curve_ends_in_ones() -> None:
    found = telluric_curve(extend(corrected(), EXTREME_RANGE, 150.0))
    assert found is not None
    np.testing.assert_allclose(found.at(WAVE, outside=1.0), transmission(WAVE), atol=3e-3)
    near = found.at([7600.0, 7625.0, 7650.0])
    np.testing.assert_allclose(near, transmission(np.array([7600.0, 7625.0, 7650.0])), atol=2e-3)
    assert found.errors.max() == 0.1
    assert found.errors.min() == 1e-4
    assert telluric_curve(measured()) is None


def test_a_throughput_of_one_counts_every_photon() -> None:
    photons = 6.62607015e-27 * 2.99792458e18 / WAVE  # [erg]
    perfect = 2.5 * np.log10(EFFECTIVE_AREA / photons)
    np.testing.assert_allclose(throughput(WAVE, perfect, EFFECTIVE_AREA), 1, rtol=1e-12)


def test_means_and_zero_points_are_those_of_the_throughput() -> None:
    values = 0.2 + 1e-5 * (WAVE - 7000)
    assert mean_throughput(WAVE, values, 7000.0) == pytest.approx(0.2)
    assert np.isnan(mean_throughput(WAVE, values, 3000.0))
    box = ((WAVE > 6000) & (WAVE < 8000)).astype(float)
    flat = Curve.of([3000.0, 11000.0], [1.0, 1.0])
    assert zero_point(WAVE, values, flat, box) == pytest.approx(-2.5 * np.log10(0.2), abs=1e-4)
    assert np.isnan(zero_point(WAVE, values, flat, 0 * box))


def test_a_zero_point_does_not_depend_on_the_sampling() -> None:
    values, box = 0.2 + 1e-4 * (WAVE - 7000), ((WAVE > 6000) & (WAVE < 8000)).astype(float)
    flat = Curve.of([3000.0, 11000.0], [1.0, 1.0])
    rough = (WAVE < 6900) | (np.arange(WAVE.size) % 4 == 0)
    assert zero_point(WAVE[rough], values[rough], flat, box[rough]) == pytest.approx(
        zero_point(WAVE, values, flat, box), abs=2e-3
    )


def test_errors_between_nodes_are_those_of_both() -> None:
    curve = Curve.of([1.0, 2.0, 4.0], [0.0, 0.0, 0.0], [3.0, 4.0, 6.0])
    np.testing.assert_allclose(curve.error_at([0.5, 1.0, 1.5, 2.0, 4.0, 5.0]), [0, 3, np.hypot(1.5, 2.0), 4, 6, 0])
    np.testing.assert_allclose(Curve.of([1.0], [1.0], [2.0]).error_at([1.0, 3.0]), [2, 0])
