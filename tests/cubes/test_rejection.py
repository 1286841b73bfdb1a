"""Cosmic rays among the pixels of a cube, against the rules written out."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from core.cubes.grid import Region, TablePositions, sort_rows
from core.cubes.rejection import Rejection, find_cosmics, slice_direction, without_cosmics
from core.errors import ParameterError


def naive(columns, rejection: Rejection, shape: tuple[int, int, int]) -> set[int]:
    """Rows that are cosmic rays in the cube of the fixtures, by the rules."""
    z = np.floor((columns["lambda"] - np.float64(5000)) / 1.25 + 0.5).astype(int)
    y = np.floor(columns["ypos"] - 2.0 + 0.5).astype(int)
    x = np.floor(columns["xpos"] + 4.0 + 0.5).astype(int)
    usable = (columns["dq"] == 0) | (columns["dq"] == 32)
    found = set()
    for cell in product(*(range(n) for n in shape)):
        off = z - cell[0], y - cell[1], x - cell[2]
        near = (abs(off[0]) <= 1) & (abs(off[1]) <= 1) & (abs(off[2]) <= 1)
        own = (off[0] == 0) & (off[1] == 0) & (off[2] == 0)
        if rejection.direction == "x":
            near &= own | (off[1] != 0)
        elif rejection.direction == "y":
            near &= own | (off[2] != 0)
        values = columns["data"][near & usable].astype(np.float64)
        if values.size < 3:
            continue
        if rejection.statistic == "median":
            level = np.median(values)
            deviation = np.median(abs(values - level))
        else:
            level = values.mean()
            variance = columns["stat"][near & usable].astype(np.float64).sum()
            deviation = values.std(ddof=1) if rejection.statistic == "mean" else np.sqrt(variance) / values.size
        found |= set(np.flatnonzero(own & (columns["data"] > level + rejection.sigma * deviation)).tolist())
    return found


@pytest.mark.parametrize("direction", ["x", "y", "none"])
@pytest.mark.parametrize(("statistic", "sigma"), [("iraf", 8.0), ("mean", 2.5), ("median", 4.0), ("median", 0.7)])
def test_pixels_above_their_neighbours_are_found(table, grid, statistic, sigma, direction, threads) -> None:
    columns = table(1500)
    columns["data"][::30] += 60
    columns["data"] = np.round(columns["data"])  # equal values occur
    rejection = Rejection(statistic, sigma, direction)
    cells = sort_rows(columns, grid, TablePositions(), Region(0, 9, 0, 7), 1)
    expected = naive(columns, rejection, grid.shape)
    assert len(expected) > 5
    for spread in ({}, {"spread": threads}):
        found = find_cosmics(cells, rejection, **spread)
        assert set(cells.row[found].tolist()) == expected


@pytest.mark.parametrize("direction", ["x", "y", "none"])
@pytest.mark.parametrize("sigma", [0.7, 4.0, 12.0])
def test_crowded_cells_are_searched_alike(table, grid, sigma, direction) -> None:
    columns = table(12000)
    columns["data"][::300] += 90
    columns["data"][1::7] = np.round(columns["data"][1::7])
    rejection = Rejection("median", sigma, direction)
    cells = sort_rows(columns, grid, TablePositions(), Region(0, 9, 0, 7), 1)
    expected = naive(columns, rejection, grid.shape)
    assert expected
    assert set(cells.row[find_cosmics(cells, rejection)].tolist()) == expected


def test_any_excess_over_equal_values_is_found(table, grid) -> None:
    columns = table(1500, data=5.0, dq=0)
    columns["data"][7] = np.nextafter(np.float32(5), np.float32(6))
    cells = sort_rows(columns, grid, TablePositions(), Region(0, 9, 0, 7), 1)
    assert cells.row[find_cosmics(cells, Rejection("median", 1e6))].tolist() == [7]


def test_two_pixels_are_no_statistic(table, grid) -> None:
    columns = table(2, xpos=0.0, ypos=5.0, dq=0) | {"lambda": np.full(2, 5005, np.float32)}
    columns["data"][:] = (1, 1e6)
    cells = sort_rows(columns, grid, TablePositions(), Region(0, 9, 0, 7), 1)
    assert not find_cosmics(cells, Rejection("median", 1.0)).any()


def test_what_is_found_does_not_count_but_was_a_neighbour(table, grid) -> None:
    columns = table(1500)
    cells = sort_rows(columns, grid, TablePositions(), Region(0, 9, 0, 7), 1)
    found = find_cosmics(cells, Rejection("median", 2.0))
    left = without_cosmics(cells, found)
    assert np.all(left.state[found] > 0)
    np.testing.assert_array_equal(left.state[~found], cells.state[~found])
    np.testing.assert_array_equal(find_cosmics(left, Rejection("median", 2.0)), found)


def test_no_deviation_means_no_search(table, grid) -> None:
    cells = sort_rows(table(1500), grid, TablePositions(), Region(0, 9, 0, 7), 0)
    assert not find_cosmics(cells, Rejection(sigma=0.0)).any()
    with pytest.raises(ParameterError, match="not found by 'mode'"):
        Rejection("mode")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("angle", "direction"),
    [(0, "x"), (5, "x"), (-4.9, "x"), (5.1, "none"), (45, "none"), (85, "y"), (-90, "y"), (94.9, "y"), (180, "x"),
     (-180, "x"), (270, "y"), (-269, "y"), (356, "x"), (135, "none")],
)  # fmt: skip
def test_slices_run_along_an_axis_or_along_none(angle: float, direction: str) -> None:
    assert slice_direction(True, angle) == direction
    assert slice_direction(False, angle) == "x"
