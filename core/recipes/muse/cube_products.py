"""A pixel table becomes what people look at: a cube and images of it, with the widths of its sources as QC.

What muse_scipost, muse_exp_combine and muse_scipost_make_cube have in common.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from core.cubes.collapse import WHITE, Filter
from core.cubes.wcs import CubeGrid, OutputWcs
from core.cubes.weights import Resampling
from core.errors import ParameterError
from core.fitsfile.header import Header
from core.fitsfile.keywords import set_key
from core.formats.cube import CubeFile
from core.formats.cube_forms import CUBE_FORMS, CubeForm
from core.formats.filters import read_filters
from core.formats.pixtable_read import PixelTable
from core.onsky.apertures import first_apertures, measure_fwhm
from core.recipes.declaration import FrameSpec, QcSpec, RecipeParameters, parameter
from core.recipes.flow import Product, RecipeContext
from core.recipes.frames import Frame, FrameSet
from core.recipes.logs import Logger
from core.recipes.muse.cube_shapes import exposure_headers, shaped_products
from core.recipes.muse.cube_work import CubeWork
from core.recipes.muse.cubes import CubeOptions, FilledCube, Slab, cube_grid, fill_cube, reserve_cube, with_images
from core.recipes.muse.output_wcs import read_output_wcs
from core.recipes.muse.pixel_source import source_of_table
from core.recipes.muse.science_cards import check_times
from core.recipes.muse.steps.pointing import spaxel_of
from core.recipes.names import product_name

__all__ = [
    "CUBE_INPUTS",
    "CubeMaker",
    "CubeParameters",
    "SinglePlane",
    "describe_sources",
    "field_filters",
    "fwhm_qc",
    "known_filters",
]

_SIGMAS: Final = (5.0, 4.0, 3.0)
_NOTHING: Final = -1.0  # of a source that has no width
CUBE_INPUTS: Final = (
    FrameSpec("FILTER_LIST", "calib", max=1, description="File to be used to create field-of-view images"),
    FrameSpec("OUTPUT_WCS", "calib", max=1, description="WCS to override output cube location / dimensions"),
)


class CubeParameters(RecipeParameters):
    """How a cube is made, and of which filters there are images."""

    resample: Literal["nearest", "linear", "quadratic", "renka", "drizzle", "lanczos"] = parameter(
        "drizzle", "The resampling technique to use for the final output cube."
    )
    dx: float = parameter(
        0.0,
        "Horizontal step size for resampling (in arcsec or pixel). The following defaults are taken when this value is "
        'set to 0.0: 0.2" for WFM, 0.025" for NFM, 1.0 if data is in pixel units.',
        ge=0,
    )
    dy: float = parameter(
        0.0,
        "Vertical step size for resampling (in arcsec or pixel). The following defaults are taken when this value is "
        'set to 0.0: 0.2" for WFM, 0.025" for NFM, 1.0 if data is in pixel units.',
        ge=0,
    )
    dlambda: float = parameter(
        0.0,
        "Wavelength step size (in Angstrom). Natural instrument sampling is used, if this is 0.0",
        unit="Angstrom",
        ge=0,
    )
    crtype: Literal["iraf", "mean", "median"] = parameter(
        "median",
        'Type of statistics used for detection of cosmic rays during final resampling. "iraf" uses the variance '
        'information, "mean" uses standard (mean/stdev) statistics, "median" uses median and the median median of the '
        "absolute median deviation.",
    )
    crsigma: float = parameter(
        15.0,
        "Sigma rejection factor to use for cosmic ray rejection during final resampling. A zero or negative value "
        "switches cosmic ray rejection off.",
    )
    rc: float = parameter(1.25, 'Critical radius for the "renka" resampling method.', only="resample=renka", gt=0)
    pixfrac: str = parameter(
        "0.8,0.8",
        'Pixel down-scaling factor for the "drizzle" resampling method. Up to three, comma-separated, floating-point '
        "values can be given. If only one value is given, it applies to all dimensions, two values are interpreted as "
        "spatial and spectral direction, respectively, while three are taken as horizontal, vertical, and spectral.",
        only="resample=drizzle",
    )
    ld: int = parameter(
        1,
        "Number of adjacent pixels to take into account during resampling in all three directions (loop distance); "
        'this affects all resampling methods except "nearest".',
        ge=1,
    )
    format: Literal["Cube", "Euro3D", "xCube", "xEuro3D", "sdpCube"] = parameter(
        "Cube",
        'Type of output file format, "Cube" is a standard FITS cube with NAXIS=3 and multiple extensions (for data and '
        'variance), "Euro3D" a table of spectra. The extended "x" formats include the reconstructed image(s) in FITS '
        'image extensions within the same file. "sdpCube" does some extra calculations to create FITS keywords for the '
        "ESO Science Data Products.",
    )
    filter: str = parameter(
        "white",
        "The filter name(s) to be used for the output field-of-view image. Each name has to correspond to an EXTNAME "
        "in an extension of the FILTER_LIST file. If an unsupported filter name is given, creation of the respective "
        "image is omitted. If multiple filter names are given, they have to be comma separated.",
    )

    def options(self, output: OutputWcs | None) -> CubeOptions:
        """How the cube is made."""
        resampling = Resampling(self.resample, self.ld, self.rc, _fractions(self.pixfrac))
        return CubeOptions(resampling, self.crtype, self.crsigma, self.dx, self.dy, self.dlambda, output)


def _fractions(text: str) -> tuple[float, float, float]:
    try:
        values = [float(word) for word in text.split(",")]
    except ValueError:
        values = []
    if not 1 <= len(values) <= 3 or not all(0 < value < float("inf") for value in values):
        words = f"pixfrac={text!r} is not accepted: it is up to three positive numbers"
        raise ParameterError(words, parameter="pixfrac")
    x, y, wave = {1: (0, 0, 0), 2: (0, 0, 1), 3: (0, 1, 2)}[len(values)]
    return values[x], values[y], values[wave]


def fwhm_qc(prefix: str, tag: str, axes: tuple[str, ...] = ()) -> tuple[QcSpec, ...]:
    """QC parameters of the sources of a cube."""
    parts = (
        ("NDET", "", "int", "Number of detected sources in output cube."),
        ("LAMBDA", "Angstrom", "float", "Wavelength of plane in combined cube that was used for object detection."),
        ("POS{source}.X", "pix", "float", "Position of source k in x-direction in combined frame"),
        ("POS{source}.Y", "pix", "float", "Position of source k in y-direction in combined frame"),
        ("FWHM{source}.X", "arcsec", "float", "FWHM of source k in x-direction in combined frame; -1: not measured"),
        ("FWHM{source}.Y", "arcsec", "float", "FWHM of source k in y-direction in combined frame; -1: not measured"),
        ("FWHM.NVALID", "", "int", "Number of detected sources with valid FWHM in output cube."),
        (
            "FWHM.MEDIAN",
            "arcsec",
            "float",
            "Median FWHM of all sources with valid FWHM measurement (in x- and y-direction) in output cube. If less "
            "than three sources with valid FWHM are detected, this value is zero.",
        ),
        (
            "FWHM.MAD",
            "arcsec",
            "float",
            "Median absolute deviation of the FWHM of all sources with valid FWHM measurement (in x- and y-direction) "
            "in output cube. If less than three sources with valid FWHM are detected, this value is zero.",
        ),
    )
    return tuple(
        QcSpec(f"{prefix}.{name}", unit, kind, "CAL", text, (tag,), product_axes=axes)  # type: ignore[arg-type]
        for name, unit, kind, text in parts
    )


@dataclass(frozen=True)
class CubeMaker:
    """Makes cube and images of a pixel table.

    Attributes
    ----------
    params : CubeParameters
    frames : FrameSet
        Among which FILTER_LIST and OUTPUT_WCS are looked for.
    ctx : RecipeContext
    qc : str, optional
        Prefix of the QC parameters of the cube; without it there are none.
    """

    params: CubeParameters
    frames: FrameSet
    ctx: RecipeContext
    qc: str | None = None

    def make(self, table: PixelTable, tag: str, raws: Sequence[Frame], calibs: Sequence[Frame]) -> list[Product]:
        """The products of a table.

        Raises
        ------
        DataError
            If there is no voxel.
        """
        work = self.reserve(table, tag)
        try:
            self.fill(work)
            return self.products(work, raws, calibs)
        except BaseException:
            work.cube.discard()
            raise

    def reserve(self, table: PixelTable, tag: str) -> CubeWork:
        """Reserve a cube of a table; DataError if there is no voxel, MissingKeywordError if its form cannot be told."""
        if self._form.archive:
            check_times(exposure_headers(table))
        source, options = source_of_table(table), self.params.options(self._output())
        table.index  # noqa: B018 - made once, goes along to all who fill it
        path = self.ctx.output_dir / product_name(tag)
        return CubeWork(tag, table, options, reserve_cube(path, source, cube_grid(source, options), self._form))

    def fill(self, work: CubeWork, planes: range | None = None) -> None:
        """Fill planes of a cube (all unless told otherwise); by any process, in any order."""
        fill_cube(work.cube, source_of_table(work.table), work.options, self.ctx.spread, planes=planes)

    def products(self, work: CubeWork, raws: Sequence[Frame], calibs: Sequence[Frame]) -> list[Product]:
        """The products of a cube that is filled."""
        log = self.ctx.log
        filters = field_filters(self.params.filter, self.frames, log)
        unit, _ = self._form.units(work.table.units.get("data", ""))
        cube = with_images(work.cube, filters, unit, self.ctx.spread)
        if self.qc is not None:
            describe_sources(cube.header, cube.grid, SinglePlane.of(cube), self.qc, log)
        used = [*calibs, *(frame for spec in CUBE_INPUTS for frame in self.frames.tagged(spec.tag)[:1])]
        return shaped_products(cube, self._form, work.table, work.tag, raws, used, log)

    @property
    def _form(self) -> CubeForm:
        return CUBE_FORMS[self.params.format]

    def _output(self) -> OutputWcs | None:
        frame = self.frames.optional("OUTPUT_WCS")
        return None if frame is None else read_output_wcs(frame.path, self.ctx.log)


def known_filters(frames: FrameSet) -> dict[str, Filter]:
    """``white``, and the filters of FILTER_LIST."""
    frame = frames.optional("FILTER_LIST")
    return {"white": WHITE} if frame is None else {"white": WHITE, **read_filters(frame.path)}


def field_filters(words: str, frames: FrameSet, log: Logger) -> list[Filter]:
    """The filters of a comma-separated list of names that are known."""
    names = [name.strip() for name in words.split(",") if name.strip() not in ("", "none")]
    known = known_filters(frames)
    for name in names:
        if name not in known:
            log.warning("there is no filter %s: there is no image of it", name)
    return [known[name] for name in names if name in known]


def describe_sources(header: Header, grid: CubeGrid, plane: SinglePlane, prefix: str, log: Logger) -> None:
    """Write the QC parameters of the sources in a plane into the header of a cube."""
    wave = float(grid.spectral.wave(np.array([plane.number]))[0])
    found, sigma = first_apertures(plane.data, _SIGMAS)
    log.debug("%d sources at %.2f Angstrom above %g sigma", len(found), wave, sigma)
    set_key(header, f"{prefix}.NDET", len(found), "number of detected sources")
    set_key(header, f"{prefix}.LAMBDA", np.float32(wave), "[Angstrom] wavelength of the plane")
    widths: list[float] = []
    scale = [3600 * size for size in grid.spatial.scales] if grid.spatial.celestial else spaxel_of(header)
    for number, source in enumerate(found, start=1):
        pixels = measure_fwhm(plane.data, *source.nearest)
        whole = min(pixels) > 0
        arcsec = [width * size if whole else _NOTHING for width, size in zip(pixels, scale, strict=True)]
        set_key(header, f"{prefix}.POS{number}.X", np.float32(source.x), f"[pix] position of source {number} in x")
        set_key(header, f"{prefix}.POS{number}.Y", np.float32(source.y), f"[pix] position of source {number} in y")
        for axis, width in zip("XY", arcsec, strict=True):
            set_key(header, f"{prefix}.FWHM{number}.{axis}", np.float32(width), "[arcsec] FWHM of source")
        if whole:
            widths += arcsec
    enough = len(found) >= 3 and widths
    median = float(np.median(widths)) if enough else 0.0
    mad = float(np.median(np.abs(np.array(widths) - median))) if enough else 0.0
    set_key(header, f"{prefix}.FWHM.NVALID", len(widths) // 2, "number of sources with valid FWHM")
    set_key(header, f"{prefix}.FWHM.MEDIAN", np.float32(median), "[arcsec] median FWHM of all sources")
    set_key(header, f"{prefix}.FWHM.MAD", np.float32(mad), "[arcsec] MAD of the FWHM of all sources")


class SinglePlane:
    """One plane of a cube, when it comes by."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.data: npt.NDArray[np.float32] = np.zeros((0, 0), np.float32)

    @classmethod
    def of(cls, cube: FilledCube) -> SinglePlane:
        """The middle one of a cube that is filled."""
        plane = cls(cube.grid.nz // 2)
        with CubeFile.open(cube.path) as file:
            plane.data = file.planes().read_part("DATA", plane.number, plane.number + 1)[0]
        return plane

    def look(self, slab: Slab) -> None:
        if slab.z0 <= self.number < slab.z0 + len(slab.data):
            self.data = slab.data[self.number - slab.z0].copy()
