import numpy as np
import pytest

from core.errors import DataError
from core.spectral.iterfit import iterate_fit


def clipped_polyfit(x, y, order, k):
    """The same rule in numpy, as oracle."""
    kept = np.isfinite(x) & np.isfinite(y)
    while True:
        p = np.polynomial.Polynomial.fit(x[kept], y[kept], order)
        rms = np.sqrt(np.mean((y - p(x))[kept] ** 2))
        drop = kept & ~(np.abs(y - p(x)) < k * rms)
        if not drop.any():
            return p, kept, rms
        kept &= ~drop


@pytest.mark.parametrize("order", [0, 1, 2, 6])
def test_agrees_with_numpy(order):
    rng = np.random.default_rng(order)
    x = np.sort(rng.uniform(1, 4112, 60))
    y = 5000 + 1.25 * x + rng.normal(0, 0.1, 60)
    y[[3, 40]] += 5000
    y[7] = np.nan
    fit = iterate_fit(x, y, order, 2.5)
    poly, kept, rms = clipped_polyfit(x, y, order, 2.5)
    np.testing.assert_array_equal(fit.kept, kept)
    assert fit.rms == pytest.approx(rms, rel=1e-9)
    assert fit(x) == pytest.approx(poly(x), rel=1e-10)
    assert fit.derivative(x) == pytest.approx(poly.deriv()(x), rel=1e-8, abs=1e-12)


def test_outliers_do_not_survive():
    x = np.arange(40.0)
    y = 0.01 * x**2
    y[11] += 3.0
    rng = np.random.default_rng(0)
    fit = iterate_fit(x, y + rng.normal(0, 0.01, 40), 2, 3.0)
    assert not fit.kept[11]
    assert fit.kept.sum() > 35


def test_too_few_points_are_an_error():
    with pytest.raises(DataError, match="too few"):
        iterate_fit([1.0, 2.0], [1.0, 2.0], 2, 3.0)


def test_unsupported_order_is_an_error():
    with pytest.raises(DataError, match="order 13"):
        iterate_fit(np.arange(30.0), np.arange(30.0), 13, 3.0)
