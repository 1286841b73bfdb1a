"""Offsets of exposures are found from the stars that they have in common."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import DataError
from core.onsky.offsets import Field, find_offsets

RADII = (30.0, 4.0, 2.0, 0.8)


def exposures(offsets: list[tuple[float, float]], seed: int = 1, dec: float = -30.0, n: int = 20) -> list[Field]:
    """Stars of one field as exposures see them that are off so much [arcsec], with 0.02 arcsec of scatter."""
    rng = np.random.default_rng(seed)
    ra0, dec0 = 150 + rng.uniform(-30, 30, n) / 3600 / np.cos(np.radians(dec)), dec + rng.uniform(-30, 30, n) / 3600
    fields = []
    for ra, shift in offsets:
        seen = rng.random(n) < 0.8
        noise = rng.normal(0, 0.02 / 3600, (2, n))
        fields.append(((ra0 + ra / 3600 + noise[0])[seen], (dec0 + shift / 3600 + noise[1])[seen]))
    return fields


@settings(deadline=None, max_examples=15)
@given(
    st.lists(st.tuples(st.floats(-8, 8), st.floats(-8, 8)), min_size=2, max_size=5),
    st.integers(0, 1000),
    st.booleans(),
)
def test_offsets_are_recovered(offsets: list[tuple[float, float]], seed: int, weighted: bool) -> None:
    found = find_offsets(exposures(offsets, seed), RADII, weighted=weighted)
    true = np.array(offsets) - offsets[0]
    np.testing.assert_allclose(np.array([found.ra, found.dec]).T * 3600, true, atol=0.05)
    assert min(found.matches) >= 5


def test_the_first_field_has_no_offset() -> None:
    found = find_offsets(exposures([(3, 4), (0, 0)]), RADII)
    assert (found.ra[0], found.dec[0]) == (0, 0)


def test_a_field_without_matches_stays_where_it_is() -> None:
    fields = exposures([(0, 0), (2, 1)])
    fields.append((fields[0][0] + 1.0, fields[0][1]))
    found = find_offsets(fields, RADII)
    assert (found.matches[2], found.ra[2], found.dec[2]) == (0, 0, 0)
    assert (found.ra[1] * 3600, found.dec[1] * 3600) == pytest.approx((2, 1), abs=0.05)


def test_fields_across_right_ascension_0() -> None:
    fields = [((ra - 150) % 360, dec) for ra, dec in exposures([(0, 0), (2, -1)])]
    found = find_offsets(fields, RADII)
    assert (found.ra[1] * 3600, found.dec[1] * 3600) == pytest.approx((2, -1), abs=0.05)


def test_nothing_in_common_no_offsets() -> None:
    empty = np.zeros(0)
    found = find_offsets([(empty, empty), (np.array([150.0]), np.array([-30.0]))], RADII)
    assert (found.ra.tolist(), found.matches) == ([0, 0], (0, 0))


@pytest.mark.parametrize(("n", "radii"), [(1, RADII), (2, ()), (2, (30.0, -1.0))])
def test_what_makes_no_search_is_refused(n: int, radii: tuple[float, ...]) -> None:
    with pytest.raises(DataError):
        find_offsets(exposures([(0, 0)] * n), radii)
