"""Spoilt points of a slice are replaced where another measure has the width that the other slices suggest."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from core.ccd.trace_fit import EdgePoints, PointState
from core.ccd.trace_rescue import expected_widths, rescue_points

N = 40
NUMBERS = np.arange(48)
WIDTHS = 76.0 + 3.0 * ((NUMBERS - 23.5) / 23.5) ** 2
LEFT = 40.0 + 83.0 * NUMBERS
NO_FLAGS = np.zeros(4096, np.bool_)
Array = npt.NDArray[np.float64]


def points(
    left: dict[int, float] | None = None,
    right: dict[int, float] | None = None,
    rows: slice = slice(None),
    **states: int,
) -> EdgePoints:
    """Points of 48 slices; in some slices and rows the refined edges are shifted."""
    a, b = np.repeat(LEFT[:, None], N, axis=1), np.repeat((LEFT + WIDTHS)[:, None], N, axis=1)
    first_left, first_right = a.copy(), b.copy()
    state = np.zeros(a.shape, np.int8)
    for edges, shifts in ((a, left or {}), (b, right or {})):
        for number, shift in shifts.items():
            edges[number, rows] += shift
            state[number, rows] = states.get("state", PointState.SHIFTED)
    return EdgePoints(a, b, first_left, first_right, state, np.ones(a.shape, np.bool_))


def refuse() -> EdgePoints:
    raise AssertionError("nothing is flagged: nothing is to be measured again")


def rescued(made: EdgePoints, expected: Array = WIDTHS) -> tuple[Array, Array, npt.NDArray[np.int8]]:
    return rescue_points(made, expected, NO_FLAGS, refuse)


def test_widths_come_from_the_other_slices() -> None:
    assert expected_widths(points(left={7: -3.0}, right={30: 4.0}, state=PointState.GOOD)) == pytest.approx(
        WIDTHS, abs=0.05
    )
    few = points()
    few.state[:30] = PointState.NO_EDGE
    assert np.isnan(expected_widths(few)).all()


def test_good_points_are_left_alone() -> None:
    made = points()
    left, right, state = rescued(made)
    np.testing.assert_array_equal(left, made.left)
    np.testing.assert_array_equal(right, made.right)
    assert not state.any()


def test_a_pulled_edge_gets_its_threshold_position() -> None:
    left, right, state = rescued(points(left={7: -2.5}, rows=slice(10)))
    assert left[7] == pytest.approx(np.full(N, LEFT[7]))
    assert right[7] == pytest.approx(np.full(N, LEFT[7] + WIDTHS[7]))
    assert state[7].tolist() == [PointState.RESCUED] * 10 + [PointState.GOOD] * 30


def test_a_few_lost_points_stay_lost() -> None:
    *_, state = rescued(points(left={7: -2.5}, rows=slice(3)))
    assert state[7, :3].tolist() == [PointState.SHIFTED] * 3


def test_a_shift_that_gives_the_right_width_is_none() -> None:
    # The threshold lies 0.6 pix outside of both edges of a slice whose light falls towards them.
    made = points(left={7: 0.3}, right={7: -0.3})
    left, right, state = rescued(made)
    np.testing.assert_array_equal(left, made.left)
    np.testing.assert_array_equal(right, made.right)
    assert (state[7] == PointState.RESCUED).all()


def test_wrong_points_without_another_measure_stay_as_they_are() -> None:
    made = points(right={7: -9.0}, state=PointState.GOOD)
    made.right_threshold[7] -= 9.0  # vignetted
    left, right, state = rescued(made)
    np.testing.assert_array_equal(right, made.right)
    np.testing.assert_array_equal(left, made.left)
    assert not state.any()


@pytest.mark.parametrize(("rows", "kept"), [(slice(8), PointState.SHIFTED), (slice(30), PointState.RESCUED)])
def test_without_expectation_only_lost_slices_are_kept(rows: slice, kept: PointState) -> None:
    left, _, state = rescued(points(left={7: -2.5}, rows=rows), np.full(48, np.nan))
    assert (state[7, rows] == kept).all()
    if kept is PointState.RESCUED:
        assert left[7] == pytest.approx(np.full(N, LEFT[7]))


@pytest.mark.parametrize(("column", "measured"), [(LEFT[7] + 2, 1), (LEFT[7] + 40, 0)])
def test_flagged_columns_are_measured_again_where_they_cross_an_edge(column: float, measured: int) -> None:
    calls = []

    def again() -> EdgePoints:
        calls.append(1)
        return points()

    flagged = NO_FLAGS.copy()
    flagged[int(column)] = True
    left, _, state = rescue_points(points(left={7: 0.7}, state=PointState.GOOD), WIDTHS, flagged, again)
    assert len(calls) == measured
    assert left[7] == pytest.approx(np.full(N, LEFT[7] + (0.0 if measured else 0.7)))
    assert (state[7] == (PointState.RESCUED if measured else PointState.GOOD)).all()
    assert not np.delete(state, 7, axis=0).any()
