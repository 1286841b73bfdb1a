"""Planes of several cubes become one cube, in bounded memory."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from core.fitsfile.header import Header
from core.fitsfile.keywords import merged_header
from core.fitsfile.scan import scan_fits
from core.formats.cube import CubeFile, CubePlanes

__all__ = ["PlaneRange", "cube_primary", "join_planes"]

_BYTES: Final = 16 << 20  # of DATA that are read at once


@dataclass(frozen=True)
class PlaneRange:
    """Planes ``z0`` (from 0) up to but not including ``z1`` of a cube."""

    cube: CubePlanes
    z0: int
    z1: int

    def __len__(self) -> int:
        return self.z1 - self.z0


def cube_primary(cube: CubePlanes) -> Header:
    """The primary header of a cube, without what belongs to the file."""
    header = merged_header(scan_fits(cube.path).primary, Header())
    header.remove("DATAMD5", "PIPEFILE")
    return header


def join_planes(target: str | os.PathLike[str], pieces: Sequence[PlaneRange], header: Header, axes: Header) -> Path:
    """Write a cube of planes of cubes, one after the other; nothing is left of one that fails.

    The cube has an extension DQ if all have one. Otherwise a flagged voxel is NaN, as in cubes without.

    Parameters
    ----------
    target : path-like
    pieces : sequence of PlaneRange
        Of cubes of equal size and unit, ascending in wavelength.
    header : Header
        Primary header.
    axes : Header
        World coordinates.

    Raises
    ------
    BadFitsError
        If a cube is cut.
    ProductStoreError
        If the file cannot be written.
    """
    first = pieces[0].cube
    _, ny, nx = first.shape
    step = max(1, _BYTES // (ny * nx * np.dtype(np.float32).itemsize))
    shape = (sum(map(len, pieces)), ny, nx)
    flags = all(piece.cube.has_flags for piece in pieces)
    with CubeFile.create(target, shape, header, axes, unit=first.unit, dq=flags) as cube:
        try:
            place = 0
            for piece in pieces:
                for z0 in range(piece.z0, piece.z1, step):
                    z1 = min(z0 + step, piece.z1)
                    cube.put(place, *piece.cube.read(z0, z1))
                    place += z1 - z0
            return cube.finish()
        except BaseException:
            cube.discard()
            raise
