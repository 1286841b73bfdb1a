"""muse_astrometry: the size and the turn of the pixels on the sky, by a field of stars of known places."""

from __future__ import annotations

import math
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
from pydantic import field_validator

from core.cubes.collapse import WHITE
from core.cubes.weights import Resampling
from core.errors import DataError
from core.fitsfile.keywords import get_key
from core.formats.astrometric_field import nearest_field
from core.formats.onsky_tables import EXTINCT_TABLE, STD_RESPONSE, STD_TELLURIC, read_curve
from core.formats.pixtable_read import PixelTable
from core.onsky.fieldstars import GaplessImage
from core.recipes.declaration import FrameSpec, ProductSpec, QcSpec, Recipe, parameter
from core.recipes.flow import FileProduct, PartOutput, RecipeContext
from core.recipes.frames import Frame, FrameSet
from core.recipes.muse.astrometry_flow import FieldSolver
from core.recipes.muse.astrometry_products import CUBE, QC, WCS, AstrometryProducts
from core.recipes.muse.cube_products import SinglePlane, describe_sources, fwhm_qc
from core.recipes.muse.cubes import CubeOptions, cube_grid, cube_slabs, write_cube
from core.recipes.muse.differences.cubes import CUBE_DIFFERENCES
from core.recipes.muse.differences.muse_astrometry import DIFFERENCES, MANUAL_NOTES
from core.recipes.muse.exposures import Exposure, RefractionParameters, exposures_of
from core.recipes.muse.pixel_source import source_of_table
from core.recipes.muse.steps.darcheck import check_refraction
from core.recipes.muse.steps.fluxes import FluxCurve, calibrate_fluxes, response_is_older
from core.recipes.muse.steps.refraction import correct_refraction
from core.recipes.names import product_name
from core.recipes.parts import MemoryNeed, Part

__all__ = ["AstrometryParameters", "MuseAstrometry"]

_TABLE: Final = "PIXTABLE_ASTROMETRY"
_REFERENCE: Final = "ASTROMETRY_REFERENCE"
_OF_MEDIAN: Final = (math.nan, 1.0, 1 / 2, 1 - math.sqrt(3) / math.pi)  # variance of the median of so many values of 1
_CUBE_OPTIONS: Final = CubeOptions(Resampling(pixfrac=(1.0, 1.0, 1.0)), "median", 25.0, dlambda=50.0)


class AstrometryParameters(RefractionParameters):
    """Parameters of muse_astrometry."""

    centroid: Literal["gaussian", "moffat", "box"] = parameter(
        "moffat",
        'Centroiding method to use for objects in the field of view. "gaussian" and "moffat" use 2D fits to derive the '
        'centroid, "box" is a simple centroid in a square box.',
    )
    detsigma: float = parameter(
        1.5,
        "Source detection sigma level to use. If this is negative, values between its absolute and 1.0 are tested with "
        "a stepsize of 0.1, to find an optimal solution.",
    )
    radius: float = parameter(
        3.0,
        "Initial radius for pattern matching identification in the astrometric field.",
        unit="pix",
        gt=0,
    )
    faccuracy: float = parameter(
        0.0,
        "Factor of initial accuracy relative to mean positional accuracy of the measured positions to use for pattern "
        "matching. If this is zero, a pattern is looked for that is neither turned nor stretched by more than 5 %.",
        ge=0,
    )
    niter: int = parameter(2, "Number of iterations of the astrometric fit.", ge=1)
    rejsigma: float = parameter(3.0, "Rejection sigma level of the astrometric fit.", gt=0)
    rotcenter: str = parameter(
        "-0.01,-1.20",
        "Center of rotation of the instrument, given as two comma-separated floating point values in pixels.",
    )

    @field_validator("rotcenter")
    @classmethod
    def _check_centre(cls, value: str) -> str:
        _pair(value)
        return value

    @property
    def centre(self) -> tuple[float, float]:
        """Center of rotation, from the middle of the field [pix]."""
        return _pair(self.rotcenter)


