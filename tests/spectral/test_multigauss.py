"""Cases marked R are documented reference cases of the pipeline (three Gaussians on 30 pixels)."""

import numpy as np
import pytest
from scipy.optimize import curve_fit

from core.errors import DataError
from core.spectral.linefit import CONVERGED, SINGULAR, fit_gaussian
from core.spectral.multigauss import fit_multigauss


def gauss(x, center, sigma, area):
    return area / np.sqrt(2 * np.pi) / sigma * np.exp(-0.5 * ((x - center) / sigma) ** 2)


@pytest.fixture
def triplet():
    x = np.arange(1.0, 31.0)
    y = gauss(x, 10, 0.5, 10) + gauss(x, 15, 0.5, 1000) + gauss(x, 25, 0.5, 100)
    return x, y, (np.sqrt(y) + 0.01) ** 2


def test_triplet_from_exact_centres_and_unit_fluxes(triplet):  # R
    x, y, variance = triplet
    fit = fit_multigauss(x, y, variance, [10, 15, 25], [1, 1, 1], sigma=0.4)
    assert fit.status == CONVERGED
    assert fit.centers == pytest.approx([10, 15, 25], abs=1e-6)
    assert fit.areas == pytest.approx([10, 1000, 100], rel=1e-5)
    assert fit.sigma == pytest.approx(0.5, abs=1e-6)
    assert fit.background == pytest.approx((0, 0), abs=1e-5)


@pytest.mark.parametrize(("last", "sigma"), [(25.5, 0.4), (25.3, 0.45)])
def test_triplet_from_wrong_centres_without_fluxes_and_background(triplet, last, sigma):  # R
    x, y, variance = triplet
    fit = fit_multigauss(x, y, variance, [10.1, 14.8, last], sigma=sigma, background=None)
    assert fit.centers == pytest.approx([10, 15, 25], abs=1e-5)
    assert fit.sigma == pytest.approx(0.5, abs=1e-5)
    assert fit.background == (0.0, 0.0)


def test_frozen_width_stays(triplet):  # R
    x, y, variance = triplet
    fit = fit_multigauss(x, y, variance, [10, 15, 25], [10, 1000, 100], sigma=2.0, freeze_sigma=True)
    assert fit.sigma == 2.0


def test_blend_agrees_with_scipy_in_values_and_errors():
    rng = np.random.default_rng(4)
    x = np.arange(500.0, 530.0)

    def model(x, c0, c1, s, p1, p2, f1, f2):
        return c0 + c1 * (x - 515) + gauss(x, p1, s, f1) + gauss(x, p2, s, f2)

    truth = (30.0, 0.5, 0.95, 512.2, 515.0, 4000.0, 2500.0)
    variance = model(x, *truth)
    y = rng.normal(variance, np.sqrt(variance))
    fit = fit_multigauss(x, y, variance, [512, 515.3], [1000, 1000], sigma=0.88671, background=(0, 0))
    best, cov = curve_fit(model, x, y, p0=truth, sigma=np.sqrt(variance), absolute_sigma=True)
    error = np.sqrt(np.diag(cov))
    assert fit.status == CONVERGED
    # minima of the same chi^2
    assert np.all(np.abs(fit.centers - best[3:5]) < 2e-3 * error[3:5])
    assert np.all(np.abs(fit.areas - best[5:7]) < 2e-3 * error[5:7])
    assert np.sqrt(np.diag(fit.covariance))[2:] == pytest.approx(error[2:], rel=2e-3)
    assert fit.background[0] + 515 * fit.background[1] == pytest.approx(best[0], abs=2e-3 * error[0])


def test_one_member_is_a_single_gaussian():
    x = np.arange(13.0)
    y = gauss(x, 6.4, 0.9, 500) + 3
    assert fit_multigauss(x, y, None, [6], sigma=0.8).centers[0] == pytest.approx(fit_gaussian(x, y).center, abs=1e-6)


def test_line_outside_the_window_is_singular_not_an_exception():
    x = np.arange(13.0)
    fit = fit_multigauss(x, gauss(x, 6, 1, 100), None, [6, 60], [100, 100])
    assert fit.status == SINGULAR
    assert np.isnan(fit.covariance).all()


def test_unequal_numbers_of_centres_and_areas_are_refused():
    with pytest.raises(DataError, match="2 centres but 1 areas"):
        fit_multigauss(np.arange(13.0), np.ones(13), None, [4, 8], [1])
