"""Slices are brought to one level by the sky in each."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import DataError
from core.formats.pixtable_origin import encode_origin
from core.onsky.autocal import SliceFactors, SliceSums, clip, measure_factors, wave_edges

EDGES = np.array([4000.0, 5000.0, 6000.0, 7000.0, 8000.0, 9000.0])
COLUMNS, ROWS = 40, 51  # a column counts with more than 50 rows, a slice with more than 20 columns
Rows = tuple[np.ndarray, np.ndarray, np.ndarray]


def rows_of(ifu: int, slice_no: int, level: float, columns: int = COLUMNS) -> Rows:
    """Rows of a slice in all bins, column by column; a source covers the first three columns."""
    y, x = (axis.ravel() for axis in np.mgrid[1 : 5 * ROWS + 1, 1 : columns + 1])
    wave = (4010 + 1000 * ((y - 1) // ROWS) + (y - 1) % ROWS).astype(np.float32)
    noise = np.random.default_rng([ifu, slice_no]).normal(0, 0.5, x.size)
    data = (level * (100 + wave / 100 + noise) + np.where(x <= 3, 80, 0)).astype(np.float32)
    return encode_origin(x, y, ifu, slice_no, 0), wave, data


def measured(levels: dict[tuple[int, int], float], **few: int) -> SliceFactors:
    sums = SliceSums(EDGES)
    for place, level in levels.items():
        sums.add(*rows_of(*place, level, few.get(f"slice{place[1]}", COLUMNS)))
    return measure_factors(sums)


@pytest.fixture(scope="module")
def levels() -> dict[tuple[int, int], float]:
    rng = np.random.default_rng(3)
    return {(ifu, number): 1 + 0.02 * rng.normal() for ifu in (3, 20) for number in range(1, 49)}


def test_slices_come_to_the_level_of_their_mean(levels: dict[tuple[int, int], float]) -> None:
    found = measured(levels)
    mean = np.mean(list(levels.values()))
    for (ifu, number), level in levels.items():
        assert found.factors[:, ifu - 1, number - 1] == pytest.approx(mean / level, rel=2e-3)
    assert (found.rows[:, 2] == COLUMNS * ROWS).all()
    assert (found.factors[:, 3:19] == 1).all()  # of IFUs that are not there
    origin, wave, data = rows_of(3, 1, levels[3, 1])
    values, variances = found.multiply(origin, wave, data, data)
    assert values / data == pytest.approx(found.factors[0, 2, 0], rel=2e-3)
    np.testing.assert_allclose(variances / data, (values / data) ** 2, rtol=1e-6)


def test_a_slice_of_few_columns_is_as_bright_as_its_half(levels: dict[tuple[int, int], float]) -> None:
    found = measured({**levels, (3, 30): 3.0}, slice30=23)
    half = np.mean([level for (ifu, number), level in levels.items() if ifu == 3 and number > 24 and number != 30])
    others = np.mean([level for place, level in levels.items() if place not in ((3, 30), (20, 30))])
    assert found.factors[:, 2, 29] == pytest.approx(others / half, rel=3e-3)


def test_the_other_half_tells_where_most_of_one_is_missing(levels: dict[tuple[int, int], float]) -> None:
    few = {f"slice{number}": 10 for number in range(1, 11)}  # 14 of 24 are left
    found = measured({place: 2.0 if place[1] <= 24 else 1.0 for place in levels}, **few)
    assert found.factors[0, 2, 0] == pytest.approx(found.factors[0, 2, 40], rel=3e-3)


def test_a_level_that_is_far_from_all_others_is_that_of_the_half(levels: dict[tuple[int, int], float]) -> None:
    found = measured({**levels, (3, 12): 8.0})
    assert found.factors[:, 2, 11] == pytest.approx(1.0, abs=0.02)


def test_a_bin_unlike_those_beside_is_their_mean(levels: dict[tuple[int, int], float]) -> None:
    sums = SliceSums(EDGES)
    for place, level in levels.items():
        origin, wave, data = rows_of(*place, level)
        if place == (3, 5):
            data[(wave > 6000) & (wave < 7000)] *= 1.08
        sums.add(origin, wave, data)
    found = measure_factors(sums)
    assert found.measured[2, 2, 4] == pytest.approx(found.factors[1, 2, 4] / 1.08, rel=3e-3)
    assert found.factors[2, 2, 4] == pytest.approx(found.factors[1, 2, 4], rel=3e-3)
    assert (found.factors != found.measured).sum() == 1


def test_without_sky_nothing_changes() -> None:
    found = measure_factors(SliceSums(EDGES))
    assert (found.factors == 1).all()
    origin, wave, data = rows_of(1, 1, 1.0)
    assert (found.multiply(origin, wave + np.float32(5000), data, data)[0] == data).all()  # beyond all bins


def test_the_notch_has_one_bin() -> None:
    assert (wave_edges(False).size, wave_edges(True).size) == (21, 20)
    assert set(wave_edges(False)) - set(wave_edges(True)) == {5850.0}


def test_rows_of_no_slice_are_an_error() -> None:
    origin, wave, data = rows_of(24, 48, 1.0)
    with pytest.raises(DataError, match="origin"):
        SliceSums(EDGES).add(origin + np.int32(1), wave, data)


def test_outliers_are_left_out_until_too_few_are_left() -> None:
    values = np.array([*np.linspace(9.9, 10.1, 21), 50.0, -30.0])
    assert clip(values, 20, robust=True).mean == pytest.approx(10.0)
    assert clip(values, 22, robust=True).n == 23
    assert clip(np.full(5, 2.0), 3, robust=True) == clip(np.full(5, 2.0), 3, robust=False)


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=40), st.booleans())
def test_what_is_left_is_enough_and_within_the_values(values: list[float], robust: bool) -> None:
    found = clip(np.array(values), 15, robust=robust)
    assert found.n >= min(15, len(values))
    assert min(values) - 1e-9 <= found.mean <= max(values) + 1e-9
