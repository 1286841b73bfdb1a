"""Pixels become a cube on disk, in bounded memory: the way of every recipe that makes one.

    source = source_of_table(open_pixtable(path))        # or source_of_columns(columns, header), joined_source(...)
    cube = write_cube(output_dir / name, source, CubeOptions(crsigma=50.0), filters=[None], spread=ctx.spread)
    FileProduct("DATACUBE_SKYFLAT", cube, cube.header, raws, calibs)

The cube is made slab by slab (`cube_slabs`, which small cubes may take as they come); neither the size of the slabs nor
threads change a bit of it.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from core.cubes.collapse import FieldImage, Filter
from core.cubes.grid import ROW_BYTES, Region
from core.cubes.rejection import CosmicStatistic, Rejection, slice_direction
from core.cubes.resample import Voxels, margin_of, resample
from core.cubes.wcs import CubeGrid, OutputWcs, Steps, output_grid
from core.cubes.weights import Resampling
from core.errors import ProductStoreError
from core.fitsfile.header import Header
from core.fitsfile.keywords import del_keys, get_key, has_key, set_key
from core.formats.cube import CubeFile
from core.formats.cube_forms import PLAIN_CUBE, CubeForm
from core.formats.image import image_extension_header
from core.formats.pixtable_origin import PREFIX
from core.instruments.muse.facts import SPAXEL_NFM, SPAXEL_WFM, mode_class
from core.recipes.muse.pixel_source import ROW, PixelSource
from core.spread import Spread, in_turn

__all__ = [
    "CubeOptions",
    "FilledCube",
    "Slab",
    "cube_grid",
    "cube_header",
    "cube_slabs",
    "discard_cube",
    "fill_cube",
    "image_file_headers",
    "image_header",
    "position_angle",
    "reserve_cube",
    "wcs_header",
    "with_images",
    "write_cube",
]

_BYTES: Final = 512 << 20  # for the pixels of a slab, unless told otherwise
_READ: Final = 32 << 20  # bytes of a cube that are read at a time
_VOXEL_BYTES: Final = 16  # of a region, with the first pixel of its cell
_WCS_KEYS: Final = r"(WCSAXES|(CTYPE|CUNIT|CRVAL|CRPIX|CDELT|CROTA)\d|(CD|PC)\d_\d|LONPOLE|LATPOLE|BUNIT)\Z"
_ALL: Final = "white"  # name of an image over all planes


@dataclass(frozen=True)
class CubeOptions:
    """How a cube is made of pixels.

    Attributes
    ----------
    resampling : Resampling
    crtype : {'median', 'mean', 'iraf'}
    crsigma : float
        0 or less: cosmic rays are not looked for.
    dx, dy : float
        Size of a pixel [pix, or arcsec on the sky]; 0: the natural one.
    dlambda : float
        Step [Angstrom]; 0: the natural one.
    output : OutputWcs, optional
        The grid that is wanted.
    max_bytes : int
        Memory for the pixels of a slab; exceeded if a plane, or a row of voxels of all planes, needs more.
    """

    resampling: Resampling = field(default_factory=Resampling)
    crtype: CosmicStatistic = "median"
    crsigma: float = 15.0
    dx: float = 0.0
    dy: float = 0.0
    dlambda: float = 0.0
    output: OutputWcs | None = None
    max_bytes: int = _BYTES


@dataclass(frozen=True, eq=False)
class Slab:
    """Planes of a cube.

    Attributes
    ----------
    z0 : int
        The first, from 0.
    data, stat : ndarray of float32, shape (n, ny, nx)
        NaN where there is nothing.
    cosmics : ndarray of int64, shape (m,)
        Rows of the table that are cosmic rays, if the source numbers its rows.
    """

    z0: int
    data: npt.NDArray[np.float32]
    stat: npt.NDArray[np.float32]
    cosmics: npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class FilledCube:
    """A cube that is filled and waits for its header (a `core.recipes.flow.FilledFile`).

    Attributes
    ----------
    path : pathlib.Path
        Final name.
    header : Header
        Primary header, without provenance.
    grid : CubeGrid
    images : tuple of (Header, ndarray of float32)
        Extensions that follow the cube.
    """

    path: Path
    header: Header
    grid: CubeGrid
    images: tuple[tuple[Header, npt.NDArray[np.float32]], ...] = ()

    def finish(self, header: Header) -> Path:
        """Write header and images, and give the file its final name."""
        with CubeFile.open(self.path) as cube:
            return cube.finish(header, self.images)

    def discard(self) -> None:
        """Remove what is reserved."""
        with CubeFile.open(self.path) as cube:
            cube.discard()


def write_cube(
    path: Path,
    source: PixelSource,
    options: CubeOptions,
    *,
    filters: Sequence[Filter | None] = (),
    form: CubeForm = PLAIN_CUBE,
    spread: Spread = in_turn,
    each: Callable[[Slab], None] | None = None,
) -> FilledCube:
    """Make a cube (DATA, STAT) and images of it, in bounded memory; nothing is left of one that fails.

    Parameters
    ----------
    path : pathlib.Path
        Final name; the cube has it when it is finished.
    source : PixelSource
    options : CubeOptions
    filters : sequence of Filter or None
        Of the images, which follow the cube in extensions of their names. None: the mean of all planes, ``white``.
    form : CubeForm
        Its units and the words of its axes.
    spread : Spread
        Threads of the caller.
    each : callable, optional
        Called with each slab, in order.

    Raises
    ------
    DataError
        If there is no voxel.
    ProductStoreError
        If the cube cannot be written.
    """
    cube = reserve_cube(path, source, cube_grid(source, options), form)
    try:
        fill_cube(cube, source, options, spread, each=each)
        return with_images(cube, filters, form.units(source.unit)[0], spread)
    except BaseException:
        cube.discard()
        raise


def reserve_cube(path: Path, source: PixelSource, grid: CubeGrid, form: CubeForm = PLAIN_CUBE) -> FilledCube:
    """Room on the disk for a cube, to be filled by `fill_cube`; ProductStoreError if there is none."""
    header, wcs = cube_header(source.header), form.axes(wcs_header(grid))
    unit, variance_unit = form.units(source.unit)
    CubeFile.create(path, grid.shape, header, wcs, unit=unit, variance_unit=variance_unit).close()
    return FilledCube(path, header, grid)


def fill_cube(
    cube: FilledCube,
    source: PixelSource,
    options: CubeOptions,
    spread: Spread = in_turn,
    *,
    planes: range | None = None,
    each: Callable[[Slab], None] | None = None,
) -> None:
    """Fill planes (all unless told otherwise) of a cube: by any process, in any order, twice with the same bytes."""
    with CubeFile.open(cube.path) as file:
        for slab in cube_slabs(source, cube.grid, options, spread, planes):
            file.put(slab.z0, slab.data, slab.stat)
            if each is not None:
                each(slab)


def with_images(cube: FilledCube, filters: Sequence[Filter | None], unit: str, spread: Spread = in_turn) -> FilledCube:
    """A cube all planes of which are filled, with its images; see `write_cube`."""
    grid, name = cube.grid, get_key(cube.header, "OBJECT", str, default="")
    images = [FieldImage(grid.spectral, grid.shape, through) for through in filters]
    step = max(1, _READ // (4 * grid.ny * grid.nx))
    with CubeFile.open(cube.path) as file:
        planes = file.planes()
        for z0 in range(0, grid.nz if images else 0, step):
            data = planes.read_part("DATA", z0, min(z0 + step, grid.nz))
            for image in images:
                image.add(z0, data, spread=spread)
    return replace(cube, images=tuple((image_header(image, grid, unit, name), image.image()) for image in images))


def discard_cube(path: Path) -> None:
    """Remove a cube that was reserved and is not finished, if there is one."""
    with contextlib.suppress(ProductStoreError):
        CubeFile.open(path).discard()


def cube_grid(source: PixelSource, options: CubeOptions) -> CubeGrid:
    """The grid of the cube of a source; DataError if it has no voxel."""
    celestial = source.positions.celestial
    natural = (1.0, 1.0)
    if celestial:
        narrow = mode_class(get_key(source.header, "INS.MODE", str, default=None)).startswith("NFM")
        natural = SPAXEL_NFM if narrow else SPAXEL_WFM
    x, y = (given or own for given, own in zip((options.dx, options.dy), natural, strict=True))
    unit = 3600.0 if celestial else 1.0
    return output_grid(
        source.x,
        source.y,
        source.wave,
        Steps(x / unit, y / unit, options.dlambda or None),
        centre=source.positions.zero if celestial else None,
        output=options.output,
    )


def cube_slabs(
    source: PixelSource, grid: CubeGrid, options: CubeOptions, spread: Spread = in_turn, planes: range | None = None
) -> Iterator[Slab]:
    """The planes of a cube (all unless told otherwise), slab after slab, in bounded memory.

    A slab is made of bands of rows of voxels where a whole plane has too many pixels.
    """
    direction = slice_direction(source.positions.celestial, position_angle(source.header))
    rejection = Rejection(options.crtype, options.crsigma, direction)
    margin = margin_of(options.resampling, rejection)
    planes = range(grid.nz) if planes is None else planes
    n_planes, n_lines = _division(source.n_rows, grid, margin, options.max_bytes)
    for z0 in range(planes.start, planes.stop, n_planes):
        z1 = min(z0 + n_planes, planes.stop)
        bands: list[Voxels] = []
        cosmics = [np.zeros(0, np.int64)]
        for y0 in range(0, grid.ny, n_lines):
            region = Region(z0, z1, y0, min(y0 + n_lines, grid.ny))
            voxels, rows = _resampled(source, grid, region, options.resampling, rejection, spread)
            bands.append(voxels)
            cosmics.append(rows)
        found = np.unique(np.concatenate(cosmics))
        if len(bands) == 1:
            yield Slab(z0, bands[0].data, bands[0].stat, found)
        else:
            data, stat = (np.concatenate([getattr(band, part) for band in bands], axis=1) for part in ("data", "stat"))
            yield Slab(z0, data, stat, found)


def _resampled(
    source: PixelSource, grid: CubeGrid, region: Region, resampling: Resampling, rejection: Rejection, spread: Spread
) -> tuple[Voxels, npt.NDArray[np.int64]]:
    """A region, and which numbered rows are cosmic rays; its pixels are forgotten before those of the next are read."""
    margin = margin_of(resampling, rejection)
    columns = source.read(grid.spectral.reach(region.z0, region.z1, margin), _reach(grid, region, margin))
    voxels = resample(
        columns, grid, source.positions, region, resampling=resampling, rejection=rejection, spread=spread
    )
    return voxels, columns[ROW][voxels.cosmics] if ROW in columns else np.zeros(0, np.int64)


def position_angle(header: Header) -> float:
    """Position angle of an exposure [deg]."""
    angle = get_key(header, "INS.DROT.POSANG", float, default=0.0)
    return -angle if get_key(header, "INS.DROT.MODE", str, default="") == "SKY" else angle


def cube_header(header: Header) -> Header:
    """Primary header of a cube, from that of its pixel table."""
    own = header.copy()
    del_keys(own, _WCS_KEYS)
    corrected = has_key(own, f"{PREFIX}.FFCORR")
    del_keys(own, PREFIX.replace(".", r"\.") + r"\.")
    if corrected:
        set_key(own, "DRS.MUSE.FLUX.FFCORR", True, "the spectrum of the flat field was taken out")
    return own


def wcs_header(grid: CubeGrid, *, axes: int = 3) -> Header:
    """World coordinates of a cube, or of its images with ``axes=2``."""
    spatial, spectral = grid.spatial, grid.spectral
    types = ("RA---TAN", "DEC--TAN") if spatial.celestial else ("PIXEL", "PIXEL")
    unit = "deg" if spatial.celestial else "pixel"
    header = Header()
    for n in (1, 2):
        header[f"CTYPE{n}"] = types[n - 1]
        header[f"CUNIT{n}"] = unit
        header[f"CRPIX{n}"] = spatial.crpix[n - 1]
        header[f"CRVAL{n}"] = spatial.crval[n - 1]
        for m in (1, 2):
            header[f"CD{n}_{m}"] = float(spatial.cd[n - 1][m - 1])
    if axes == 3:
        header["CTYPE3"] = spectral.ctype
        header["CUNIT3"] = "Angstrom"
        header["CRPIX3"] = spectral.crpix
        header["CRVAL3"] = spectral.crval
        header["CD3_3"] = spectral.cd
        for key in ("CD1_3", "CD2_3", "CD3_1", "CD3_2"):
            header[key] = 0.0
    return header


def image_header(image: FieldImage, grid: CubeGrid, unit: str, name: str = "") -> Header:
    """Header of the extension with an image; ``name`` is that of the object."""
    through = image.through
    filter_name = _ALL if through is None else through.name
    header = image_extension_header("DATA", unit, parts=("DATA",))
    header["EXTNAME"] = (filter_name, "reconstructed image (data values)")
    header["OBJECT"] = f"{name} ({filter_name})"
    header.extend(wcs_header(grid, axes=2).cards)
    set_key(header, "DRS.MUSE.FILTER.NAME", filter_name, "filter name used")
    for system, zero_point in (through.zero_points if through is not None else {}).items():
        set_key(header, f"DRS.MUSE.FILTER.ZP{system}", zero_point, f"[mag] zero point in the {system} system")
    if image.fraction is not None:
        percent = np.float32(100 * image.fraction)
        set_key(header, "DRS.MUSE.FILTER.FRACTION", percent, "[%] fraction of filter covered by data")
    return header


def image_file_headers(extension: Header, cube: Header) -> tuple[Header, Header]:
    """Headers of an image that has a file of its own (IMAGE_FOV): primary, and that of its extension ``DATA``.

    Parameters
    ----------
    extension : Header
        Of `image_header`.
    cube : Header
        Primary header of the cube; what is said of the quality of the cube is not said of the image.
    """
    primary = cube.copy()
    del_keys(primary, r"QC\.")
    primary["OBJECT"] = extension["OBJECT"]
    for card in extension.cards:
        if card.keyword.startswith("ESO DRS MUSE FILTER"):
            primary.put(card)
    own = extension.copy()
    own.remove("EXTNAME", "OBJECT")
    return primary, own


def _division(n_rows: int, grid: CubeGrid, margin: int, max_bytes: int) -> tuple[int, int]:
    """Planes of a slab and rows of voxels of a band."""
    area = grid.ny * grid.nx
    per_plane = n_rows / grid.nz * ROW_BYTES + area * _VOXEL_BYTES
    planes = math.floor(max_bytes / per_plane) - 2 * margin
    if planes >= max(1, 2 * margin) or planes >= grid.nz:
        return min(planes, grid.nz), grid.ny
    planes = max(1, min(grid.nz, math.floor(max_bytes / 4 / (area * _VOXEL_BYTES))))
    per_line = per_plane / grid.ny * min(planes + 2 * margin, grid.nz)
    return planes, min(grid.ny, max(1, math.floor(max_bytes / per_line) - 2 * margin))


def _reach(grid: CubeGrid, region: Region, margin: int) -> tuple[float, float]:
    """Lowest and highest y of a region and its margin, a little wide."""
    _, y = grid.spatial.centres(grid.nx, region.y0 - margin - 1, region.y1 + margin + 1)
    return float(y.min()), float(y.max())
