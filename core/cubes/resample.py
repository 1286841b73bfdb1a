"""Pixels of a table become voxels of a cube: data and variance.

A cube is made region by region, in bounded memory, and is the same bit for bit however it was divided: each voxel is a
sum over the cells around it in a fixed order, and a region comes with all of these cells (`core.cubes.grid`). Cosmic
rays are found on the way, among the same cells.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from core.cubes.grid import GOOD, Cells, Columns, Region, TablePositions, sort_rows
from core.cubes.projection import ra_difference
from core.cubes.rejection import Rejection, find_cosmics, without_cosmics
from core.cubes.wcs import CubeGrid
from core.cubes.weights import DRIZZLE, LANCZOS, NEAREST, Resampling, depth, kernel_of, overlap, squared, weight
from core.errors import DataError
from core.spread import Spread, in_turn

__all__ = ["Voxels", "margin_of", "resample"]

Doubles = npt.NDArray[np.float64]

_LINES: Final = 32  # rows of voxels that a thread takes at a time
_BAND: Final = 16  # rows of the field that a thread takes at a time: their sums stay in the cache of a processor
_BENT: Final = 0.98  # size of a pixel, in voxels, that meets no more than two along an axis of the sky, however bent
_STRAIGHT: Final = 1 + 1e-9  # of any other axis
_NORMAL: Final = float(np.finfo(np.float64).tiny)  # the smallest sum of weights that is one


@dataclass(frozen=True, eq=False)
class Voxels:
    """A region of a cube.

    Attributes
    ----------
    data, stat : ndarray of float32, shape (nz, ny, nx)
        NaN where there is nothing. ``stat`` is the variance, without regard to pixels that neighbours share.
    cosmics : ndarray of int32, shape (n,)
        Rows of the columns that were found to be cosmic rays, ascending: all those in the cells of the region, and
        those of the margin that have an influence on it.
    """

    data: npt.NDArray[np.float32]
    stat: npt.NDArray[np.float32]
    cosmics: npt.NDArray[np.int32]


class _Lattice(NamedTuple):
    """Where the voxels of a region are, and how offsets of pixels are turned to their axes."""

    x: npt.NDArray[np.float64]  # (ny, nx), centres, less what is to be added to xpos of a pixel
    y: npt.NDArray[np.float64]
    shrink: npt.NDArray[np.float64]  # cosine of the declination
    wave: npt.NDArray[np.float64]  # (nz,)
    thickness: npt.NDArray[np.float64]
    xx: float  # offsets on the sky to offsets along the axes
    xy: float
    yx: float
    yy: float
    step_x: float  # offset from one voxel to the next along each axis; 0 where there is but one
    step_y: float
    step_z: float
    small: float  # size of pixels, in voxels, that meet no more than two along an axis


def margin_of(resampling: Resampling, rejection: Rejection) -> int:
    """Cells around a region whose pixels its voxels depend on."""
    return resampling.margin + rejection.active


def resample(
    columns: Columns,
    grid: CubeGrid,
    positions: TablePositions,
    region: Region | None = None,
    *,
    resampling: Resampling | None = None,
    rejection: Rejection | None = None,
    spread: Spread = in_turn,
) -> Voxels:
    """Resample a region of a cube.

    Parameters
    ----------
    columns : mapping of str to ndarray (n,)
        ``xpos``, ``ypos``, ``lambda``, ``data``, ``stat`` (float32), ``dq`` (int32) and, if there is one, ``weight``
        (float32), in the order of the table. All pixels in the region and `margin_of` cells around must be among them.
    grid : CubeGrid
        The whole cube.
    positions : TablePositions
    region : Region, optional
        The whole cube unless told otherwise.
    resampling : Resampling, optional
    rejection : Rejection, optional
        None is done unless told.
    spread : Spread
        Threads of the caller.

    Raises
    ------
    DataError
        If the region does not lie in the cube, or the table does not fit it (`core.cubes.grid.sort_rows`).
    """
    region = region or Region(0, grid.nz, 0, grid.ny)
    if not (0 <= region.z0 < region.z1 <= grid.nz and 0 <= region.y0 < region.y1 <= grid.ny):
        raise DataError(f"{region} does not lie in a cube of {grid.shape}")
    resampling = resampling or Resampling()
    rejection = rejection or Rejection(sigma=0)
    cells = sort_rows(columns, grid, positions, region, margin_of(resampling, rejection), spread)
    found = find_cosmics(cells, rejection, spread)
    data, stat = voxels_of(without_cosmics(cells, found), grid, positions, region, resampling, spread)
    return Voxels(data, stat, np.sort(cells.row[found]))


def voxels_of(
    cells: Cells,
    grid: CubeGrid,
    positions: TablePositions,
    region: Region,
    resampling: Resampling,
    spread: Spread = in_turn,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Data and variance of the voxels of a region, from its cells with a margin of `Resampling.margin` or more."""
    kernel = kernel_of(resampling, grid, positions)
    lattice = _lattice(grid, positions, region)
    shape = region.z1 - region.z0, region.y1 - region.y0, grid.nx
    data, stat = np.empty(shape, np.float32), np.empty(shape, np.float32)
    if kernel.method == NEAREST:
        lines = shape[0] * shape[1]
        spread(
            lambda first: _nearest(cells, lattice, kernel, first, min(first + _LINES, lines), data, stat),
            range(0, lines, _LINES),
        )
    else:
        spread(
            lambda first: _means(cells, lattice, kernel, first, min(first + _BAND, shape[1]), data, stat),
            range(0, shape[1], _BAND),
        )
    return data, stat


