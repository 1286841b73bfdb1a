"""Cubes as tables of spectra: the Euro3D format (Kissler-Patig et al. 2003, issue 1.2; MUSE manual, A.3.4).

A row is the spectrum of a spaxel from its first voxel with a value on; spaxels without any have no row. Rows are made
of a cube on disk, some columns of spaxels at a time: neither the cube nor the table is in memory.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from core.cubes.wcs import CubeGrid
from core.fitsfile.header import Header
from core.fitsfile.keywords import set_key
from core.fitsfile.structure import table_cards
from core.fitsfile.writer import FitsWriter
from core.formats.cube import CubePlanes
from core.formats.tables import Column, TableFormat, encode_columns
from core.instruments.muse.facts import Dq

__all__ = ["E3D_GRP", "SpaxelGroup", "e3d_data_format", "write_euro3d"]

_BYTES: Final = 512 << 20  # of the voxels whose spectra are held: the cube is read once for each such part of it
_SLAB: Final = 16  # planes read at a time to see which spaxels have values
_SHAPE: Final = "R"  # rectangular spaxels

E3D_GRP: Final = TableFormat(
    "E3D_GRP",
    (
        Column("GROUP_N", "J", "", "group number"),
        Column("G_SHAPE", "1A", "", "spaxel shape: R is a rectangle"),
        Column("G_SIZE1", "E", "arcsec", "horizontal size of a spaxel"),
        Column("G_ANGLE", "E", "deg", "angle of the spaxels on the sky"),
        Column("G_SIZE2", "E", "arcsec", "vertical size of a spaxel"),
        Column("G_POSWAV", "E", "Angstrom", "wavelength for which positions hold"),
        Column("G_AIRMAS", "E", "", "airmass"),
        Column("G_PARANG", "E", "deg", "parallactic angle"),
        Column("G_PRESSU", "E", "hPa", "pressure"),
        Column("G_TEMPER", "E", "K", "temperature"),
        Column("G_HUMID", "E", "", "humidity"),
    ),
    "Groups of spaxels of a Euro3D cube",
)


def e3d_data_format(planes: int, unit: str, celestial: bool) -> TableFormat:
    """Format of the spectra of a cube of so many planes."""
    place = "deg" if celestial else "pix"
    return TableFormat(
        "E3D_DATA",
        (
            Column("SPEC_ID", "J", "", "spectrum identifier: number of the spaxel"),
            Column("SELECTED", "L", "", "selection flag"),
            Column("NSPAX", "J", "", "number of spaxels of the spectrum"),
            Column("SPEC_LEN", "J", "pixel", "useful number of spectral elements"),
            Column("SPEC_STA", "J", "pixel", "where the spectrum starts, from 1"),
            Column("XPOS", "D", place, "horizontal position"),
            Column("YPOS", "D", place, "vertical position"),
            Column("GROUP_N", "J", "", "group number"),
            Column("SPAX_ID", "1A", "", "spaxel identifier"),
            Column("DATA_SPE", f"{planes}E", unit, "data spectrum"),
            Column("QUAL_SPE", f"{planes}J", "", "data quality spectrum, 0 is good"),
            Column("STAT_SPE", f"{planes}E", unit, "error spectrum"),
        ),
        "Spectra of a Euro3D cube",
    )


@dataclass(frozen=True)
class SpaxelGroup:
    """What all spaxels have in common: sizes [arcsec, or pix], angle, airmass and air, as E3D_GRP has them."""

    sizes: tuple[float, float]
    airmass: float
    parallactic_angle: float
    pressure: float
    temperature: float
    humidity: float
    angle: float = 0.0
    wave: float = 6975.0

    def columns(self) -> dict[str, npt.NDArray[Any]]:
        """The one row of E3D_GRP."""
        values = (1, _SHAPE, self.sizes[0], self.angle, self.sizes[1], self.wave, self.airmass, self.parallactic_angle)
        values += (self.pressure, self.temperature, self.humidity)  # type: ignore[assignment]
        return {column.name: np.array([value]) for column, value in zip(E3D_GRP.columns, values, strict=True)}


def write_euro3d(
    path: str | os.PathLike[str],
    header: Header,
    cube: CubePlanes,
    grid: CubeGrid,
    group: SpaxelGroup,
    *,
    corrected: bool,
    images: Sequence[tuple[Header, npt.NDArray[np.float32]]] = (),
) -> Path:
    """Write the spectra of a cube, atomically.

    Parameters
    ----------
    path : path-like
    header : Header
        Of the primary HDU.
    cube : CubePlanes
        NaN is a voxel without a value.
    grid : CubeGrid
    group : SpaxelGroup
    corrected : bool
        Whether differential refraction was taken out.
    images : sequence of (Header, ndarray)
        To follow the spectra, each with an extension ``NAME_DQ`` of its flags.

    Raises
    ------
    ProductStoreError
        If the file cannot be written.
    """
    path = Path(path)
    primary = header.copy()
    primary["EURO3D"] = ("T", "file conforms to Euro3D standard")
    primary["E3D_VERS"] = ("1.0", "version number of the Euro3D format")
    primary["E3D_ADC"] = ("T" if corrected else "F", "whether data are corrected for atmospheric dispersion")
    set_key(primary, "PIPEFILE", path.name, "Filename of data product")
    fmt = e3d_data_format(cube.shape[0], cube.unit, grid.spatial.celestial)
    layout = np.dtype(
        [(column.name, column.dtype.newbyteorder(">"), _cell(column)) for column in fmt.columns]  # as on disk
    )
    first = _first_planes(cube)
    used = first < cube.shape[0]
    rows = int(used.sum())
    own = table_cards(layout.itemsize, rows, len(fmt.columns))
    own.extend(encode_columns(fmt, {column.name: np.zeros(0, column.dtype) for column in fmt.columns})[1].cards)
    own["EXTNAME"] = (fmt.name, "This is the Euro3D data table extension")
    own.extend(_wave_cards(grid).cards)
    with FitsWriter(path, datamd5=True) as writer:
        writer.primary(primary)
        writer.raw_hdu(own, lambda: _row_bytes(cube, grid, first, layout), rows * layout.itemsize)
        groups, cards = encode_columns(E3D_GRP, group.columns())
        name = Header()
        name["EXTNAME"] = (E3D_GRP.name, "This is the Euro3D group table extension")
        writer.table(name, groups, cards)
        for image_header, image in images:
            for own_header, array in _with_flags(image_header, image):
                writer.image(own_header, array)
    return path


def _cell(column: Column) -> tuple[int, ...]:
    return (column.repeat,) if column.name.endswith("_SPE") else ()


def _first_planes(cube: CubePlanes) -> npt.NDArray[np.int64]:
    """The first plane (from 0) in which each spaxel has a value, shape (ny, nx); the number of planes if none has."""
    nz = cube.shape[0]
    first = np.full(cube.shape[1:], nz, np.int64)
    for z0 in range(0, nz, _SLAB):
        known = np.isfinite(cube.read_part("DATA", z0, min(z0 + _SLAB, nz)))
        found = np.where(known.any(axis=0), z0 + known.argmax(axis=0), nz)
        np.minimum(first, found, out=first)
    return first


def _wave_cards(grid: CubeGrid) -> Header:
    axis = grid.spectral
    start = float(axis.wave(0))
    cards = Header()
    cards["CTYPES"] = axis.ctype
    cards["CUNITS"] = "Angstrom"
    cards["CRVALS"] = start
    cards["CDELTS"] = axis.cd * start / axis.crval if axis.log else axis.cd
    return cards


def _row_bytes(
    cube: CubePlanes, grid: CubeGrid, first: npt.NDArray[np.int64], layout: np.dtype[Any]
) -> Iterator[npt.NDArray[np.uint8]]:
    """The rows as bytes, in pieces of whole words of four."""
    nz, ny, nx = cube.shape
    east, north = grid.spatial.centres(nx, 0, ny)
    zero = grid.spatial.crval[0] if grid.spatial.celestial else 0.0
    east, north = (np.broadcast_to(axis, (ny, nx)) for axis in (east + zero, north))
    width = max(1, _BYTES // (8 * nz * ny))
    left = np.zeros(0, np.uint8)
    for x0 in range(0, nx, width):
        spectra = [_spectra(cube, part, range(x0, min(x0 + width, nx))) for part in ("DATA", "STAT")]
        for x, data, stat in zip(range(x0, nx), *spectra, strict=False):
            used = np.flatnonzero(first[:, x] < nz)
            record = np.zeros(used.size, layout)
            record["SPEC_ID"] = x * ny + used + 1
            record["XPOS"], record["YPOS"] = east[used, x], north[used, x]
            _fill(record, first[used, x], data[used], stat[used])
            piece = np.concatenate([left, record.view(np.uint8).reshape(-1)])
            whole = piece.size // 4 * 4
            yield piece[:whole]
            left = piece[whole:]
    yield left


def _spectra(cube: CubePlanes, part: str, columns: range) -> npt.NDArray[np.float32]:
    """Spectra of some columns of spaxels, shape (columns, ny, nz), read by slabs of planes."""
    nz, ny, _ = cube.shape
    found = np.empty((len(columns), ny, nz), np.float32)
    for z0 in range(0, nz, _SLAB):
        z1 = min(z0 + _SLAB, nz)
        planes = cube.read_part(part, z0, z1)[:, :, columns.start : columns.stop]
        found[:, :, z0:z1] = planes.transpose(2, 1, 0)
    return found


def _fill(
    record: npt.NDArray[Any],
    starts: npt.NDArray[np.int64],
    data: npt.NDArray[np.float32],
    stat: npt.NDArray[np.float32],
) -> None:
    """Write spectra, shape (n, nz), into rows: from their first planes on, what follows the last one is NaN."""
    nz = data.shape[1]
    record["SELECTED"] = b"T"
    record["NSPAX"] = record["GROUP_N"] = 1
    record["SPEC_STA"], record["SPEC_LEN"] = starts + 1, nz - starts
    record["SPAX_ID"] = b" "
    places = starts[:, None] + np.arange(nz)
    beyond = places >= nz
    places[beyond] = nz - 1
    data, stat = (np.take_along_axis(values, places, axis=1) for values in (data, stat))
    lost = np.isnan(data) & ~beyond
    with np.errstate(invalid="ignore"):
        errors = np.sqrt(stat)
    for name, values in (("DATA_SPE", data), ("STAT_SPE", errors)):
        record[name] = np.where(beyond, np.float32(np.nan), np.where(lost, np.float32(0), values))
    record["QUAL_SPE"] = np.where(lost, int(Dq.MISSING), 0)


def _with_flags(header: Header, image: npt.NDArray[np.float32]) -> Iterator[tuple[Header, npt.NDArray[Any]]]:
    """An image and its flags; it keeps NaN where it has no value."""
    name = str(header["EXTNAME"])
    own = header.copy()
    own["QUALDATA"] = (f"{name}_DQ", "pointer to the bad pixel mask extension")
    yield own, image
    flags = header.copy()
    flags.remove("BUNIT")
    flags["EXTNAME"] = (f"{name}_DQ", "reconstructed image (bad pixel status values)")
    flags["OBJECT"] = str(header.get("OBJECT", "")).replace(f"({name})", f"({name}, DQ)")
    flags["HDUCLAS2"] = ("QUALITY", "this extension contains bad pixel mask")
    flags["HDUCLAS3"] = ("FLAG32BIT", "extension contains 32bit Euro3D bad pixel information")
    flags["QUALMASK"] = (4294967295, "all non-zero values are bad")
    flags["SCIDATA"] = (name, "pointer to the data extension")
    yield flags, np.where(np.isnan(image), np.int32(Dq.MISSING), np.int32(0))
