"""muse_create_sky: the spectrum of the night sky from an exposure of (mostly) empty sky."""

from __future__ import annotations

from typing import Final

from pydantic import field_validator

from core.errors import DataError
from core.formats.field_image import read_field_image
from core.formats.onsky_tables import EXTINCT_TABLE, SKY_CONTINUUM, STD_RESPONSE, STD_TELLURIC, read_curve
from core.formats.pixtable_header import FLUX_UNIT
from core.formats.pixtable_read import PixelTable
from core.formats.sky_lines import read_sky_lines
from core.onsky.skymask import find_sky
from core.recipes.declaration import FrameSpec, ProductSpec, Recipe, parameter
from core.recipes.flow import PartOutput, Product, RecipeContext
from core.recipes.frames import FrameSet
from core.recipes.muse.differences.muse_create_sky import DIFFERENCES, MANUAL_NOTES
from core.recipes.muse.exposures import Exposure, SkyPartParameters, exposures_of
from core.recipes.muse.sky_model import (
    dark_rows,
    load_profiles,
    model_sky,
    parse_sigmas,
    picture_test,
    sky_spectrum,
    white_light,
)
from core.recipes.muse.sky_products import SkyProducts, sky_qc
from core.recipes.muse.steps.fluxes import FluxCurve, calibrate_fluxes, response_is_older
from core.recipes.muse.steps.refraction import correct_refraction
from core.recipes.muse.steps.selection import good_rows, select_rows
from core.recipes.parts import MemoryNeed, Part

__all__ = ["CreateSkyParameters", "MuseCreateSky"]

_TABLE: Final = "PIXTABLE_SKY"
_QC: Final = "QC.SKY"


class CreateSkyParameters(SkyPartParameters):
    """Parameters of muse_create_sky."""

    sampling: float = parameter(0.3125, "Spectral sampling of the sky spectrum.", unit="Angstrom", hidden=True, gt=0)
    csampling: float = parameter(
        0.3125, "Spectral sampling of the continuum spectrum.", unit="Angstrom", hidden=True, gt=0
    )
    crsigma: str = parameter(
        "15.,15.",
        "Sigma level clipping for cube-based and spectrum-based CR rejection. This has to be a string of two "
        "comma-separated floating-point numbers. The first value gives the sigma-level rejection for cube-based CR "
        "rejection (using median), the second value the sigma-level for spectrum-based CR cleaning. Both can be "
        "switched off, by passing zero or a negative value.",
        hidden=True,
    )

    @field_validator("crsigma")
    @classmethod
    def _check_sigmas(cls, value: str) -> str:
        parse_sigmas(value)
        return value

    @property
    def sigmas(self) -> tuple[float, float]:
        """For cosmic rays in the cube, and in the spectrum; 0: they stay."""
        return parse_sigmas(self.crsigma)


