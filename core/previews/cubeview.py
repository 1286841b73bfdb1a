"""A cube in little: what a page needs to show a spectrum under the cursor without reading the cube.

In a cube of 300 x 300 x 3700 voxels the spectrum of a spaxel lies in 3700 places of a file of 2.7 GB. Its *view* is
made once, when the cube is (one pass over its planes), and has

* the white-light image: the mean of all planes, in full spatial size (``WHITE``), and
* spectra of boxes of spaxels in bins of planes, one row of a table each, so that a spectrum is one read of a few kB
  (``SPECTRA``: ``VALUES`` are integers of 16 bits, to be scaled by ``SCALE`` and ``ZERO`` of the row).

Boxes and bins are as small as the table stays below `BUDGET` bytes: of a field of MUSE 4 x 4 spaxels (0.8 arcsec, the
width of a star) and 3 planes (3.75 Angstrom). Means leave out voxels without a value.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from core.cubes.wcs import CubeGrid, SpatialAxes, WaveAxis
from core.errors import BadFitsError, MissingKeywordError, ParameterError
from core.fitsfile.header import Header
from core.fitsfile.keywords import get_key
from core.fitsfile.scan import HduScan, scan_fits
from core.fitsfile.transfer import read_at
from core.fitsfile.writer import FitsWriter
from core.formats.cube import CubePlanes
from core.formats.cube_axes import axes_of_cube, wave_axis
from core.formats.field_image import spatial_axes

__all__ = ["BUDGET", "CubeView", "Spectrum", "ViewMaker", "open_cube_view"]

BUDGET: Final = 16 << 20  # [byte] of the spectra of a view
_BINS: Final = 1250  # of a spectrum at most: more than a page has pixels
_SLAB: Final = 4 << 20  # [byte] of planes read at once
_BLANK: Final = -32768
_LEVELS: Final = 65534  # between the smallest and the largest value of a spectrum
_WHITE: Final = "WHITE"
_SPECTRA: Final = "SPECTRA"
_SIZES: Final = ("CUBENX", "CUBENY", "CUBENZ", "BOX", "PLANES")

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class _Binning:
    """Lengths of a cube, and how many spaxels (in each direction) and planes become one."""

    shape: tuple[int, int, int]
    box: int
    planes: int

    @classmethod
    def of(cls, shape: tuple[int, int, int], budget: int = BUDGET) -> _Binning:
        nz, ny, nx = shape
        planes = -(-nz // _BINS)
        row = 2 * -(-nz // planes) + 8
        box = max(1, math.isqrt(max(ny * nx * row // budget, 1)))
        while -(-ny // box) * -(-nx // box) * row > budget and box < max(ny, nx):
            box += 1
        return cls(shape, box, planes)

    @property
    def binned(self) -> tuple[int, int, int]:
        """``(nz, ny, nx)`` of the view."""
        nz, ny, nx = self.shape
        return -(-nz // self.planes), -(-ny // self.box), -(-nx // self.box)

    def middles(self) -> F64:
        """Planes of the cube, from 0, in the middle of each bin."""
        first = np.arange(self.binned[0]) * self.planes
        last = np.minimum(first + self.planes, self.shape[0]) - 1
        return np.asarray((first + last) / 2)


class ViewMaker:
    """Sums up the planes of a cube, slab by slab, and writes its view.

    Parameters
    ----------
    cube : CubePlanes
    budget : int
        Bytes of its spectra.
    """

    def __init__(self, cube: CubePlanes, budget: int = BUDGET) -> None:
        self._cube, self._grid = cube, axes_of_cube(cube)
        self._binning = _Binning.of(cube.shape, budget)
        nz, ny, nx = self._binning.binned
        self._spectra = np.full((ny, nx, nz), np.nan, np.float32)
        self._sum, self._count = np.zeros(cube.shape[1:]), np.zeros(cube.shape[1:], np.int32)

    def run(self) -> ViewMaker:
        """Read the cube, plane after plane."""
        nz, ny, nx = self._binning.shape
        step = self._binning.planes * max(1, _SLAB // (4 * ny * nx * self._binning.planes))
        for z0 in range(0, nz, step):
            self._add(z0, self._cube.read_part("DATA", z0, min(z0 + step, nz)))
        return self

    def _add(self, z0: int, data: F32) -> None:
        good = np.isfinite(data)
        data[~good] = 0.0
        planes, box = self._binning.planes, self._binning.box
        total, number = data, good.astype(np.int32)
        first = np.arange(0, len(data), planes)
        total, number = (np.add.reduceat(array, first, axis=0) for array in (total, number))
        self._sum += total.sum(axis=0, dtype=np.float64)
        self._count += number.sum(axis=0, dtype=np.int32)
        for axis in (1, 2):
            edges = np.arange(0, data.shape[axis], box)
            total, number = (np.add.reduceat(array, edges, axis=axis) for array in (total, number))
        mean = np.divide(total, number, out=np.full(total.shape, np.nan, np.float32), where=number > 0)
        at = z0 // planes
        self._spectra[:, :, at : at + len(mean)] = mean.transpose(1, 2, 0)

    @property
    def white(self) -> F32:
        """The white-light image; NaN where there is no value."""
        mean = np.divide(self._sum, self._count, out=np.full(self._sum.shape, np.nan), where=self._count > 0)
        return mean.astype(np.float32)

    @property
    def grid(self) -> CubeGrid:
        """The axes of the cube."""
        return self._grid

    def write(self, path: str | os.PathLike[str]) -> Path:
        """Write the view, atomically."""
        path = Path(path)
        nz, ny, nx = self._binning.binned
        columns, cards = _encoded(self._spectra.reshape(ny * nx, nz)), Header()
        for number, (name, form) in enumerate((("ZERO", "1E"), ("SCALE", "1E"), ("VALUES", f"{nz}I")), 1):
            cards[f"TTYPE{number}"], cards[f"TFORM{number}"] = name, form
        cards["TNULL3"] = (_BLANK, "no value")
        primary = Header()
        primary["CUBE"] = (self._cube.path.name, "what this is a view of")
        with FitsWriter(path) as writer:
            writer.primary(primary)
            writer.image(self._axes_cards(_WHITE), self.white)
            writer.table(self._table_cards(), columns, cards)
        return path

    def _axes_cards(self, name: str) -> Header:
        spatial, header = self._grid.spatial, Header()
        header["EXTNAME"] = (name, "extension name")
        header["BUNIT"] = (self._cube.unit, "unit of the values")
        kinds = ("RA---TAN", "DEC--TAN") if spatial.celestial else ("PIXEL", "PIXEL")
        for axis in (0, 1):
            header[f"CTYPE{axis + 1}"] = kinds[axis]
            header[f"CUNIT{axis + 1}"] = "deg" if spatial.celestial else "pixel"
            header[f"CRVAL{axis + 1}"], header[f"CRPIX{axis + 1}"] = spatial.crval[axis], spatial.crpix[axis]
            for other in (0, 1):
                header[f"CD{axis + 1}_{other + 1}"] = spatial.cd[axis][other]
        return header

    def _table_cards(self) -> Header:
        header, spectral = self._axes_cards(_SPECTRA), self._grid.spectral
        header["CTYPE3"], header["CUNIT3"] = spectral.ctype, "Angstrom"
        header["CRVAL3"], header["CRPIX3"], header["CD3_3"] = spectral.crval, spectral.crpix, spectral.cd
        nz, ny, nx = self._binning.shape
        texts = (
            "spaxels of the cube along x",
            "spaxels of the cube along y",
            "planes of the cube",
            "[pix] edge of a box of spaxels: rows go along x first",
            "planes of a bin",
        )
        for name, value, text in zip(_SIZES, (nx, ny, nz, self._binning.box, self._binning.planes), texts, strict=True):
            header[name] = (value, text)
        return header


def _encoded(spectra: F32) -> dict[str, npt.NDArray[np.float32] | npt.NDArray[np.int16]]:
    """Each row as integers between its smallest and its largest value."""
    some = np.isfinite(spectra).any(axis=1)
    low, high = np.zeros(len(spectra)), np.zeros(len(spectra))
    low[some], high[some] = np.nanmin(spectra[some], axis=1), np.nanmax(spectra[some], axis=1)
    scale = np.where(high > low, (high - low) / _LEVELS, 1.0)
    zero = low + scale * (_LEVELS // 2)
    values = np.full(spectra.shape, _BLANK, np.int16)
    for row in np.flatnonzero(some):  # row by row: no second copy of the spectra
        good = np.isfinite(spectra[row])
        values[row, good] = np.rint((spectra[row, good] - zero[row]) / scale[row])
    return {"ZERO": zero.astype(np.float32), "SCALE": scale.astype(np.float32), "VALUES": values}


@dataclass(frozen=True, eq=False)
class Spectrum:
    """The spectrum of a box of spaxels.

    Attributes
    ----------
    x, y : tuple of int
        Its first and last spaxel in each direction, counted from 1.
    values : ndarray of float32
        Mean of the spaxels in each bin; NaN where there is none.
    """

    x: tuple[int, int]
    y: tuple[int, int]
    values: F32


@dataclass(frozen=True, eq=False)
class CubeView:
    """The view of a cube, on disk.

    Attributes
    ----------
    path : pathlib.Path
    width, height : int
        Spaxels of the cube, and pixels of the white-light image.
    box : int
        Edge of the boxes of spaxels [pix].
    planes : int
        Planes of the cube in a bin.
    unit : str
        Of the values.
    wave : ndarray of float64
        Wavelength of each bin [Angstrom].
    vacuum : bool
        Whether they are those in vacuum.
    axes : SpatialAxes
    """

    path: Path
    width: int
    height: int
    box: int
    planes: int
    unit: str
    wave: F64
    vacuum: bool
    axes: SpatialAxes
    _table: HduScan

    extension = _WHITE

    def spectrum(self, x: int, y: int) -> Spectrum:
        """The spectrum of the box in which a spaxel lies, in one read.

        Parameters
        ----------
        x, y : int
            The spaxel, counted from 1.

        Raises
        ------
        ParameterError
            If it is not in the cube.
        BadFitsError
            If the file is cut.
        """
        if not (1 <= x <= self.width and 1 <= y <= self.height):
            raise ParameterError(
                f"a cube of {self.width} x {self.height} spaxels has none at ({x}, {y})", parameter="x, y"
            )
        column, row = (x - 1) // self.box, (y - 1) // self.box
        number = row * -(-self.width // self.box) + column
        layout = np.dtype([("zero", ">f4"), ("scale", ">f4"), ("values", ">i2", self.wave.size)])
        cells = np.empty(1, layout)
        with self.path.open("rb", buffering=0) as stream:
            if not read_at(
                stream.fileno(), cells.view(np.uint8).data, self._table.data_offset + number * layout.itemsize
            ):
                raise BadFitsError("the view of the cube is cut", file=self.path)
        stored = cells["values"][0].astype(np.int16)
        values = np.float32(cells["zero"][0]) + np.float32(cells["scale"][0]) * stored.astype(np.float32)
        values[stored == _BLANK] = np.nan
        return Spectrum(self._ends(column, self.width), self._ends(row, self.height), values)

    def _ends(self, number: int, length: int) -> tuple[int, int]:
        return number * self.box + 1, min((number + 1) * self.box, length)

    def sky(self, x: float, y: float) -> tuple[float, float] | None:
        """Right ascension and declination [deg] of a pixel, the first being 1; None if the cube is in pixels."""
        if not self.axes.celestial:
            return None
        one = SpatialAxes(True, self.axes.crval, (self.axes.crpix[0] - x + 1, self.axes.crpix[1] - y + 1), self.axes.cd)
        ra, dec = one.centres(1, 0, 1)
        return float(ra[0, 0] + self.axes.crval[0]) % 360, float(dec[0, 0])


def open_cube_view(path: str | os.PathLike[str]) -> CubeView:
    """Open a view.

    Raises
    ------
    BadFitsError
        If the file is none.
    """
    path = Path(path)
    scan = scan_fits(path)
    table = scan.extension(_SPECTRA)
    if table is None or table.kind != "table" or scan.extension(_WHITE) is None:
        raise BadFitsError("the file is no view of a cube", file=path)
    header = table.header
    try:
        nx, ny, nz, box, planes = (
            get_key(header, name, int) for name in ("CUBENX", "CUBENY", "CUBENZ", "BOX", "PLANES")
        )
        spectral = wave_axis(header)
    except MissingKeywordError as error:
        raise BadFitsError(f"the file is no view of a cube: {error.message}", file=path) from error
    if not isinstance(spectral, WaveAxis):
        raise BadFitsError("the view has no axis of wavelengths", file=path, keyword="CTYPE3")
    wave = spectral.wave(_Binning((nz, ny, nx), box, planes).middles())
    unit = get_key(header, "BUNIT", str, default="")
    return CubeView(path, nx, ny, box, planes, unit, wave, spectral.vacuum, spatial_axes(header), table)
