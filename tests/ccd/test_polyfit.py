"""Polynomials come out in plain powers of the FITS coordinate, whatever its range."""

import numpy as np
import pytest

from core.ccd.polyfit import evaluate_polynomial, fit_polynomial
from core.errors import DataError


@pytest.mark.parametrize("order", [0, 1, 5, 12])
def test_polynomial_is_recovered_on_detector_rows(order: int) -> None:
    rng = np.random.default_rng(order)
    y = np.arange(16.5, 4100, 32)
    truth = rng.normal(size=order + 1) * 2000.0 ** -np.arange(order + 1.0)
    fit = fit_polynomial(y, np.polynomial.polynomial.polyval(y, truth), order)
    # High orders in plain powers are ill conditioned: the value counts, not the coefficient.
    np.testing.assert_allclose(
        evaluate_polynomial(fit.coefficients, y), np.polynomial.polynomial.polyval(y, truth), atol=1e-9
    )
    assert fit.mse < 1e-20


def test_noisy_fit_equals_plain_least_squares() -> None:
    rng = np.random.default_rng(1)
    x = np.sort(rng.uniform(1, 300, 60))
    y = 3 + 0.2 * x - 1e-3 * x**2 + rng.normal(0, 0.1, 60)
    fit = fit_polynomial(x, y, 2)
    np.testing.assert_allclose(fit.coefficients, np.polynomial.polynomial.polyfit(x, y, 2), rtol=1e-9)
    residuals = y - evaluate_polynomial(fit.coefficients, x)
    assert fit.mse == pytest.approx(np.mean(residuals**2), rel=1e-9)
    assert fit.chi_square == pytest.approx(np.sum(residuals**2) / 57, rel=1e-9)
    assert fit.kept.all()


def test_outliers_are_rejected_and_named() -> None:
    rng = np.random.default_rng(2)
    x = np.arange(100.0)
    y = 1 + 0.5 * x + rng.normal(0, 0.01, 100)
    y[[7, 50]] += 3
    y[80] = np.nan
    fit = fit_polynomial(x, y, 1, sigma=5)
    assert np.flatnonzero(~fit.kept).tolist() == [7, 50, 80]
    np.testing.assert_allclose(fit.coefficients, [1, 0.5], atol=0.01)


def test_exact_points_survive_rejection() -> None:
    x = np.arange(10.0)
    fit = fit_polynomial(x, np.full(10, 4.0), 0, sigma=5)
    assert fit.kept.all()
    np.testing.assert_allclose(fit.coefficients, [4.0], rtol=1e-15)


def test_too_few_points_are_told() -> None:
    with pytest.raises(DataError, match="3 points left"):
        fit_polynomial([1.0, 2.0, 3.0, np.nan], [1.0, 2.0, 3.0, 4.0], 3)


def test_one_position_is_not_enough_for_a_line() -> None:
    with pytest.raises(DataError, match="different positions"):
        fit_polynomial([5.0, 5.0, 5.0], [1.0, 2.0, 3.0], 1)
