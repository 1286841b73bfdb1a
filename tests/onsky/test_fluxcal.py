"""Counts become fluxes."""

from __future__ import annotations

import numpy as np
import pytest

from core.errors import DataError
from core.onsky.fluxcal import Curve, FluxCalibration

RESPONSE = Curve.of([4500.0, 5500.0, 7000.0, 9500.0], [41.0, 41.6, 41.5, 41.4], [0.02, 0.01, 0.01, 0.03])
EXTINCTION = Curve.of([4000.0, 5000.0, 6000.0, 8000.0, 10000.0], [0.3, 0.15, 0.1, 0.04, 0.02])
TELLURIC = Curve.of([6800.0, 6900.0, 7000.0, 7600.0, 7650.0], [1, 0.8, 1, 0.5, 0.9], [1e-4, 0.1, 1e-4, 0.1, 0.1])
WAVES = np.array([4600, 5200, 6200, 6850, 6900, 7300, 7620, 9000], np.float32)
# What the reference pipeline makes of 1000 +- 20 counts in 600 s: fluxes and variances [1e-20 erg/s/cm**2/Angstrom].
CASES = {
    "extinction, telluric": (
        [6425.59, 4248.69, 3560.32, 4216.63, 4818.08, 6215.67, 6943.9, 3734.4],
        [38468.2, 13143.3, 8855.42, 45688.8, 148450, 61387, 105087, 88527.8],
    ),
    "extinction": (
        [6425.59, 4248.69, 3560.32, 3621.51, 3626.26, 3637.58, 3639.5, 3734.4],
        [38468.2, 13143.3, 8855.42, 9515.95, 9602.9, 9694.89, 9946.78, 16009.9],
    ),
    "": (
        [5022.72, 3605.28, 3188.64, 3318.48, 3328.68, 3386.4, 3426.56, 3605.28],
        [23504.6, 9463.94, 7103, 7990.08, 8091.51, 8402.25, 8816.9, 14921.9],
    ),
}


def calibration(parts: str) -> FluxCalibration:
    return FluxCalibration(
        RESPONSE,
        EXTINCTION if "extinction" in parts else None,
        TELLURIC if "telluric" in parts else None,
        1.2735033327204441,
        600.0,
    )


@pytest.mark.parametrize("parts", CASES)
def test_fluxes_are_those_of_the_reference(parts: str) -> None:
    data, stat = np.full(WAVES.size, 1000, np.float32), np.full(WAVES.size, 400, np.float32)
    expected = list(CASES[parts])
    if "telluric" in parts:  # beyond its table the reference goes on with the last error
        expected[1] = [*expected[1][:-1], CASES["extinction"][1][-1]]
    flux, variance, known = calibration(parts).apply(WAVES, data, stat)
    assert known.all()
    np.testing.assert_allclose(flux, expected[0], rtol=5e-6)
    np.testing.assert_allclose(variance, expected[1], rtol=2e-5)


def test_the_order_of_pixels_does_not_matter() -> None:
    rng = np.random.default_rng(4)
    wave = rng.uniform(4500, 9500, 1000).astype(np.float32)
    data = rng.normal(100, 10, 1000).astype(np.float32)
    order = np.argsort(wave)
    shuffled = calibration("extinction, telluric").apply(wave, data, data)
    sorted_ = calibration("extinction, telluric").apply(wave[order], data[order], data[order])
    for mine, its in zip(shuffled, sorted_, strict=True):
        np.testing.assert_array_equal(mine[order], its)


def test_where_the_response_is_not_known_there_is_no_flux() -> None:
    one = np.ones(3, np.float32)
    flux, variance, known = calibration("").apply(np.array([4499, 4500, 9501], np.float32), one, one)
    assert known.tolist() == [False, True, False]
    assert np.isnan(flux).tolist() == np.isnan(variance).tolist() == [True, False, True]


@pytest.mark.parametrize("exptime", [0.0, -1.0, float("nan"), float("inf")])
def test_no_exposure_time_no_flux(exptime: float) -> None:
    with pytest.raises(DataError) as caught:
        FluxCalibration(RESPONSE, None, None, 1.0, exptime)
    assert caught.value.context["keyword"] == "EXPTIME"


def test_wavelengths_of_a_curve_ascend() -> None:
    with pytest.raises(DataError):
        Curve.of([2.0, 1.0], [0.0, 0.0])
    with pytest.raises(DataError):
        Curve.of([], [])


def test_a_curve_is_taken_from_data_as_it_is_interpolated() -> None:
    rng = np.random.default_rng(5)
    wave = np.append(rng.uniform(4400, 9600, 500), [4500, 7000, 9500]).astype(np.float32)
    data = rng.normal(100, 10, wave.size).astype(np.float32)
    for outside in (0.0, np.nan):
        expected = (data - RESPONSE.at(wave, outside)).astype(np.float32)
        np.testing.assert_array_equal(RESPONSE.taken_from(wave, data, outside), expected)
