"""Cases marked R are documented reference cases: three Gaussian rows, applied, re-centred and folded."""

import numpy as np
import pytest

from core.spectral.line_pixels import LinePixels
from core.spectral.lsf_cube import LsfImage, fit_lsf_image

OFFSETS = [-3, -1.25, -0.62, 0, 0.3, 1.25, 2.5, 4.9, 5.2]


def three_rows(shift=0.0):
    x = -5 + 0.1 * np.arange(101)
    rows = [np.exp(-0.5 * ((x - shift) / sigma) ** 2) for sigma in (1.0, 1.1, 1.3)]
    return LsfImage(np.array(rows), -5.0, 0.1, 5000.0, 2000.0)


@pytest.mark.parametrize(
    ("wave", "expected"),
    [
        (4500, [0.004432, 0.182777, 0.329031, 0.398942, 0.381388, 0.182777, 0.017528, 0.000002, 0]),
        (6000, [0.006719, 0.186673, 0.318683, 0.379946, 0.364651, 0.186673, 0.022704, 0.000010, 0]),
        (8123, [0.016391, 0.192069, 0.287928, 0.329100, 0.318976, 0.192069, 0.039988, 0.000159, 0]),
        (9400, [0.021409, 0.193296, 0.273820, 0.306910, 0.298846, 0.193296, 0.048301, 0.000252, 0]),
    ],
)
def test_applied_profile(wave, expected):  # R
    assert three_rows()(OFFSETS, wave) == pytest.approx(expected, abs=2e-6)


def test_shifted_profile_is_recentred():  # R
    expected = [0.006770, 0.186577, 0.318619, 0.379514, 0.364274, 0.186588, 0.022822, 0, 0]
    assert three_rows(0.35)(OFFSETS, 6000) == pytest.approx(expected, abs=2e-6)


def test_folding_with_a_pixel():  # R
    folded = three_rows().folded(1.25)
    expected = [0.013207, 0.134310, 0.551736, 0.801247, 0.938124, 0.801247, 0.551736, 0.134310]
    assert folded.data[0, np.array([20, 30, 40, 45, 51, 57, 62, 72]) - 1] == pytest.approx(expected, abs=2e-6)
    expected = [0.009567, 0.190732, 0.306707, 0.358375, 0.345581, 0.190732, 0.028841, 0.000039, 0]
    # what is folded in from beyond the image at 4.9 A is nobody's truth
    assert folded(OFFSETS, 6000) == pytest.approx(expected, abs=2e-5)


def test_sum_and_centroid_of_the_applied_profile():  # R
    x = np.arange(-10, 10, 0.02)
    for wave in np.linspace(4500, 9500, 11):
        values = three_rows(0.2)(x, wave)
        assert values.sum() * 0.02 == pytest.approx(1, abs=1e-3)
        assert (values * x).sum() * 0.02 == pytest.approx(0, abs=1e-4)


def line_pixels(n_lines=40, sigma=1.05, noise=0.002, seed=3):
    rng = np.random.default_rng(seed)
    lines = np.linspace(4700, 9250, n_lines)
    n = 900
    d = np.sort(rng.uniform(-8.2, 8.2, (n_lines, n)), axis=1)
    flux = 10 ** rng.uniform(3, 5, n_lines)
    width = sigma + 0.05 * (lines - 7000) / 2300
    shape = np.exp(-0.5 * (d / width[:, None]) ** 2) / np.sqrt(2 * np.pi) / width[:, None]
    data = flux[:, None] * (shape + rng.normal(0, noise, d.shape)) + 7.0
    return LinePixels(
        np.arange(n_lines + 1) * n, lines, flux, np.full(n_lines, 7.0), (lines[:, None] + d).ravel(),
        data.ravel().astype("f4"), np.ones(n_lines * n, "f4"), np.zeros(n_lines * n, "i2"),
        np.zeros(n_lines * n, "i2"),
    )  # fmt: skip


def test_fitted_image_is_the_true_profile():
    image, bad = fit_lsf_image(line_pixels())
    assert not bad.any()
    assert image.data.shape == (30, 150)
    assert image.step_x == pytest.approx(0.100671, abs=1e-6)
    assert image.step_wave == pytest.approx(160.3448, abs=1e-4)
    assert image.data.sum(axis=1) * image.step_x == pytest.approx(np.ones(30))
    for row, wave in enumerate(image.first_wave + image.step_wave * np.arange(30)):
        width = 1.05 + 0.05 * (wave - 7000) / 2300
        true = np.exp(-0.5 * (image.x / width) ** 2) / np.sqrt(2 * np.pi) / width
        # a parabola over +-0.7 A flattens the peak a little
        assert np.abs(image.data[row] - true).max() < 0.012
    expected = 2.3548 * (1.05 + 0.05 * (np.linspace(4650, 9300, 30) - 7000) / 2300)
    assert image.fwhm() == pytest.approx(expected, rel=0.03)


def test_fitted_image_rises_and_falls():  # R
    image, _ = fit_lsf_image(line_pixels(), lsf_range=5.95, lsf_size=120)
    mean = image.data.mean(axis=0)
    assert mean[0] < 0.02
    assert mean[-1] < 0.02
    assert mean[60] > 0.2
    assert np.all(np.diff(mean[:54]) > -0.01)
    assert np.all(np.diff(mean[66:]) < 0.01)


def test_moments_agree_with_a_direct_fit():
    pixels = line_pixels(12)
    image, _ = fit_lsf_image(pixels)
    index = pixels.line_of
    d = pixels.wave - pixels.line_wave[index]
    v = (pixels.data - 7.0) / pixels.line_flux[index]
    raw = np.zeros((30, 150))
    rows = (np.linspace(4650, 9300, 30) - 6975) / 2325
    for i, x in enumerate(image.x):
        near = np.abs(d - x) <= 0.7
        basis = np.polynomial.polynomial.polyvander2d(
            d[near] - x, (pixels.line_wave[index][near] - 6975) / 2325, [2, 3]
        )
        coef, *_ = np.linalg.lstsq(basis, v[near], rcond=None)
        raw[:, i] = np.polynomial.polynomial.polyvander2d(np.zeros(30), rows, [2, 3]) @ coef
    raw /= raw.sum(axis=1, keepdims=True) * image.step_x
    # the first and last columns look at a shifted window
    assert image.data[:, 1:-1] == pytest.approx(raw[:, 1:-1], abs=2e-4)


def test_columns_without_pixels_are_flagged():
    pixels = line_pixels(1)
    image, bad = fit_lsf_image(pixels)
    assert bad.all()  # one line cannot tell a cubic in wavelength
    assert not image.data.any()
