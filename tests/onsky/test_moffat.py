"""The compiled fit of a Moffat function is the general one."""

from __future__ import annotations

from dataclasses import astuple, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import DataError
from core.onsky.moffat import fit_moffat
from core.onsky.profiles import Profile, fit_profile

Y, X = (axis.ravel().astype(float) for axis in np.mgrid[1:32, 1:32])
TRUE = Profile(10.0, 5000.0, 15.3, 16.6, 2.2, 2.6, 0.1, 2.8)
START = Profile(0.0, 3000.0, 16.0, 16.0, 3.0, 3.0, 0.0, 2.5)


def test_a_star_without_noise_is_recovered() -> None:
    found, _ = fit_moffat(X, Y, TRUE.at("moffat", X, Y), np.ones(X.size), START)
    np.testing.assert_allclose(astuple(found), astuple(TRUE), rtol=1e-5)


@settings(deadline=None, max_examples=8)
@given(st.integers(0, 2**32 - 1))
def test_values_and_error_are_those_of_the_general_fit(seed: int) -> None:
    rng = np.random.default_rng(seed)
    variances = TRUE.at("moffat", X, Y) + 20
    values = TRUE.at("moffat", X, Y) + rng.normal(0, np.sqrt(variances))
    found, error = fit_moffat(X, Y, values, variances, START)
    general = fit_profile("moffat", X, Y, values, np.sqrt(variances), START)
    np.testing.assert_allclose(astuple(found), astuple(general.profile), rtol=2e-3, atol=2e-3)
    assert error == pytest.approx(general.errors.volume, rel=1e-2)


def test_where_there_is_no_star_none_is_found() -> None:
    with pytest.raises(DataError, match="too few"):
        fit_moffat(X[:7], Y[:7], X[:7], X[:7], START)
    with pytest.raises(DataError, match="no moffat"):
        fit_moffat(X, Y, TRUE.at("moffat", X, Y), np.ones(X.size), replace(START, beta=0.5))
