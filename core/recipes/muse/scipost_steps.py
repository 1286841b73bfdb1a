"""The single steps of muse_scipost as recipes: each takes the pixel tables of exposures and writes corrected ones."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Final, Literal

from core.fitsfile.scan import scan_fits
from core.formats.onsky_tables import EXTINCT_TABLE, STD_RESPONSE, STD_TELLURIC, read_curve
from core.formats.pixtable_read import PixelTable
from core.recipes.declaration import Difference, FrameSpec, ProductSpec, Recipe, parameter
from core.recipes.flow import PartOutput, RecipeContext
from core.recipes.frames import Frame, FrameSet
from core.recipes.muse.differences.scipost_steps import (
    EXPOSURE_DIFFERENCES,
    FLUX_DIFFERENCES,
    REFRACTION_DIFFERENCES,
    VELOCITY_DIFFERENCES,
)
from core.recipes.muse.exposures import RefractionParameters, WavelengthParameters, exposures_of
from core.recipes.muse.steps.astrometry import Astrometry, project
from core.recipes.muse.steps.darcheck import check_refraction
from core.recipes.muse.steps.fluxes import FluxCurve, calibrate_fluxes
from core.recipes.muse.steps.refraction import correct_refraction
from core.recipes.muse.steps.velocity import correct_velocity
from core.recipes.parts import MemoryNeed, Part

__all__ = [
    "ExposureStep",
    "MuseScipostApplyAstrometry",
    "MuseScipostCalibrateFlux",
    "MuseScipostCorrectDar",
    "MuseScipostCorrectRv",
    "VelocityParameters",
]

_TABLE: Final = "PIXTABLE_OBJECT"
_PRODUCT: Final = "PIXTABLE_REDUCED"
_INPUT: Final = FrameSpec(_TABLE, "raw", min=1, description="Pixel table of a science object")


class ExposureStep(Recipe):
    """A recipe that takes one step with each exposure."""

    version = "1"
    memory = MemoryNeed(fixed_mb=600, part_mb=600)
    products = (ProductSpec(_PRODUCT, "pixtable", "Output pixel table", science=True),)
    qc = ()
    differences: ClassVar[tuple[Difference, ...]] = EXPOSURE_DIFFERENCES
    tag: ClassVar[str] = _TABLE

    @abstractmethod
    def step(self, table: PixelTable, frames: FrameSet, params: Any, ctx: RecipeContext) -> PixelTable:
        """What is done with the pixel table of an exposure."""

    @classmethod
    def check_parameters(cls, frames: FrameSet, params: WavelengthParameters) -> None:
        """Wavelengths must be left; see `Recipe.check_parameters`."""
        params.check_wavelengths()

    def calibrations(self, frames: FrameSet) -> Sequence[Frame]:
        """The frames that the step uses besides."""
        return [frame for spec in self.inputs if spec.kind == "calib" for frame in frames.tagged(spec.tag)[: spec.max]]

    def process(self, part: Part, frames: FrameSet, params: Any, ctx: RecipeContext) -> PartOutput:
        """Take the step with all exposures; see `Recipe.process`."""
        exposures = list(exposures_of(frames, (self.tag,), params, ctx.log))
        for done, exposure in enumerate(exposures):
            ctx.progress(done / len(exposures), f"exposure of {exposure.files.date}")
            table = self.step(exposure.open(ctx.log), frames, params, ctx)
            ctx.save(exposure.product(_PRODUCT, table, ctx, self.calibrations(frames)))
        return PartOutput()


class MuseScipostCorrectDar(ExposureStep):
    """Take out differential refraction."""

    name = "muse_scipost_correct_dar"
    summary = "Correct for differential atmospheric refraction."
    description = (
        "The positions of the pixels of each exposure are moved to where they would be at the reference wavelength, by "
        "the refraction of the air at the telescope. Nothing is done in the narrow field. With --darcheck the "
        "positions of sources are compared at all wavelengths."
    )
    inputs = (_INPUT,)
    compiled_by = ({},)
    Params = RefractionParameters
    differences = (*EXPOSURE_DIFFERENCES, *REFRACTION_DIFFERENCES)

    def step(self, table: PixelTable, frames: FrameSet, params: RefractionParameters, ctx: RecipeContext) -> PixelTable:
        """See `ExposureStep.step`."""
        return check_refraction(correct_refraction(table, params.lambdaref, ctx.log), params.darcheck, ctx)


class VelocityParameters(WavelengthParameters):
    """Parameters of muse_scipost_correct_rv."""

    rvcorr: Literal["bary", "helio", "geo", "none"] = parameter(
        "bary", "Correct the radial velocity of the telescope with reference to either the barycenter of the Solar "
        "System (bary), the center of the Sun (helio), or to the center of the Earth (geo)."
    )  # fmt: skip


class MuseScipostCorrectRv(ExposureStep):
    """Take out the velocity of the telescope."""

    name = "muse_scipost_correct_rv"
    summary = "Correct the radial velocity of the telescope."
    description = "The wavelengths of the pixels of each exposure become those of an observer at rest in a frame."
    inputs = (_INPUT,)
    compiled_by = ({},)
    Params = VelocityParameters
    differences = (*EXPOSURE_DIFFERENCES, *VELOCITY_DIFFERENCES)

    def step(self, table: PixelTable, frames: FrameSet, params: VelocityParameters, ctx: RecipeContext) -> PixelTable:
        """See `ExposureStep.step`."""
        return correct_velocity(table, params.rvcorr, ctx.log)


class MuseScipostApplyAstrometry(ExposureStep):
    """Project exposures to the plane that touches the sky."""

    name = "muse_scipost_apply_astrometry"
    summary = "Apply astrometric calibration."
    description = (
        "The positions of the pixels of each exposure become angles in the plane that touches the sky, by the "
        "astrometric calibration and the position angle of the exposure."
    )
    inputs = (_INPUT, FrameSpec("ASTROMETRY_WCS", "calib", min=1, max=1, description="Astrometric solution"))
    Params = WavelengthParameters

    def step(self, table: PixelTable, frames: FrameSet, params: WavelengthParameters, ctx: RecipeContext) -> PixelTable:
        """See `ExposureStep.step`."""
        return project(table, Astrometry.of(scan_fits(frames.one("ASTROMETRY_WCS").path).primary), ctx.log)


class MuseScipostCalibrateFlux(ExposureStep):
    """Make fluxes of counts."""

    name = "muse_scipost_calibrate_flux"
    summary = "Calibrate flux."
    description = (
        "The counts of each exposure become fluxes, by the response of the instrument, the extinction of the air and, "
        "if it is given, the absorption in telluric bands."
    )
    inputs = (
        _INPUT,
        FrameSpec("EXTINCT_TABLE", "calib", min=1, max=1, description="Atmospheric extinction table"),
        FrameSpec("STD_RESPONSE", "calib", min=1, max=1, description="Response curve as derived from standard star(s)"),
        FrameSpec(
            "STD_TELLURIC",
            "calib",
            max=1,
            description="Telluric absorption as derived from standard star(s)",
        ),
    )
    Params = WavelengthParameters
    differences = (*EXPOSURE_DIFFERENCES, *FLUX_DIFFERENCES)

    def step(self, table: PixelTable, frames: FrameSet, params: WavelengthParameters, ctx: RecipeContext) -> PixelTable:
        """See `ExposureStep.step`."""
        response = FluxCurve(*read_curve(frames.one("STD_RESPONSE").path, STD_RESPONSE))
        telluric = frames.optional("STD_TELLURIC")
        return calibrate_fluxes(
            table,
            response,
            read_curve(frames.one("EXTINCT_TABLE").path, EXTINCT_TABLE)[1],
            None if telluric is None else FluxCurve(*read_curve(telluric.path, STD_TELLURIC)),
            ctx.log,
        )