def _lattice(grid: CubeGrid, positions: TablePositions, region: Region) -> _Lattice:
    spatial, planes = grid.spatial, np.arange(region.z0, region.z1)
    x, y = spatial.centres(grid.nx, region.y0, region.y1)
    edges = grid.spectral.wave(np.arange(region.z0, region.z1 + 1) - 0.5)
    thickness = np.diff(edges) if grid.spectral.log else np.full(planes.size, grid.spectral.cd)
    turn = np.array(spatial.inverse) * np.array(spatial.scales)[:, None] if spatial.rotated else np.eye(2)
    wave = grid.spectral.wave(planes)
    shrink = np.ones_like(y)
    if spatial.celestial:
        x -= ra_difference(positions.zero[0], spatial.crval[0])
        shrink = np.cos(np.radians(y))
        y = y - positions.zero[1]
    steps = [_step(x, y, shrink, turn[0], 1), _step(x, y, shrink, turn[1], 0), float(thickness[0])]
    steps.append(_BENT if spatial.celestial else _STRAIGHT)
    return _Lattice(x, y, shrink, wave, thickness, *(turn.ravel().tolist() + steps))


def _step(x: Doubles, y: Doubles, shrink: Doubles, turn: Doubles, axis: int) -> float:
    """From one voxel to the next of an axis."""
    (x0, *x1), (y0, *y1) = (np.moveaxis(place, axis, 0)[:2, 0].tolist() for place in (x, y))
    return float(turn[0] * (x1[0] - x0) * shrink[0, 0] + turn[1] * (y1[0] - y0)) if x1 else 0.0


@njit(cache=True, nogil=True)
def _nearest(cells, lattice, kernel, first, last, data, stat):  # type: ignore[no-untyped-def]
    """Each voxel is the pixel of its cell that is nearest, be it good or not."""
    box, nx = cells.box, data.shape[2]
    for number in range(first, last):
        z, y = number // data.shape[1], number % data.shape[1]
        cell = ((z + box.margin) * box.ny + y + box.margin) * box.nx + box.margin
        for x in range(nx):
            best, nearest = -1, np.inf
            for k in range(cells.starts[cell + x], cells.starts[cell + x + 1]):
                dx = (lattice.x[y, x] - cells.x[k]) * lattice.shrink[y, x]
                dy = lattice.y[y, x] - cells.y[k]
                right, up = lattice.xx * dx + lattice.xy * dy, lattice.yx * dx + lattice.yy * dy
                square = squared(right, up, lattice.wave[z] - cells.wave[k], kernel)
                if best < 0 or square < nearest:
                    best, nearest = k, square
            good = best >= 0 and cells.state[best] == GOOD
            data[z, y, x] = cells.data[best] if good else np.nan
            stat[z, y, x] = cells.stat[best] if good else np.nan


