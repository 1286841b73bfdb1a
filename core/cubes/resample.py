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

_LINES: Final = 32  # rows of voxels that a thread takes at a time
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
    fill = _nearest if kernel.method == NEAREST else _means
    lines = shape[0] * shape[1]
    spread(
        lambda first: fill(cells, lattice, kernel, first, min(first + _LINES, lines), data, stat),
        range(0, lines, _LINES),
    )
    return data, stat


def _lattice(grid: CubeGrid, positions: TablePositions, region: Region) -> _Lattice:
    spatial, planes = grid.spatial, np.arange(region.z0, region.z1)
    x, y = spatial.centres(grid.nx, region.y0, region.y1)
    edges = grid.spectral.wave(np.arange(region.z0, region.z1 + 1) - 0.5)
    thickness = np.diff(edges) if grid.spectral.log else np.full(planes.size, grid.spectral.cd)
    turn = np.array(spatial.inverse) * np.array(spatial.scales)[:, None] if spatial.rotated else np.eye(2)
    wave = grid.spectral.wave(planes)
    if not spatial.celestial:
        return _Lattice(x, y, np.ones_like(y), wave, thickness, *turn.ravel().tolist())
    x -= ra_difference(positions.zero[0], spatial.crval[0])
    shrink = np.cos(np.radians(y))
    return _Lattice(x, y - positions.zero[1], shrink, wave, thickness, *turn.ravel().tolist())


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
    """Each voxel is the weighted mean of the good pixels around it."""
    box, nx, reach = cells.box, data.shape[2], kernel.reach
    sums = np.empty((3, nx))  # of weights, weighted values, variances weighted twice
    for number in range(first, last):
        z, y = number // data.shape[1], number % data.shape[1]
        sums[:] = 0
        for dz in range(-reach, reach + 1):
            for dy in range(-reach, reach + 1):
                line = ((z + box.margin + dz) * box.ny + y + box.margin + dy) * box.nx + box.margin
                if kernel.method == DRIZZLE:
                    _drizzle(cells, lattice, kernel, line, z, y, sums)
                else:
                    _weigh(cells, lattice, kernel, line, z, y, sums)
        for x in range(nx):
            total = sums[0, x]
            known = _NORMAL <= abs(total) < np.inf
            data[z, y, x] = sums[1, x] / total if known else np.nan
            square = total * total
            stat[z, y, x] = sums[2, x] / square if known and square > 0 else np.nan


# Both add the pixels of a row of cells to a row of voxels. All that stays the same is taken out of the loops by hand.


@njit(cache=True, nogil=True)
def _weigh(cells, lattice, kernel, line, z, y, sums):  # type: ignore[no-untyped-def]
    nx, reach, weighted, wave = sums.shape[1], kernel.reach, cells.weight.size > 0, lattice.wave[z]
    at_x, at_y, shrink = lattice.x[y], lattice.y[y], lattice.shrink[y]
    weights, values, variances = sums[0], sums[1], sums[2]
    for column in range(-reach, nx + reach):
        for k in range(cells.starts[line + column], cells.starts[line + column + 1]):
            deep = depth(abs(wave - cells.wave[k]), kernel)
            if cells.state[k] != GOOD or (deep == 0 and kernel.method == LANCZOS):
                continue
            own = np.float64(cells.weight[k]) if weighted else 1.0
            for x in range(max(column - reach, 0), min(column + reach + 1, nx)):
                dx, dy = (at_x[x] - cells.x[k]) * shrink[x], at_y[x] - cells.y[k]
                right, up = lattice.xx * dx + lattice.xy * dy, lattice.yx * dx + lattice.yy * dy
                factor = weight(abs(right), abs(up), deep, kernel) * own
                weights[x] += factor
                values[x] += factor * cells.data[k]
                variances[x] += factor * factor * cells.stat[k]


@njit(cache=True, nogil=True)
def _drizzle(cells, lattice, kernel, line, z, y, sums):  # type: ignore[no-untyped-def]
    nx, reach, weighted, wave = sums.shape[1], kernel.reach, cells.weight.size > 0, lattice.wave[z]
    at_x, at_y, shrink = lattice.x[y], lattice.y[y], lattice.shrink[y]
    weights, values, variances = sums[0], sums[1], sums[2]
    in_x, in_y, in_z = kernel.in_x, kernel.in_y, kernel.in_z
    out_x, out_y, out_z = kernel.out_x, kernel.out_y, lattice.thickness[z]
    for column in range(-reach, nx + reach):
        for k in range(cells.starts[line + column], cells.starts[line + column + 1]):
            deep = overlap(abs(wave - cells.wave[k]), in_z, out_z)
            if deep == 0 or cells.state[k] != GOOD:
                continue
            if weighted:
                deep *= cells.weight[k]
            xpos, ypos = np.float64(cells.x[k]), np.float64(cells.y[k])
            value, variance = np.float64(cells.data[k]), np.float64(cells.stat[k])
            # Nothing added is cheaper than a question that has no usual answer.
            for x in range(max(column - reach, 0), min(column + reach + 1, nx)):
                dx, dy = (at_x[x] - xpos) * shrink[x], at_y[x] - ypos
                right, up = lattice.xx * dx + lattice.xy * dy, lattice.yx * dx + lattice.yy * dy
                factor = overlap(abs(right), in_x, out_x) * overlap(abs(up), in_y, out_y) * deep
                weights[x] += factor
                values[x] += factor * value
                variances[x] += factor * factor * variance
