"""Pixels of a table are sorted into the cells of a cube.

The rows of a region of a cube (a slab of planes, a band of rows of voxels, or both) lie in the order of its cells
afterwards, with the first row of each cell: compressed sparse rows, by counting. Rows of one cell keep their order in
the table, so that what is made of them does not depend on how the cube was divided, nor on threads.

A region comes with a margin of cells on all sides, also beyond the ends of the cube: a voxel at a border then sees the
same pixels as it would inside a larger cube. (The reference pipeline puts pixels outside into the cells at the border.)
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from core.cubes.projection import ra_difference, tangent_plane, tangent_plane_by_angles, tangent_plane_near
from core.cubes.wcs import CubeGrid, air_to_vacuum
from core.errors import DataError
from core.instruments.muse.facts import Dq
from core.spread import Spread, in_turn

__all__ = ["BAD", "COSMIC", "GOOD", "ROW_BYTES", "Cells", "Columns", "Region", "TablePositions", "sort_rows"]

Columns = Mapping[str, npt.NDArray[Any]]

GOOD, COSMIC, BAD = range(3)  # states of a pixel: usable; a cosmic ray and nothing else; flagged otherwise
ROW_BYTES: Final = 4 * 7 + 4 * 8 + 1 + 4  # memory for a row: in the columns, sorted, and its cell
_BANDS: Final = 4  # of cells, counted and filled independently; more cost more passes over the rows
_CHUNK: Final = 1 << 17  # rows
_BLOCK: Final = 512  # rows whose places are computed at a time
_UNDECIDED: Final = 1e-3  # [pix] from an edge
_NEAR: Final = 0.6  # [deg] from the reference point (`tangent_plane_near`)
_COSMIC_FLAG: Final = int(Dq.COSMIC)
_NONE: Final = np.empty(0, np.float32)


@dataclass(frozen=True)
class TablePositions:
    """What the positions of a pixel table mean.

    Attributes
    ----------
    celestial : bool
        Whether they are degrees on the sky, less ``zero``; if not, pixels.
    zero : pair of float
        Zero point of ``xpos`` and ``ypos`` [deg].
    scales : pair of float
        Sizes of a pixel of the instrument, in pixels or degrees.
    """

    celestial: bool = False
    zero: tuple[float, float] = (0.0, 0.0)
    scales: tuple[float, float] = (1.0, 1.0)


@dataclass(frozen=True)
class Region:
    """Voxels of a cube: planes ``z0`` and rows ``y0`` (from 0) up to but not including ``z1``, ``y1``; whole in x."""

    z0: int
    z1: int
    y0: int
    y1: int


class Box(NamedTuple):
    """The cells of a region with its margin, for kernels: the first of each axis and how many."""

    z: int
    y: int
    x: int
    nz: int
    ny: int
    nx: int
    margin: int


class Cells(NamedTuple):
    """Pixels in the order of the cells of a region.

    Attributes
    ----------
    box : Box
    starts : ndarray of int32, shape (cells + 1,)
        First pixel of each cell; the cells in the order (z, y, x), margins included.
    row : ndarray of int32, shape (n,)
        Which row of the columns a pixel was.
    x, y, wave, data, stat : ndarray of float32, shape (n,)
    state : ndarray of uint8, shape (n,)
        `GOOD`, `COSMIC` or `BAD`.
    weight : ndarray of float32, shape (n,) or (0,)
        None of them if the table has no weights.
    """

    box: Box
    starts: npt.NDArray[np.int32]
    row: npt.NDArray[np.int32]
    x: npt.NDArray[np.float32]
    y: npt.NDArray[np.float32]
    wave: npt.NDArray[np.float32]
    data: npt.NDArray[np.float32]
    stat: npt.NDArray[np.float32]
    state: npt.NDArray[np.uint8]
    weight: npt.NDArray[np.float32]


class _Map(NamedTuple):
    """From position and wavelength to a cell."""

    celestial: bool
    x: float  # added to xpos and ypos: what is left is the offset from the reference point, or (y, sky) the declination
    y: float
    zero: float  # right ascension where xpos is 0
    ra: float  # of the reference point
    dec: float
    sine: float
    cosine: float
    xx: float
    xy: float
    yx: float
    yy: float
    crpix_x: float
    crpix_y: float
    wave: float
    step: float
    crpix_z: float
    log: bool


def sort_rows(
    columns: Columns, grid: CubeGrid, positions: TablePositions, region: Region, margin: int, spread: Spread = in_turn
) -> Cells:
    """Sort the pixels of a table into the cells of a region.

    Parameters
    ----------
    columns : mapping of str to ndarray (n,)
        ``xpos``, ``ypos``, ``lambda``, ``data``, ``stat`` (float32), ``dq`` (int32) and, if there is one, ``weight``
        (float32). All rows of the region and its margin must be among them (`WaveAxis.reach`), others do no harm.
    grid : CubeGrid
    positions : TablePositions
    region : Region
    margin : int
        Cells around the region.
    spread : Spread
        Threads of the caller.

    Raises
    ------
    DataError
        If table and cube are not both on the sky, or the region is too large for the numbers of its cells or rows.
    """
    if positions.celestial != grid.spatial.celestial:
        raise DataError("a table in pixels makes no cube on the sky, nor one on the sky a cube in pixels")
    box = _box(grid, region, margin)
    n_cells, n_rows = box.nz * box.ny * box.nx, len(columns["xpos"])
    if max(n_cells, n_rows) >= 1 << 31:
        raise DataError(f"{n_rows} pixels and {n_cells} voxels are too many at a time")
    wave = air_to_vacuum(columns["lambda"]) if grid.spectral.vacuum else columns["lambda"]
    cell = np.empty(n_rows, np.int32)
    mapping = _mapping(grid, positions)
    spread(
        lambda part: _find_cells(columns["xpos"][part], columns["ypos"][part], wave[part], mapping, box, cell[part]),
        _chunks(n_rows),
    )
    starts = np.zeros(n_cells + 1, np.int32)
    bands = [(band * n_cells // _BANDS, (band + 1) * n_cells // _BANDS) for band in range(_BANDS)]
    spread(lambda band: _count(cell, *band, starts), bands)
    _accumulate(starts)
    cells = _room(box, starts, weighted="weight" in columns)
    given = [columns["xpos"], columns["ypos"], wave, columns["data"], columns["stat"]]
    weights = columns.get("weight", _NONE)
    spread(lambda band: _fill(cell, *band, *given, columns["dq"], weights, cells), bands)
    return cells


def _room(box: Box, starts: npt.NDArray[np.int32], *, weighted: bool) -> Cells:
    n = int(starts[-1])
    x, y, wave, data, stat = (np.empty(n, np.float32) for _ in range(5))
    weight = np.empty(n if weighted else 0, np.float32)
    return Cells(box, starts, np.empty(n, np.int32), x, y, wave, data, stat, np.empty(n, np.uint8), weight)


def _box(grid: CubeGrid, region: Region, margin: int) -> Box:
    return Box(
        region.z0 - margin,
        region.y0 - margin,
        -margin,
        region.z1 - region.z0 + 2 * margin,
        region.y1 - region.y0 + 2 * margin,
        grid.nx + 2 * margin,
        margin,
    )


def _mapping(grid: CubeGrid, positions: TablePositions) -> _Map:
    spatial, spectral = grid.spatial, grid.spectral
    (xx, xy), (yx, yy) = spatial.inverse
    if spatial.celestial:
        x, y = ra_difference(positions.zero[0], spatial.crval[0]), positions.zero[1]
    else:
        x, y = -spatial.crval[0], -spatial.crval[1]
    dec = math.radians(spatial.crval[1])
    return _Map(
        spatial.celestial, x, y, positions.zero[0], *spatial.crval, math.sin(dec), math.cos(dec),
        xx, xy, yx, yy, *spatial.crpix, spectral.crval, spectral.cd, spectral.crpix, spectral.log,
    )  # fmt: skip


def _chunks(n: int) -> list[slice]:
    return [slice(first, min(first + _CHUNK, n)) for first in range(0, n, _CHUNK)]


@njit(cache=True, nogil=True)
def _plane(wave, mapping):  # type: ignore[no-untyped-def]
    """Plane of a wavelength, from 0."""
    steps = (wave - mapping.wave) / mapping.step
    if mapping.log:
        if wave <= 0:
            return np.nan
        steps = mapping.wave / mapping.step * math.log(wave / mapping.wave)
    return math.floor(steps + mapping.crpix_z + 0.5) - 1


@njit(cache=True, nogil=True)
def _pixel(x, y, mapping):  # type: ignore[no-untyped-def]
    """Pixel of a place, from 1."""
    return (
        mapping.xx * x + mapping.xy * y + mapping.crpix_x,
        mapping.yx * x + mapping.yy * y + mapping.crpix_y,
    )


@njit(cache=True, nogil=True)
def _undecided(px, py, mapping):  # type: ignore[no-untyped-def]
    """Whether a place is so near to an edge of a pixel, or to the reference point, that rounding decides."""
    off_x, off_y = abs(px - mapping.crpix_x), abs(py - mapping.crpix_y)
    edge_x, edge_y = abs(px - math.floor(px) - 0.5), abs(py - math.floor(py) - 0.5)
    return min(edge_x, edge_y) < _UNDECIDED or max(off_x, off_y) < 1


@njit(cache=True, nogil=True)
def _find_cells(xpos, ypos, wave, mapping, box, cell):  # type: ignore[no-untyped-def]
    """Number of the cell of each pixel, -1 outside the box."""
    columns, lines = np.empty(_BLOCK), np.empty(_BLOCK)
    for start in range(0, xpos.size, _BLOCK):
        x, y = xpos[start : start + _BLOCK], ypos[start : start + _BLOCK]
        _find_pixels(x, y, mapping, columns, lines)
        for i in range(x.size):
            cell[start + i] = -1
            z = _plane(np.float64(wave[start + i]), mapping) - box.z
            if not 0 <= z < box.nz:
                continue
            px, py = columns[i], lines[i]
            if mapping.celestial and _undecided(px, py, mapping):
                at = tangent_plane_by_angles(x[i] + mapping.zero, y[i] + mapping.y, mapping.ra, mapping.dec)
                px, py = _pixel(*at, mapping)
            column, line = math.floor(px + 0.5) - 1 - box.x, math.floor(py + 0.5) - 1 - box.y
            if 0 <= column < box.nx and 0 <= line < box.ny:
                cell[start + i] = (np.int64(z) * box.ny + np.int64(line)) * box.nx + np.int64(column)


@njit(cache=True, nogil=True)
def _find_pixels(xpos, ypos, mapping, columns, lines):  # type: ignore[no-untyped-def]
    """Where pixels of a table are in the plane of the cube [pix, from 1]; loops without questions are fast."""
    if not mapping.celestial:
        for i in range(xpos.size):
            columns[i], lines[i] = _pixel(xpos[i] + mapping.x, ypos[i] + mapping.y, mapping)
        return
    farthest = 0.0
    for i in range(xpos.size):
        farthest = max(farthest, abs(xpos[i] + mapping.x), abs(ypos[i] + mapping.y - mapping.dec))
    if farthest < _NEAR:
        for i in range(xpos.size):
            x, y = xpos[i] + mapping.x, ypos[i] + mapping.y - mapping.dec
            columns[i], lines[i] = _pixel(*tangent_plane_near(x, y, mapping.sine, mapping.cosine), mapping)
        return
    for i in range(xpos.size):
        x, y = xpos[i] + mapping.x, ypos[i] + mapping.y
        columns[i], lines[i] = _pixel(*tangent_plane(x, y, mapping.sine, mapping.cosine), mapping)


@njit(cache=True, nogil=True)
def _count(cell, first, last, starts):  # type: ignore[no-untyped-def]
    """Pixels of the cells of a band, each in the place after its own."""
    for i in range(cell.size):
        if first <= cell[i] < last:
            starts[cell[i] + 1] += 1


@njit(cache=True, nogil=True)
def _accumulate(starts):  # type: ignore[no-untyped-def]
    for k in range(1, starts.size):
        starts[k] += starts[k - 1]


@njit(cache=True, nogil=True)
def _fill(cell, first, last, xpos, ypos, wave, data, stat, dq, weight, cells):  # type: ignore[no-untyped-def]
    """Pixels of the cells of a band, in the order of the table; one without value or variance is bad."""
    free = cells.starts[first:last].copy()
    for i in range(cell.size):
        if first <= cell[i] < last:
            k = free[cell[i] - first]
            free[cell[i] - first] = k + 1
            cells.row[k] = i
            cells.x[k], cells.y[k], cells.wave[k] = xpos[i], ypos[i], wave[i]
            cells.data[k], cells.stat[k] = data[i], stat[i]
            if weight.size:
                cells.weight[k] = weight[i]
            known = np.isfinite(data[i]) and np.isfinite(stat[i])
            cells.state[k] = BAD if not known else (GOOD if dq[i] == 0 else (COSMIC if dq[i] == _COSMIC_FLAG else BAD))