@njit(cache=True, nogil=True)
def _means(cells, lattice, kernel, first, last, data, stat):  # type: ignore[no-untyped-def]
    """Each voxel is the weighted mean of the good pixels around it: rows ``first`` to ``last`` - 1 of all planes.

    Pixels are added to all voxels that they reach, cell after cell, so that a voxel has its pixels in the order of the
    cells. A plane is complete when the last plane of cells that reaches it has been added.
    """
    box, reach, (nz, _, nx) = cells.box, kernel.reach, data.shape
    turns = 2 * reach + 1
    sums = np.zeros((last - first, nx, turns, 3))  # of weights, weighted values, variances weighted twice
    deep, slots = np.empty(turns), np.empty(nz, np.intp)
    for z in range(nz):
        slots[z] = z % turns
    for z in range(-reach, nz + reach):
        for y in range(first - reach, last + reach):
            line = ((z + box.margin) * box.ny + y + box.margin) * box.nx + box.margin
            if kernel.method == DRIZZLE:
                _drizzle(cells, lattice, kernel, line, z, y, first, last, deep, slots, sums)
            else:
                _weigh(cells, lattice, kernel, line, z, y, first, last, slots, sums)
        if z >= reach:
            _complete(sums, slots[z - reach], data[z - reach, first:last], stat[z - reach, first:last])


@njit(cache=True, nogil=True)
def _complete(sums, turn, data, stat):  # type: ignore[no-untyped-def]
    """Means of a plane; its sums are 0 afterwards."""
    for y in range(data.shape[0]):
        for x in range(data.shape[1]):
            total = sums[y, x, turn, 0]
            known = _NORMAL <= abs(total) < np.inf
            data[y, x] = sums[y, x, turn, 1] / total if known else np.nan
            square = total * total
            stat[y, x] = sums[y, x, turn, 2] / square if known and square > 0 else np.nan
    sums[:, :, turn] = 0


@njit(cache=True, nogil=True)
def _range(place, low, high, reach, offset, step, size, small):  # type: ignore[no-untyped-def]
    """Voxels along an axis, from ``low`` up to but not including ``high``, that a pixel may meet.

    ``place`` is that of its cell, ``offset`` that of the pixel from its centre; a pixel whose ``size`` is 0 meets all
    within reach.
    """
    below, above = reach, reach
    if 0 < size < small * abs(step):
        below, above = (1, 0) if (offset < 0) == (step > 0) else (0, 1)
    return max(place - below, low), min(place + above + 1, high)


# Both add the pixels of a row of cells to the voxels around. All that stays the same is taken out of the loops by hand.


