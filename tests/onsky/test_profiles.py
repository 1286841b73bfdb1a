"""Profiles of stars are recovered."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import DataError
from core.onsky.profiles import Profile, Shape, fit_profile, moffat_radius

Y, X = (axis.ravel().astype(float) for axis in np.mgrid[1:42, 1:42])
TRUE = Profile(10.0, 5000.0, 20.3, 21.6, 2.2, 2.6, 0.1, 2.8)
START = Profile(0.0, 3000.0, 21.0, 21.0, 3.0, 3.0, 0.0, 2.5)


@pytest.mark.parametrize("shape", ["gaussian", "moffat"])
def test_a_profile_is_recovered(shape: Shape) -> None:
    found = fit_profile(shape, X, Y, TRUE.at(shape, X, Y), None, START).profile
    for name in ("background", "volume", "x", "y", "width_x", "width_y", "rho"):
        assert getattr(found, name) == pytest.approx(getattr(TRUE, name), rel=1e-4), name
    assert shape == "gaussian" or found.beta == pytest.approx(TRUE.beta, rel=1e-4)


@pytest.mark.parametrize("shape", ["gaussian", "moffat"])
def test_the_volume_is_the_sum_of_all_pixels(shape: Shape) -> None:
    y, x = np.mgrid[-600:601, -600:601] * 1.0
    star = Profile(0.0, 7.0, 0.2, -0.3, 2.0, 2.5, 0.2, 3.5)
    assert star.at(shape, x, y).sum() == pytest.approx(7.0, rel=2e-4)  # pixels are not integrated over


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 2**32 - 1))
def test_errors_are_those_of_the_pixels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = TRUE.at("moffat", X, Y) + rng.normal(0, 2.0, X.size)
    fit = fit_profile("moffat", X, Y, values, np.full(X.size, 2.0), START)
    for name in ("x", "y", "volume"):
        pull = (getattr(fit.profile, name) - getattr(TRUE, name)) / getattr(fit.errors, name)
        assert abs(pull) < 6, name


def test_only_what_is_free_moves() -> None:
    fit = fit_profile("gaussian", X, Y, TRUE.at("gaussian", X, Y), None, START, ("x", "y"))
    assert (fit.profile.width_x, fit.profile.background) == (START.width_x, START.background)
    assert fit.errors.width_x == 0 < fit.errors.x
    assert fit.profile.x == pytest.approx(TRUE.x, abs=0.05)


def test_bad_pixels_do_not_count() -> None:
    values = TRUE.at("gaussian", X, Y)
    values[::7] = np.nan
    assert fit_profile("gaussian", X, Y, values, None, START).profile.x == pytest.approx(TRUE.x, rel=1e-5)


def test_widths_at_half_maximum() -> None:
    star = Profile(0.0, 1.0, 0.0, 0.0, moffat_radius(4.0, 3.0), moffat_radius(5.0, 3.0), 0.0, 3.0)
    assert star.fwhm("moffat") == pytest.approx((4.0, 5.0))
    peak = star.at("moffat", [0.0], [0.0])[0]
    assert star.at("moffat", [2.0], [0.0])[0] == pytest.approx(peak / 2)
    assert star.fwhm("gaussian")[0] == pytest.approx(2.3548200450309493 * star.width_x)
    assert math.isclose(moffat_radius(4.0), 4.0 / 2 / math.sqrt(2**0.4 - 1))


def test_too_few_pixels_are_told() -> None:
    with pytest.raises(DataError, match="too few"):
        fit_profile("moffat", X[:5], Y[:5], X[:5], None, START)


def test_what_is_no_star_is_told() -> None:
    with pytest.raises(DataError):
        fit_profile("gaussian", X, Y, np.full(X.size, np.nan), None, START)
