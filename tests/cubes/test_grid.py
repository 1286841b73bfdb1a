"""Pixels in the order of the cells of a cube."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from core.cubes.grid import BAD, COSMIC, GOOD, Region, TablePositions, sort_rows
from core.cubes.wcs import CubeGrid, SpatialAxes, WaveAxis
from core.errors import DataError

PIXELS = TablePositions()


def by_cell(cells) -> dict[tuple[int, int, int], list[int]]:
    """Rows of each cell that has any, by its place in the cube."""
    box = cells.box
    found = {}
    for number in np.flatnonzero(np.diff(cells.starts)):
        z, y, x = (int(at) for at in np.unravel_index(number, (box.nz, box.ny, box.nx)))
        found[z + box.z, y + box.y, x + box.x] = cells.row[cells.starts[number] : cells.starts[number + 1]].tolist()
    return found


def expected(columns, grid: CubeGrid, region: Region, margin: int) -> dict[tuple[int, int, int], list[int]]:
    found: dict[tuple[int, int, int], list[int]] = {}
    for row in range(len(columns["xpos"])):
        x = int(np.floor(columns["xpos"][row] - grid.spatial.crval[0] + 0.5))
        y = int(np.floor(columns["ypos"][row] - grid.spatial.crval[1] + 0.5))
        z = int(np.floor((columns["lambda"][row] - grid.spectral.crval) / grid.spectral.cd + 0.5))
        if (
            region.z0 - margin <= z < region.z1 + margin
            and region.y0 - margin <= y < region.y1 + margin
            and -margin <= x < grid.nx + margin
        ):
            found.setdefault((z, y, x), []).append(row)
    return found


@pytest.mark.parametrize("region", [Region(0, 9, 0, 7), Region(3, 5, 0, 7), Region(2, 4, 3, 6)])
@pytest.mark.parametrize("margin", [0, 2])
def test_each_pixel_lies_in_its_cell_in_the_order_of_the_table(table, grid, region, margin, threads) -> None:
    columns = table()
    for spread in ({}, {"spread": threads}):
        cells = sort_rows(columns, grid, PIXELS, region, margin, **spread)
        assert by_cell(cells) == expected(columns, grid, region, margin)
        for name, values in (("xpos", cells.x), ("lambda", cells.wave), ("stat", cells.stat)):
            np.testing.assert_array_equal(values, columns[name][cells.row])
        states = {0: GOOD, 32: COSMIC, 256: BAD}
        assert cells.state.tolist() == [states[flags] for flags in columns["dq"][cells.row].tolist()]
        assert cells.weight.size == 0


def test_a_logarithmic_axis_puts_wavelengths_into_the_nearest_plane(table, grid) -> None:
    columns = table(300)
    log = replace(grid, spectral=WaveAxis(5000.0, 1.0, 0.78125, log=True))
    for (z, _, _), rows in by_cell(sort_rows(columns, log, PIXELS, Region(0, 9, 0, 7), 0)).items():
        edges = log.spectral.wave([z - 0.5, z + 0.5])
        assert np.all((columns["lambda"][rows] >= edges[0]) & (columns["lambda"][rows] <= edges[1]))


def test_wavelengths_are_brought_to_vacuum_where_the_cube_has_them(table, grid) -> None:
    columns = table(300)
    in_vacuum = replace(grid, spectral=replace(grid.spectral, vacuum=True))
    cells = sort_rows(columns, in_vacuum, PIXELS, Region(0, 9, 0, 7), 0)
    np.testing.assert_allclose(cells.wave - columns["lambda"][cells.row], 1.395, atol=0.005)


@pytest.mark.parametrize("ra", [150.0, 0.0])
def test_places_on_the_sky_lie_in_the_pixel_that_shows_them(ra: float) -> None:
    # A field of 8" at 60 deg, also across right ascension 0; the zero point of the table is off the centre.
    axes = SpatialAxes(True, (ra, 60.0), (20.5, 20.5), ((-0.2 / 3600, 1e-6), (1e-6, 0.2 / 3600)))
    sky = CubeGrid(40, 40, 1, axes, WaveAxis(5000.0, 1.0, 1.25))
    offset, dec = axes.centres(40, 0, 40)
    zero = ((ra + 0.001) % 360, 59.999)
    columns = {
        "xpos": (offset - 0.001).ravel().astype(np.float32),
        "ypos": (dec - zero[1]).ravel().astype(np.float32),
        "dq": np.zeros(1600, np.int32),
        **{name: np.full(1600, 5000.0, np.float32) for name in ("lambda", "data", "stat")},
    }
    cells = sort_rows(columns, sky, TablePositions(True, zero), Region(0, 1, 0, 40), 0)
    np.testing.assert_array_equal(cells.row, np.arange(1600))
    np.testing.assert_array_equal(cells.starts, np.arange(1601))


def test_pixels_without_a_place_are_in_no_cell(table, grid) -> None:
    columns = table(10)
    columns["xpos"][3] = np.nan
    columns["lambda"][4] = np.nan
    columns["ypos"][5] = np.inf
    assert {3, 4, 5}.isdisjoint(sort_rows(columns, grid, PIXELS, Region(0, 9, 0, 7), 1).row.tolist())


def test_pixels_and_sky_do_not_mix(table, grid) -> None:
    with pytest.raises(DataError, match="a table in pixels makes no cube on the sky"):
        sort_rows(table(1), grid, TablePositions(True), Region(0, 9, 0, 7), 1)