@njit(cache=True, nogil=True)
def _weigh(cells, lattice, kernel, line, z, y, first, last, slots, sums):  # type: ignore[no-untyped-def]
    nx, reach, weighted = sums.shape[1], kernel.reach, cells.weight.size > 0
    z0, z1 = max(z - reach, 0), min(z + reach + 1, lattice.wave.size)
    y0, y1 = max(y - reach, first), min(y + reach + 1, last)
    for column in range(-reach, nx + reach):
        x0, x1 = max(column - reach, 0), min(column + reach + 1, nx)
        for k in range(cells.starts[line + column], cells.starts[line + column + 1]):
            if cells.state[k] != GOOD:
                continue
            own = np.float64(cells.weight[k]) if weighted else 1.0
            for at_z in range(z0, z1):
                deep, turn = depth(abs(lattice.wave[at_z] - cells.wave[k]), kernel), slots[at_z]
                if deep == 0 and kernel.method == LANCZOS:
                    continue
                for at_y in range(y0, y1):
                    for x in range(x0, x1):
                        dx = (lattice.x[at_y, x] - cells.x[k]) * lattice.shrink[at_y, x]
                        dy = lattice.y[at_y, x] - cells.y[k]
                        right, up = lattice.xx * dx + lattice.xy * dy, lattice.yx * dx + lattice.yy * dy
                        factor = weight(abs(right), abs(up), deep, kernel) * own
                        sums[at_y - first, x, turn, 0] += factor
                        sums[at_y - first, x, turn, 1] += factor * cells.data[k]
                        sums[at_y - first, x, turn, 2] += factor * factor * cells.stat[k]


@njit(cache=True, nogil=True)
def _drizzle(cells, lattice, kernel, line, z, y, first, last, deep, slots, sums):  # type: ignore[no-untyped-def]
    nx, reach, weighted = sums.shape[1], kernel.reach, cells.weight.size > 0
    nz, in_x, in_y, in_z = lattice.wave.size, kernel.in_x, kernel.in_y, kernel.in_z
    out_x, out_y = kernel.out_x, kernel.out_y
    inside_z, inside_y = 0 <= z < nz, 0 <= y < lattice.x.shape[0]
    for column in range(-reach, nx + reach):
        inside = inside_y and 0 <= column < nx
        for k in range(cells.starts[line + column], cells.starts[line + column + 1]):
            if cells.state[k] != GOOD:
                continue
            xpos, ypos, wave = np.float64(cells.x[k]), np.float64(cells.y[k]), np.float64(cells.wave[k])
            value, variance = np.float64(cells.data[k]), np.float64(cells.stat[k])
            own = np.float64(cells.weight[k]) if weighted else 1.0
            right = up = ahead = 0.0
            if inside_z:
                ahead = wave - lattice.wave[z]
            if inside:
                dx, dy = (xpos - lattice.x[y, column]) * lattice.shrink[y, column], ypos - lattice.y[y, column]
                right, up = lattice.xx * dx + lattice.xy * dy, lattice.yx * dx + lattice.yy * dy
            x0, x1 = _range(column, 0, nx, reach, right, lattice.step_x, in_x if inside else 0.0, lattice.small)
            y0, y1 = _range(y, first, last, reach, up, lattice.step_y, in_y if inside else 0.0, lattice.small)
            z0, z1 = _range(z, 0, nz, reach, ahead, lattice.step_z, in_z if inside_z else 0.0, lattice.small)
            for at_z in range(z0, z1):
                deep[at_z - z0] = overlap(abs(lattice.wave[at_z] - wave), in_z, lattice.thickness[at_z]) * own
            lowest = z0
            while z0 < z1 and deep[z0 - lowest] == 0:
                z0 += 1
            while z0 < z1 and deep[z1 - 1 - lowest] == 0:
                z1 -= 1
            if z0 == z1:
                continue
            # Nothing added is cheaper than a question that has no usual answer.
            for at_y in range(y0, y1):
                for x in range(x0, x1):
                    dx, dy = (lattice.x[at_y, x] - xpos) * lattice.shrink[at_y, x], lattice.y[at_y, x] - ypos
                    right, up = lattice.xx * dx + lattice.xy * dy, lattice.yx * dx + lattice.yy * dy
                    area = overlap(abs(right), in_x, out_x) * overlap(abs(up), in_y, out_y)
                    at = sums[at_y - first, x]
                    for at_z in range(z0, z1):
                        factor, turn = area * deep[at_z - lowest], slots[at_z]
                        at[turn, 0] += factor
                        at[turn, 1] += factor * value
                        at[turn, 2] += factor * factor * variance
