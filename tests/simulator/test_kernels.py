"""The compiled loops of the simulator against plain numpy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtr

from core.ccd.geometry import Detector
from core.simulator.optics import EDGE_SIGMA
from core.simulator.scenes import continuum_image, line_image
from core.simulator.truth import InstrumentTruth, truth_for


@pytest.fixture(scope="module")
def truth() -> InstrumentTruth:
    return truth_for(6, detector=Detector(nx=2048, ny=40))


def _ramp(u: np.ndarray, sigma: float) -> np.ndarray:
    z = u / sigma
    return u * ndtr(z) + sigma * np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)


def _part(x: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Part of each pixel that a slice with soft edges covers."""

    def step(edge: np.ndarray) -> np.ndarray:
        return _ramp(x + 0.5 - edge, EDGE_SIGMA) - _ramp(x - 0.5 - edge, EDGE_SIGMA)

    return step(left) - step(right)


def _slit(truth: InstrumentTruth, s: int, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    left, right = truth.trace_left(s, y), truth.trace_right(s, y)
    q = (x - 0.5 * (left + right)) / (right - left)
    optics = truth.optics
    light = optics.throughput[s - 1] * (1 + optics.slit[s - 1, 0] * q + optics.slit[s - 1, 1] * q**2)
    return light * _part(x, left, right)


def _surroundings(truth: InstrumentTruth, s: int) -> tuple[tuple[slice, slice], np.ndarray, np.ndarray]:
    """Window of the image around a slice, and its FITS coordinates."""
    first, last = int(truth.trace_left(s, 40.5)) - 10, min(int(truth.trace_right(s, 40.5)) + 10, 4096)
    y, x = np.mgrid[1.0:81.0, float(first) : float(last + 1)]
    return (slice(0, 80), slice(first - 1, last)), x, y


def test_continuum_is_spectrum_times_slit(truth: InstrumentTruth) -> None:
    grid = np.arange(4100.0, 9900.0)
    spectrum = 1000.0 + 300.0 * np.sin(grid / 50.0)
    image = continuum_image(truth, spectrum)
    expected = np.zeros_like(image, np.float64)
    for s in range(1, 49):
        window, x, y = _surroundings(truth, s)
        near = (x > truth.trace_left(s, y) - 5.5) & (x < truth.trace_right(s, y) + 5.5)
        light = np.interp(truth.wavelength(s, x, y), grid, spectrum) * _slit(truth, s, x, y)
        expected[window] += np.where(near, light, 0.0)
    # float32, and wings cut off 5 pix outside the edges
    np.testing.assert_allclose(image, expected, rtol=1e-5, atol=1e-3)


def test_lines_are_integrated_over_pixels(truth: InstrumentTruth) -> None:
    wave, area = np.array([7000.0, 7012.5]), np.array([5000.0, 800.0])
    image = line_image(truth, wave, area)
    half = 0.5 * truth.optics.slit_width
    expected = np.zeros_like(image, np.float64)
    for s in range(1, 49):
        window, x, y = _surroundings(truth, s)
        for lam, light in zip(wave, area, strict=True):
            sigma = float(truth.optics.line_profile_sigma(s, lam))

            def below(
                edge: np.ndarray, s: int = s, x: np.ndarray = x, lam: float = lam, sigma: float = sigma
            ) -> np.ndarray:
                u = truth.wavelength(s, x, edge) - lam
                return (_ramp(u + half, sigma) - _ramp(u - half, sigma)) / (2 * half)

            profile = below(y + 0.5) - below(y - 0.5)
            expected[window] += np.where(profile > 1e-9, light * profile * _slit(truth, s, x, y), 0.0)
    # the slit is taken at the row of the line, not of the pixel: edges move by 1e-2 pix over a profile at most
    np.testing.assert_allclose(image, expected, rtol=2e-3, atol=5.0)
    assert np.abs(image - expected).mean() < 1e-3 * expected.mean()


def test_line_centroids_lie_at_their_wavelength() -> None:
    truth = truth_for(9, detector=Detector(nx=2048, ny=300))
    wave = np.array([6950.0, 7032.413])
    image = line_image(truth, wave, np.array([1e5, 1e5])).astype(np.float64)
    rows = np.arange(1.0, 601.0)
    misses = []
    for s in range(1, 49):
        for lam in wave:
            for x in np.linspace(truth.trace_left(s, 300.0) + 5, truth.trace_right(s, 300.0) - 5, 5).round():
                start = np.interp(lam, truth.wavelength(s, x, rows), rows)
                window = np.abs(rows - start) < 6.0
                if not 10.0 < start < 590.0:
                    continue
                counts = image[window, int(x) - 1]
                centroid = (counts * rows[window]).sum() / counts.sum()
                misses.append(float(truth.wavelength(s, x, centroid)) - lam)
    assert len(misses) > 250
    # Pixels sample the line too coarsely for an exact first moment: the aliasing of a 2.6 A slit on 1.25 A pixels
    # has an amplitude of 0.002 A with the phase of the line on the pixels, and averages out.
    assert np.abs(misses).max() < 3e-3
    assert abs(np.mean(misses)) < 2e-4


def test_line_area_is_the_sum_along_a_column(truth: InstrumentTruth) -> None:
    image = line_image(truth, np.array([7000.0]), np.array([1000.0]))
    slice_no = next(s for s in range(1, 49) if abs(truth.wavelength(s, truth.trace_center(s, 40.5), 40.5) - 7000) < 25)
    x = round(float(truth.trace_center(slice_no, 40.5)))
    column = image[:, x - 1].astype(np.float64).sum()
    assert column == pytest.approx(1000.0 * truth.optics.throughput[slice_no - 1], rel=2e-3)
