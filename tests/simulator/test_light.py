"""Spectra on places in the field against plain numpy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import cumulative_simpson
from scipy.special import ndtr

from core.ccd.geometry import Detector
from core.instruments.muse.facts import SAMPLING
from core.simulator import light_kernels
from core.simulator.light import WAVE_GRID, Light, Spectrum, light_image
from core.simulator.scenes import continuum_image, line_image
from core.simulator.truth import InstrumentTruth, truth_for


@pytest.fixture(scope="module")
def truth() -> InstrumentTruth:
    return truth_for(6, detector=Detector(nx=2048, ny=40))


def _everywhere(x: np.ndarray, y: np.ndarray, wave: np.ndarray) -> np.ndarray:
    return np.ones_like(x)


def _center(truth: InstrumentTruth, slice_no: int, y: float) -> int:
    return round(float(truth.trace_center(slice_no, y)))


def test_spread_spectrum_is_the_convolution_with_slit_and_gaussian() -> None:
    wave = np.arange(6000.0, 7000.1, 0.25)
    continuum = 100.0 + 30.0 * np.sin(wave / 12.0) - 60.0 * np.exp(-0.5 * ((wave - 6500.0) / 2.0) ** 2)
    sigma, half = 0.5, 1.305
    cumulative, density = light_kernels.spread(
        6000.0, 0.25, continuum, np.array([6300.07]), np.array([5000.0]), np.array([sigma, 0.0, 0.0]), half
    )
    fine = np.arange(6000.0, 7000.01, 0.02)
    u = np.arange(-4.0, 4.01, 0.02)
    profile = (ndtr((u + half) / sigma) - ndtr((u - half) / sigma)) / (2 * half)
    expected = np.convolve(np.interp(fine, wave, continuum), profile * 0.02, "same")
    expected += 5000.0 * np.interp(fine - 6300.07, u, profile, left=0.0, right=0.0)
    inner = (wave > 6010.0) & (wave < 6990.0)
    # the profile is sampled at 0.25 Angstrom: 0.3 % of its width
    np.testing.assert_allclose(density[inner], np.interp(wave, fine, expected)[inner], rtol=2e-3)
    total = cumulative_simpson(expected, x=fine, initial=0.0)
    gain = cumulative[inner] - cumulative[inner][0]
    reference = np.interp(wave[inner], fine, total)
    np.testing.assert_allclose(gain, reference - reference[0], rtol=2e-4, atol=0.05)


def test_light_that_fills_the_field_is_that_of_lamps(truth: InstrumentTruth) -> None:
    """Continuum and lines agree with the scenes of lamps, which are rendered otherwise."""
    grid = np.arange(4100.0, 9900.0)
    flat = continuum_image(truth, 1000.0 + 300.0 * np.sin(grid / 50.0))
    spectrum = Spectrum(continuum=(1000.0 + 300.0 * np.sin(WAVE_GRID / 50.0)) / SAMPLING)
    image = light_image(truth, [Light(spectrum, _everywhere, chromatic=True)])
    np.testing.assert_allclose(image, flat, rtol=2e-4, atol=1.0)

    wave, area = np.array([6990.0, 7011.0]), np.array([8000.0, 3000.0])
    arc = line_image(truth, wave, area)
    image = light_image(truth, [Light(Spectrum(wave=wave, area=area), _everywhere)])
    slice_no = next(s for s in range(1, 49) if abs(truth.wavelength(s, truth.trace_center(s, 40.5), 40.5) - 7000) < 15)
    x = _center(truth, slice_no, 40.5)
    sampling = truth.wavelength(slice_no, x, 41.0) - truth.wavelength(slice_no, x, 40.0)
    column, reference = image[:, x - 1] * sampling / SAMPLING, arc[:, x - 1]
    # the sampling of a pixel is not exactly that of the middle row
    np.testing.assert_allclose(column, reference, rtol=2e-3, atol=0.5)


def test_pixel_is_the_mean_of_spectrum_times_brightness(truth: InstrumentTruth) -> None:
    slope, tilt = 1.0 / 300.0, 4e-4

    def brightness(x: np.ndarray, y: np.ndarray, wave: np.ndarray) -> np.ndarray:
        return (1.0 + slope * x - 0.5 * slope * y) * (1.0 + tilt * (wave - 7000.0))

    spectrum = Spectrum(continuum=1.0 + 1e-4 * (WAVE_GRID - 7000.0))
    image = light_image(truth, [Light(spectrum, brightness, chromatic=True)])
    for slice_no in (3, 17, 44):
        y = np.arange(1.0, 81.0)
        center = _center(truth, slice_no, 40.5)
        for x in (center - 20, center, center + 20):
            left, right = truth.trace_left(slice_no, y), truth.trace_right(slice_no, y)
            q = (x - 0.5 * (left + right)) / (right - left)
            slit = 1 + truth.optics.slit[slice_no - 1, 0] * q + truth.optics.slit[slice_no - 1, 1] * q**2
            fx, fy = truth.position(slice_no, x, y)
            wave = truth.wavelength(slice_no, x, y)
            expected = SAMPLING * truth.optics.throughput[slice_no - 1] * slit * (1.0 + 1e-4 * (wave - 7000.0))
            expected *= (1.0 + slope * fx - 0.5 * slope * fy) * (1.0 + tilt * (wave - 7000.0))
            # brightness times the slit is averaged over a point's image, and linear between places 0.25 pix apart
            np.testing.assert_allclose(image[:, x - 1], expected, rtol=3e-4)


def test_flexure_shifts_light_to_the_red(truth: InstrumentTruth) -> None:
    def centroid(flexure: float) -> float:
        spectrum = Spectrum(wave=np.array([7000.0]), area=np.array([1e4]))
        image = light_image(truth, [Light(spectrum, _everywhere)], flexure=flexure).astype(np.float64)
        total = moment = 0.0
        for slice_no in range(1, 49):
            x = _center(truth, slice_no, 40.5)
            wave = truth.wavelength(slice_no, x, np.arange(1.0, 81.0))
            if wave[8] < 7000.0 < wave[-8]:
                total += image[:, x - 1].sum()
                moment += (image[:, x - 1] * wave).sum()
        return moment / total

    assert centroid(0.4) - centroid(0.0) == pytest.approx(0.4, abs=2e-3)


def test_illumination_scales_slices(truth: InstrumentTruth) -> None:
    spectrum = Spectrum(continuum=np.full_like(WAVE_GRID, 100.0))
    factors = np.linspace(0.9, 1.1, 48)
    plain = light_image(truth, [Light(spectrum, _everywhere)])
    scaled = light_image(truth, [Light(spectrum, _everywhere)], illumination=factors)
    for slice_no in (1, 25, 48):
        x = _center(truth, slice_no, 40.5) - 1
        np.testing.assert_allclose(scaled[:, x] / plain[:, x], factors[slice_no - 1], rtol=1e-5)


def test_what_is_dark_leaves_no_light(truth: InstrumentTruth) -> None:
    spot = Light(
        Spectrum(continuum=np.full_like(WAVE_GRID, 100.0)),
        lambda x, y, wave: np.exp(-4.0 * ((x - 10.0) ** 2 + (y + 80.0) ** 2)),
    )
    image = light_image(truth, [spot])
    lit = np.flatnonzero(image.any(axis=0)) + 1
    seen = {s for s in range(1, 49) for x in lit if truth.trace_left(s, 40.5) < x < truth.trace_right(s, 40.5)}
    assert 0 < len(seen) < 12
    brightest = max(seen, key=lambda s: image[:, _center(truth, s, 40.5) - 40 : _center(truth, s, 40.5) + 40].sum())
    assert abs(truth.geometry.y[5, brightest - 1] + 80.0) < 1.0


def test_components_add_up_whatever_their_places(truth: InstrumentTruth) -> None:
    """Lights of one step are rendered together, those of another apart; the sum is the same."""

    def tilted(x: np.ndarray, y: np.ndarray, wave: np.ndarray) -> np.ndarray:
        return (1.0 + x / 400.0) * (1.0 + 1e-4 * (wave - 7000.0))

    lights = [
        Light(Spectrum(continuum=np.full_like(WAVE_GRID, 100.0)), _everywhere),
        Light(Spectrum(continuum=np.linspace(20.0, 90.0, len(WAVE_GRID))), tilted, chromatic=True),
        Light(Spectrum(wave=np.array([7003.0]), area=np.array([4000.0])), tilted, chromatic=True, step=0.5),
    ]
    apart = sum(light_image(truth, [light]).astype(float) for light in lights)
    np.testing.assert_allclose(light_image(truth, lights), apart, rtol=1e-6, atol=1e-4)
