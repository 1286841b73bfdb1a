"""Cases marked R are documented reference cases of the profile."""

import numpy as np
import pytest

from core.errors import DataError
from core.spectral.lsf_hermite import HermiteLsf, LinePixelSet, fit_hermite

REFERENCE = HermiteLsf(2.51, 1.30, (0.444, -7.77e-6, 6e-8), (-0.47, 0.0), (1.777, 3.6e-4), (-0.3, 0.0), (2.86, 3.4e-4))


@pytest.mark.parametrize("wave", [4500.0, 6000.0, 7000.0, 8300.0, 9500.0])
def test_area_and_centroid(wave):  # R
    x = np.linspace(-10, 10, 1000)
    values = REFERENCE(x, wave)
    step = x[1] - x[0]
    assert values.sum() * step == pytest.approx(1, abs=1e-3)
    assert (values * x).sum() * step == pytest.approx(0, abs=1e-4)


def test_shape_at_6000():  # R
    assert np.all(REFERENCE([-20.0, 20.0], 6000.0) <= 1e-3)
    assert np.all(REFERENCE([-2.0, 2.7], 6000.0) <= 0.1)
    assert REFERENCE(0.1, 6000.0) >= 0.1


def test_without_hermite_terms_it_is_a_gaussian_in_two_boxes():
    lsf = HermiteLsf(2.61, 1.25, (0.6, 0, 0))
    x = np.arange(-20, 20, 0.01)

    def box(width):
        n = round(width / 0.01)
        return np.ones(n) / n

    gauss = np.exp(-0.5 * (x / 0.6) ** 2) / np.sqrt(2 * np.pi) / 0.6
    expected = np.convolve(np.convolve(gauss, box(2.61), "same"), box(1.25), "same")
    # boxes of 261 and 125 samples are exact to half a sample
    assert np.abs(lsf(x, 7000.0) - expected).max() < 1e-3


def pixel_set(lsf, seed=2):
    rng = np.random.default_rng(seed)
    lines = np.array([4800.0, 5090, 5460, 5770, 5791, 6143, 6402, 6678, 7032, 7245, 7642, 8231, 8409, 8819, 9045])
    flux = rng.uniform(3e3, 3e4, lines.size)
    wave = np.sort(np.concatenate([rng.uniform(line - 7, line + 7, 900) for line in lines]))
    clean = sum(f * lsf(wave - line, line) * (np.abs(wave - line) <= 7) for f, line in zip(flux, lines, strict=True))
    error = np.sqrt(clean + 4)
    return LinePixelSet(wave, rng.normal(clean, error), error, lines, np.ones(lines.size)), flux


def test_fit_recovers_profile_and_fluxes():
    truth = HermiteLsf(2.61, 1.25, (0.55, 2e-5, 0.0), (0.05, 0.0), (0.2, 1e-5))
    pixels, flux = pixel_set(truth)
    fit = fit_hermite(pixels)
    assert fit.flux == pytest.approx(flux, rel=0.03)
    x = np.linspace(-5, 5, 101)
    for wave in (4800.0, 7000.0, 9000.0):
        # the parameters are degenerate, the profile is not: its peak is 0.33 per Angstrom
        assert np.abs(fit.lsf(x, wave) - truth(x, wave)).max() < 0.006
    assert np.abs(fit.lsf.fwhm() / truth.fwhm() - 1).max() < 0.03


def test_width_of_a_known_profile():
    # a narrow Gaussian in boxes of 2.61 and 1.25: a trapezium, half maximum at +-1.305
    assert HermiteLsf(2.61, 1.25, (0.05, 0, 0)).fwhm() == pytest.approx(np.full(30, 2.61), abs=0.005)


def test_too_few_pixels_are_an_error():
    with pytest.raises(DataError, match="too few"):
        fit_hermite(LinePixelSet(np.zeros(3), np.zeros(3), np.ones(3), np.array([5000.0]), np.ones(1)))
    pixels, _ = pixel_set(REFERENCE)
    far = LinePixelSet(pixels.wave, pixels.data, pixels.error, np.append(pixels.lines, 9300.0), np.ones(16))
    with pytest.raises(DataError, match="no pixels"):
        fit_hermite(far)
