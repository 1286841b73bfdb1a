"""muse_scipost_raman: the light that the air scatters of the guide-star lasers is taken out of an exposure."""

from __future__ import annotations

from typing import Final

from core.errors import DataError
from core.formats.field_image import read_field_image
from core.formats.sky_lines import read_sky_lines
from core.recipes.declaration import FrameSpec, ProductSpec, Recipe, parameter
from core.recipes.flow import PartOutput, RecipeContext
from core.recipes.frames import FrameSet
from core.recipes.muse.differences.raman import DIFFERENCES
from core.recipes.muse.exposures import SkyPartParameters, exposures_of
from core.recipes.muse.raman_model import check_width, model_raman, raman_product, raman_qc
from core.recipes.muse.sky_model import load_profiles, picture_test
from core.recipes.muse.sky_products import SkyProducts
from core.recipes.muse.steps.refraction import correct_refraction
from core.recipes.muse.steps.selection import good_rows, select_rows
from core.recipes.parts import MemoryNeed, Part

__all__ = ["MuseScipostRaman", "ScipostRamanParameters"]

_TABLE: Final = "PIXTABLE_OBJECT"
_PRODUCT: Final = "PIXTABLE_REDUCED"
_IMAGES: Final = "RAMAN_IMAGES"


class ScipostRamanParameters(SkyPartParameters):
    """Parameters of muse_scipost_raman."""

    width: float = parameter(
        20.0, "Width of the wavelength range around the Raman bands.", unit="Angstrom", hidden=True, gt=0
    )
    crsigma: float = parameter(
        15.0, "Sigma level clipping for cube-based CR rejection; 0 switches it off.", hidden=True, ge=0
    )


class MuseScipostRaman(Recipe):
    """Take out the Raman light of the lasers."""

    name = "muse_scipost_raman"
    version = "1"
    memory = MemoryNeed(fixed_mb=1200, part_mb=200)
    summary = "Remove Raman emission of the laser guide stars."
    description = (
        "This recipe removes the light of the laser guide stars that the molecules of the air scatter inelastically "
        "(O2 near 6484, N2 near 6827 Angstrom) from an exposure. Its brightness over the field is a polynomial of "
        "second order, fitted to both bands where there are no sources. It must be run before the sky is subtracted."
    )
    inputs = (
        FrameSpec(_TABLE, "raw", min=1, description="Input pixel table, or those of the IFUs of an exposure"),
        FrameSpec("RAMAN_LINES", "calib", min=1, max=1, description="List of Raman emission lines"),
        FrameSpec("LSF_PROFILE", "calib", min=1, description="Slice specific LSF parameters cubes"),
        FrameSpec("SKY_MASK", "calib", max=1, description="Sky mask to use"),
    )
    Params = ScipostRamanParameters
    products = (
        ProductSpec(_IMAGES, "image", "The fitted light over the field, and images, masks and models of the bands"),
        ProductSpec(_PRODUCT, "pixtable", "Output pixel table", science=True),
    )
    qc = raman_qc()
    differences = DIFFERENCES

    @classmethod
    def check_parameters(cls, frames: FrameSet, params: ScipostRamanParameters) -> None:
        """Wavelengths must be left, and bands wide enough; see `Recipe.check_parameters`."""
        params.check_wavelengths()
        check_width(params.width, "width")

    def process(self, part: Part, frames: FrameSet, params: ScipostRamanParameters, ctx: RecipeContext) -> PartOutput:
        """Take the light out; see `Recipe.process`.

        Raises
        ------
        DataError
            If the tables are of several exposures.
        """
        exposures = list(exposures_of(frames, (_TABLE,), params, ctx.log))
        if len(exposures) > 1:
            raise DataError(f"{len(exposures)} exposures: one is wanted", rule=_TABLE)
        (exposure,) = exposures
        lines = read_sky_lines(frames.one("RAMAN_LINES").path, ctx.log)
        profiles = load_profiles(frames.tagged("LSF_PROFILE"), ctx.log)
        mask = frames.optional("SKY_MASK")
        test = None if mask is None else picture_test(read_field_image(mask.path))
        calibs = [
            frame for spec in self.inputs if spec.kind == "calib" for frame in frames.tagged(spec.tag)[: spec.max]
        ]
        good = select_rows(exposure.open(ctx.log), good_rows(), measure=False)
        table = correct_refraction(good, params.lambdaref, ctx.log)
        model = model_raman(
            table,
            lines,
            profiles,
            params.width,
            params.crsigma,
            (params.ignore, params.fraction),
            lambda rows: rows if test is None else select_rows(rows, test, measure=False),
            ctx,
        )
        if model is None:
            ctx.save(exposure.product(_PRODUCT, table, ctx, calibs))
            return PartOutput()
        ctx.save(exposure.product(_PRODUCT, model.table, ctx, calibs))
        made = SkyProducts(table.header, table.units["data"], "", exposure.frames, calibs, exposure.number)
        return PartOutput([raman_product(model, made)])
