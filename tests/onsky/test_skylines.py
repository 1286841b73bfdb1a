"""Emission lines of the sky are modelled and fitted."""

from __future__ import annotations

import numpy as np
import pytest

from core.errors import DataError
from core.onsky.skylines import LineLight, SkyLines, average_lsf, continuum_of, fit_lines, lines_of_transitions
from core.onsky.skyspectrum import MeanSpectrum
from core.spectral.lsf_cube import LsfImage

STEP = 0.3125


def gaussians(*sigmas: float, shift: float = 0.0) -> LsfImage:
    """Line-spread functions at 5000, 7000 and 9000 Angstrom, of 101 steps of 0.1 Angstrom."""
    x = -5 + 0.1 * np.arange(101)
    rows = np.array([np.exp(-((x - shift) ** 2) / 2 / sigma**2) for sigma in sigmas])
    return LsfImage(rows, -5.0, 0.1, 5000.0, 2000.0)


LSF = gaussians(1.0, 1.1, 1.3)
LINES = SkyLines(
    np.array(["a1", "a2", "b1", "b2", "c1"]),
    np.array([3, 3, 7, 7, 1]),
    np.array([6300.0, 6363.0, 6500.0, 6533.0, 5577.3]),
    np.array([100.0, 33.0, 50.0, 60.0, 300.0]),
)


def test_a_line_has_its_flux() -> None:
    wave = np.arange(6200, 6400, 0.05)
    light = LineLight.of(LINES.only(np.array([0])), LSF).at(wave)
    assert light.sum() * 0.05 == pytest.approx(100, rel=1e-3)
    assert (light @ wave) / light.sum() == pytest.approx(6300, abs=1e-3)


@pytest.mark.parametrize("shift", [0.0, 0.35])
def test_light_is_that_of_the_profiles(shift: float) -> None:
    lsf = gaussians(1.0, 1.1, 1.3, shift=shift)
    wave = np.random.default_rng(1).permutation(np.arange(5500, 6600, 0.7))
    expected = sum(f * lsf(wave - w, w) for w, f in zip(LINES.wave.tolist(), LINES.flux.tolist(), strict=True))
    np.testing.assert_allclose(LineLight.of(LINES, lsf).at(wave), expected, atol=1e-9)
    light = LineLight.of(LINES, lsf).at(wave.astype(np.float32))
    np.testing.assert_allclose(light, expected, atol=0.1)


def test_a_slice_without_profile_has_no_light() -> None:
    empty = LsfImage(np.zeros((3, 101)), -5.0, 0.1, 5000.0, 2000.0)
    assert not LineLight.of(LINES, empty).at(np.arange(5000.0, 7000.0)).any()


def test_brightness_and_place_of_lines_are_recovered() -> None:
    wave = np.arange(5500, 6700, STEP)
    folded = LSF.folded(STEP)
    near = LINES.within(wave[0], wave[-1])
    assert near.group.tolist() == [0, 0, 1, 1, 2]
    factors = np.array([2.0, 0.5, 1.2])
    true = SkyLines(
        near.name, near.group, near.wave + 0.05 + 1e-5 * (near.wave - 7000), near.flux * factors[near.group]
    )
    continuum = 20 + 0.001 * (wave - 6000)
    data = LineLight.of(true, folded).at(wave) + continuum
    spectrum = MeanSpectrum(wave, data, np.full(wave.size, 4.0))
    fit = fit_lines(spectrum, near, folded)
    assert fit.converged, fit.message
    order = [fit.lines.name.tolist().index(name) for name in near.name]
    np.testing.assert_allclose(fit.lines.flux[order], true.flux, rtol=1e-5)
    np.testing.assert_allclose(fit.lines.wave[order], true.wave, atol=1e-4)
    assert np.all(np.diff(fit.lines.flux) <= 0)
    at, rest = continuum_of(spectrum, fit.lines, folded, 1.25)
    np.testing.assert_allclose(rest, 20 + 0.001 * (at - 6000), atol=2e-3)


def test_mean_profile_by_numbers_of_pixels() -> None:
    mean = average_lsf({1: gaussians(1, 1, 1), 2: gaussians(2, 2, 2), 3: gaussians(9, 9, 9)}, {1: 30, 2: 10, 3: 0})
    expected = (3 * gaussians(1, 1, 1).data + gaussians(2, 2, 2).data) / 4
    np.testing.assert_allclose(mean.data, expected)
    with pytest.raises(DataError):
        average_lsf({1: LSF}, {2: 10})


def test_transitions_of_oh() -> None:
    lines = lines_of_transitions(
        np.array(["P1", "P2", "Q1"]),
        np.array([8000.0, 8100.0, 7000.0]),
        np.array([6, 6, 7]),
        np.array([0.0, 2e-21, 1e-21]),
        np.array([1.5, 2.5, 1.5]),
        np.array([10.0, 10.0, 5.0]),
    )
    assert lines.group.tolist() == [0, 0, 1]
    weights = np.array([4.0, 6.0 * np.exp(-2e-21 / (1.3806504e-23 * 200))])
    expected = 20 * weights / weights.sum() * 1.98623e-8 / np.array([8000, 8100]) * 1e20 / 50
    np.testing.assert_allclose(lines.flux[:2], expected)
    both = LINES + lines
    assert both.group.tolist() == [3, 3, 7, 7, 1, 8, 8, 9]


def test_what_cannot_be_fitted_is_told() -> None:
    spectrum = MeanSpectrum(np.arange(5000, 5100, 1.0), np.zeros(100), np.ones(100))
    with pytest.raises(DataError, match="no line"):
        fit_lines(spectrum, LINES.within(5000, 5100), LSF)
    short = MeanSpectrum(np.array([6300.0, 6301.0]), np.zeros(2), np.ones(2))
    with pytest.raises(DataError, match="too short"):
        fit_lines(short, LINES.within(6300, 6301), LSF)