class MuseCreateSky(Recipe):
    """Create a model of the night sky."""

    name = "muse_create_sky"
    version = "1"
    memory = MemoryNeed(fixed_mb=2000, part_mb=400)
    summary = "Create night sky model from selected pixels of an exposure of empty sky."
    description = (
        "This recipe creates the continuum and the atmospheric transition line spectra of the night sky from the data "
        "in a pixel table(s) belonging to one exposure of (mostly) empty sky."
    )
    inputs = (
        FrameSpec(
            _TABLE,
            "raw",
            min=1,
            description="Input pixel table. If the pixel table is not already flux calibrated, the corresponding flux "
            "calibration frames should be given as well",
        ),
        FrameSpec("EXTINCT_TABLE", "calib", max=1, description="Atmospheric extinction table"),
        FrameSpec("STD_RESPONSE", "calib", max=1, description="Response curve as derived from standard star(s)"),
        FrameSpec("STD_TELLURIC", "calib", max=1, description="Telluric absorption as derived from standard star(s)"),
        FrameSpec("SKY_LINES", "calib", min=1, max=1, description="List of OH transitions and other sky lines"),
        FrameSpec("SKY_CONTINUUM", "calib", max=1, description="Sky continuum to use (optional)"),
        FrameSpec("LSF_PROFILE", "calib", min=1, description="Slice specific LSF parameters cubes"),
        FrameSpec("SKY_MASK", "calib", max=1, description="Sky mask to use (optional)"),
    )
    Params = CreateSkyParameters
    products = (
        ProductSpec("SKY_MASK", "image", "Created sky mask"),
        ProductSpec("SKY_IMAGE", "image", "Whitelight image used to create the sky mask"),
        ProductSpec("SKY_SPECTRUM", "table", "Sky spectrum within the sky mask"),
        ProductSpec("SKY_LINES", "table", "Estimated sky line flux table"),
        ProductSpec("SKY_CONTINUUM", "table", "Estimated continuum flux spectrum"),
    )
    qc = sky_qc(_QC)
    differences = DIFFERENCES
    manual_notes = MANUAL_NOTES

    @classmethod
    def check_parameters(cls, frames: FrameSet, params: CreateSkyParameters) -> None:
        """Wavelengths must be left; see `Recipe.check_parameters`."""
        params.check_wavelengths()

    def process(self, part: Part, frames: FrameSet, params: CreateSkyParameters, ctx: RecipeContext) -> PartOutput:
        """Make the model; see `Recipe.process`.

        Raises
        ------
        DataError
            If the tables are of several exposures, or of fluxes although there is a response.
        """
        exposures = list(exposures_of(frames, (_TABLE,), params, ctx.log))
        if len(exposures) > 1:
            raise DataError(f"{len(exposures)} exposures: the sky of one is wanted", rule=_TABLE)
        lines = read_sky_lines(frames.one("SKY_LINES").path, ctx.log)
        profiles = load_profiles(frames.tagged("LSF_PROFILE"), ctx.log)
        given = frames.optional("SKY_CONTINUUM")
        continuum = None if given is None else read_curve(given.path, SKY_CONTINUUM)[1]

        table = self._calibrated(exposures[0], frames, ctx)
        table = select_rows(correct_refraction(table, params.lambdaref, ctx.log), good_rows(), measure=False)
        shown: PixelTable = table
        if (mask := frames.optional("SKY_MASK")) is not None:
            shown = select_rows(table, picture_test(read_field_image(mask.path)), measure=False)
        ctx.progress(0.1, "white light")
        white = white_light(shown, params.sigmas[0], ctx)
        sky = find_sky(white.data, params.ignore, params.fraction)
        ctx.log.info("sky between %g and %g: %d pixels", sky.low, sky.high, int(sky.mask.sum()))
        dark = dark_rows(table, shown, white, sky)
        ctx.progress(0.6, "spectrum")
        spectrum = sky_spectrum(dark, params.sampling, params.sigmas[1])
        model = model_sky(
            spectrum,
            lines,
            dark,
            profiles,
            (params.sampling, params.csampling),
            None if continuum is None else (continuum.wave, continuum.values),
            ctx.log,
        )
        calibs = [
            frame for spec in self.inputs if spec.kind == "calib" for frame in frames.tagged(spec.tag)[: spec.max]
        ]
        made = SkyProducts(table.header, table.units["data"], _QC, exposures[0].frames, calibs)
        products: list[Product] = [
            made.mask(sky, white),
            made.image("SKY_IMAGE", white),
            made.spectrum(spectrum),
            made.lines(model.fit.lines),
            made.continuum(*model.continuum),
        ]
        return PartOutput(products)

    def _calibrated(self, exposure: Exposure, frames: FrameSet, ctx: RecipeContext) -> PixelTable:
        table = exposure.open(ctx.log)
        given = frames.optional("STD_RESPONSE")
        if given is None:
            if table.units.get("data") != FLUX_UNIT:
                ctx.log.warning("there is no STD_RESPONSE: the sky is that of counts")
            return table
        if table.units.get("data") == FLUX_UNIT:
            raise DataError("the pixel table has fluxes, and a STD_RESPONSE was given", file=table.path)
        response = FluxCurve(*read_curve(given.path, STD_RESPONSE))
        if response_is_older(table, response):
            ctx.log.warning("the response was measured without the spectrum of the lamps: it is left out of the data")
            table = exposure.open(ctx.log, lamps=False)
        telluric, extinction = frames.optional("STD_TELLURIC"), frames.optional("EXTINCT_TABLE")
        return calibrate_fluxes(
            table,
            response,
            None if extinction is None else read_curve(extinction.path, EXTINCT_TABLE)[1],
            None if telluric is None else FluxCurve(*read_curve(telluric.path, STD_TELLURIC)),
            ctx.log,
        )