class MuseAstrometry(Recipe):
    """Find the astrometric solution of exposures of an astrometric field."""

    name = "muse_astrometry"
    version = "1"
    memory = MemoryNeed(fixed_mb=1200, part_mb=400)
    summary = "Compute an astrometric solution."
    description = (
        "Merge pixel tables from all IFUs, apply correction for differential atmospheric refraction, optionally apply "
        "flux calibration and telluric correction (if the necessary input data was given), and resample the data of "
        "each exposure into a datacube. Use the central planes of the cube to detect objects which are then matched to "
        "their reference positions from which a two-dimensional WCS solution is computed. Fields are best taken at a "
        "position angle of 0: the solution has what they are turned by."
    )
    inputs = (
        FrameSpec(_TABLE, "raw", min=1, description="Pixel table of an astrometric field"),
        FrameSpec(_REFERENCE, "calib", min=1, max=1, description="Reference table of known objects for astrometry"),
        FrameSpec("EXTINCT_TABLE", "calib", max=1, description="Atmospheric extinction table"),
        FrameSpec("STD_RESPONSE", "calib", max=1, description="Response curve as derived from standard star(s)"),
        FrameSpec("STD_TELLURIC", "calib", max=1, description="Telluric absorption as derived from standard star(s)"),
    )
    Params = AstrometryParameters
    products = (
        ProductSpec(CUBE, "cube", "Reduced astrometry field exposure"),
        ProductSpec(WCS, "table", "Astrometric solution"),
    )
    qc = (
        *fwhm_qc(QC, CUBE, ("exposure",)),
        QcSpec(
            f"{QC}.NSTARS",
            "",
            "int",
            "CAL",
            "Number of stars identified for the astrometric solution",
            (WCS,),
            product_axes=("exposure",),
        ),
        *(
            QcSpec(f"{QC}.{name}.{axis}", unit, "float", "HC", text, (WCS,), product_axes=("exposure",))
            for name, unit, text in (
                ("SCALE", "arcsec", "Computed scale in {}-direction"),
                ("ANGLE", "deg", "Computed angle in {}-direction"),
                ("MEDRES", "arcsec", "Median residuals of astrometric fit in {}-direction"),
            )
            for axis, text in (("X", text.format("x")), ("Y", text.format("y")))
        ),
    )
    differences = (*CUBE_DIFFERENCES, *DIFFERENCES)
    manual_notes = MANUAL_NOTES

    @classmethod
    def check_parameters(cls, frames: FrameSet, params: AstrometryParameters) -> None:
        """Wavelengths must be left; see `Recipe.check_parameters`."""
        params.check_wavelengths()

    def process(self, part: Part, frames: FrameSet, params: AstrometryParameters, ctx: RecipeContext) -> PartOutput:
        """Solve all exposures, one after the other; see `Recipe.process`.

        Raises
        ------
        DataError
            If the stars of an exposure are not those of a field.
        """
        exposures = list(exposures_of(frames, (_TABLE,), params, ctx.log))
        for done, exposure in enumerate(exposures):
            ctx.progress(done / len(exposures), f"exposure of {exposure.files.date}")
            self._solve(exposure, frames, params, ctx)
        return PartOutput()

    def _solve(self, exposure: Exposure, frames: FrameSet, params: AstrometryParameters, ctx: RecipeContext) -> None:
        table = self._calibrated(exposure, frames, params, ctx)
        if table.units.get("xpos", "pix") != "pix":
            raise DataError("the pixel table is on the sky already", file=table.path)
        reference = frames.one(_REFERENCE)
        field = nearest_field(reference.path, *(get_key(table.header, key, float) for key in ("RA", "DEC")))
        if field.distance > 20:
            ctx.log.warning("the telescope looked %.1f arcsec beside the field %s", field.distance, field.name)
        source = source_of_table(table)
        grid = cube_grid(source, _CUBE_OPTIONS)
        slabs = list(cube_slabs(source, grid, _CUBE_OPTIONS, ctx.spread, _central(grid.nz)))
        image = _median(*(np.concatenate([getattr(slab, part) for slab in slabs]) for part in ("data", "stat")))
        solution = FieldSolver(params, table.header, grid, field, ctx.log).solve(GaplessImage.of(*image))
        calibs = self._used(frames)
        made = AstrometryProducts(table, grid, solution, exposure.frames, calibs, exposure.number)
        ctx.save(made.solution())
        path = ctx.output_dir / product_name(CUBE, number=exposure.number)
        middle = SinglePlane(grid.nz // 2)
        cube = write_cube(path, source, _CUBE_OPTIONS, filters=[WHITE], spread=ctx.spread, each=middle.look)
        describe_sources(cube.header, grid, middle, QC, ctx.log)
        cube = made.with_detection(cube, *image)
        ctx.save(FileProduct(CUBE, cube, cube.header, exposure.frames, calibs, exposure.number))

    def _calibrated(
        self, exposure: Exposure, frames: FrameSet, params: AstrometryParameters, ctx: RecipeContext
    ) -> PixelTable:
        table = exposure.open(ctx.log)
        given = frames.optional("STD_RESPONSE")
        response = None if given is None else FluxCurve(*read_curve(given.path, STD_RESPONSE))
        if response is not None and response_is_older(table, response):
            ctx.log.warning("the response was measured without the spectrum of the lamps: it is left out of the data")
            table = exposure.open(ctx.log, lamps=False)
        table = check_refraction(correct_refraction(table, params.lambdaref, ctx.log), params.darcheck, ctx)
        if response is None:
            return table
        extinction, telluric = frames.optional("EXTINCT_TABLE"), frames.optional("STD_TELLURIC")
        return calibrate_fluxes(
            table,
            response,
            None if extinction is None else read_curve(extinction.path, EXTINCT_TABLE)[1],
            None if telluric is None else FluxCurve(*read_curve(telluric.path, STD_TELLURIC)),
            ctx.log,
        )

    def _used(self, frames: FrameSet) -> list[Frame]:
        tags = [_REFERENCE]
        if frames.optional("STD_RESPONSE") is not None:
            tags += ["EXTINCT_TABLE", "STD_RESPONSE", "STD_TELLURIC"]
        return [frame for tag in tags if (frame := frames.optional(tag)) is not None]


def _pair(text: str) -> tuple[float, float]:
    values = [float(word) for word in text.split(",")]
    if len(values) != 2 or not np.all(np.isfinite(values)):
        raise ValueError("two comma-separated numbers are wanted")
    return values[0], values[1]


def _central(n: int) -> range:
    """Three planes in the middle of so many."""
    return range(max(n // 2 - 1, 0), min(n // 2 + 2, n))


def _median(data: npt.NDArray[Any], stat: npt.NDArray[Any]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Median of up to three planes and its variance, of the good voxels alone; NaN where there is none."""
    good = np.isfinite(data)
    n = good.sum(axis=0)
    with np.errstate(all="ignore"):
        values = np.nanmedian(np.where(n > 0, data, 0.0), axis=0)
        variances = np.where(good, stat, 0.0).sum(axis=0) / n * np.take(_OF_MEDIAN, n)
    return np.where(n > 0, values, np.nan).astype(np.float32), np.where(n > 0, variances, np.nan).astype(np.float32)
