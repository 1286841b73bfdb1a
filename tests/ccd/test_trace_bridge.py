"""Edges beside flagged columns follow the opposite edge."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from core.ccd.trace_bridge import bridge_edges, flagged_blocks
from core.ccd.trace_cuts import patch_flagged
from core.ccd.trace_fit import EdgePoints, PointState

N = 40
NX = 4096
ROWS = slice(10, 26)
SLICE = 7
T = np.linspace(-1.0, 1.0, N)
LEFT = 40.3 + 83.0 * np.arange(48.0)[:, None] + 0.5 * T
WIDTH = 76.0 + 0.05 * np.arange(48.0)[:, None] ** 0.5 + 0.1 * T**2  # changes along the detector, in all slices alike
RIGHT = LEFT + WIDTH


def points(**shifts: float) -> EdgePoints:
    """Edges of 48 slices; in some rows of one slice they are shifted."""
    left, right = LEFT.copy(), RIGHT.copy()
    left[SLICE, ROWS] += shifts.get("left", 0.0)
    right[SLICE, ROWS] += shifts.get("right", 0.0)
    return EdgePoints(left, right, left, right, np.zeros(left.shape, np.int8), np.ones(left.shape, np.bool_))


def flags(column: float, rows: slice = ROWS) -> npt.NDArray[np.bool_]:
    flagged = np.zeros((N, NX), np.bool_)
    flagged[rows, round(column) - 1] = True
    return flagged


def bridged(made: EdgePoints, flagged: npt.NDArray[np.bool_]):  # type: ignore[no-untyped-def]
    return bridge_edges(made, (made.left, made.right), made.state, flagged)


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_width_of_the_slice_leads_to_a_damaged_edge(side: str) -> None:
    edge = (LEFT if side == "left" else RIGHT)[SLICE].mean()
    left, right, state = bridged(points(**{side: -0.15}), flags(edge + 1))
    assert left == pytest.approx(LEFT, abs=1e-9)
    assert right == pytest.approx(RIGHT, abs=1e-9)
    assert (state[SLICE, ROWS] == PointState.RESCUED).all()
    assert np.count_nonzero(state) == 16


@pytest.mark.parametrize(("offset", "rows"), [(4.0, ROWS), (1.0, slice(10, 13))], ids=["a column apart", "few points"])
def test_what_does_little_harm_is_left_alone(offset: float, rows: slice) -> None:
    made = points(right=-0.15)
    left, right, state = bridged(made, flags(RIGHT[SLICE].mean() + offset, rows))
    assert np.array_equal(left, made.left)
    assert np.array_equal(right, made.right)
    assert not state.any()


def test_without_a_good_edge_or_a_known_width_there_is_no_bridge() -> None:
    both = flags(RIGHT[SLICE].mean()) | flags(LEFT[SLICE].mean())
    everywhere = flags(RIGHT[SLICE].mean(), slice(None))
    for flagged in (both, everywhere):
        made = points(right=-0.15)
        assert np.array_equal(bridged(made, flagged)[1], made.right)


def test_columns_are_flagged_in_blocks_by_a_quarter_of_their_rows() -> None:
    dq = np.zeros((45, 6), np.int32)
    dq[3:7, 2] = 1  # four of ten rows
    dq[10:12, 3] = 1  # two of ten
    dq[40:, 4] = 1  # beyond the last block
    flagged = flagged_blocks(patch_flagged(np.ones((45, 6), np.float32), dq), 10, 4, 6)
    assert np.argwhere(flagged).tolist() == [[0, 2]]
