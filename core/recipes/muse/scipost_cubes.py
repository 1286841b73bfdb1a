"""The last steps of muse_scipost as recipes: exposures are combined, and a pixel table becomes a cube."""

from __future__ import annotations

from typing import Final, Literal

from core.recipes.declaration import FrameSpec, ProductSpec, Recipe, parameter
from core.recipes.flow import PartOutput, RecipeContext
from core.recipes.frames import FrameSet
from core.recipes.muse.cube_products import CUBE_INPUTS, CubeMaker, CubeParameters
from core.recipes.muse.differences.cube_forms import SPECTRA_DIFFERENCES, STACKED_DIFFERENCES
from core.recipes.muse.differences.cubes import CUBE_DIFFERENCES
from core.recipes.muse.differences.scipost_steps import EXPOSURE_DIFFERENCES
from core.recipes.muse.exposures import WavelengthParameters, exposures_of, table_product
from core.recipes.muse.stacked import stacked_product
from core.recipes.muse.steps.combination import combine_exposures, read_offset_list
from core.recipes.parts import MemoryNeed, Part

__all__ = ["CombinePixtablesParameters", "MakeCubeParameters", "MuseScipostCombinePixtables", "MuseScipostMakeCube"]

_TABLE: Final = "PIXTABLE_OBJECT"
_INPUT: Final = FrameSpec(_TABLE, "raw", min=1, description="Pixel table of a science object")
_COMBINED: Final = "PIXTABLE_COMBINED"
_CUBE: Final = "DATACUBE_FINAL"


class CombinePixtablesParameters(WavelengthParameters):
    """Parameters of muse_scipost_combine_pixtables."""

    weight: Literal["exptime", "fwhm", "none"] = parameter(
        "exptime",
        'Type of weighting scheme to use when combining multiple exposures. "exptime" just uses the exposure time to '
        'weight the exposures, "fwhm" uses the DIMM information in the header as well, "none" preserves an existing '
        "weight column in the input pixel tables without changes.",
    )


class MuseScipostCombinePixtables(Recipe):
    """Combine pixel tables."""

    name = "muse_scipost_combine_pixtables"
    version = "1"
    memory = MemoryNeed(fixed_mb=600, part_mb=600)
    summary = "Combine MUSE pixel tables, either from different IFUs, or from different exposures, or both."
    description = (
        "The pixel tables of the IFUs of each exposure are merged; several exposures are weighted and put on one sky. "
        "A single exposure is saved as it is."
    )
    inputs = (
        _INPUT,
        FrameSpec(
            "OFFSET_LIST", "calib", max=1, description="List of coordinate offsets (and optional flux scale factors)"
        ),
    )
    Params = CombinePixtablesParameters
    products = (ProductSpec(_COMBINED, "pixtable", "Combined pixel table", science=True),)
    qc = ()
    differences = EXPOSURE_DIFFERENCES

    @classmethod
    def check_parameters(cls, frames: FrameSet, params: CombinePixtablesParameters) -> None:
        """Wavelengths must be left; see `Recipe.check_parameters`."""
        params.check_wavelengths()

    def process(
        self, part: Part, frames: FrameSet, params: CombinePixtablesParameters, ctx: RecipeContext
    ) -> PartOutput:
        """Combine all exposures; see `Recipe.process`."""
        exposures = list(exposures_of(frames, (_TABLE,), params, ctx.log))
        tables = [exposure.open(ctx.log) for exposure in exposures]
        offsets = frames.optional("OFFSET_LIST")
        table = tables[0]
        if len(tables) > 1:
            moves = None if offsets is None else read_offset_list(offsets.path)
            table = combine_exposures(tables, params.weight, moves, ctx.log)
        raws = [frame for exposure in exposures for frame in exposure.frames]
        ctx.save(table_product(_COMBINED, table, ctx, raws, [] if offsets is None else [offsets]))
        return PartOutput()


class MakeCubeParameters(CubeParameters, WavelengthParameters):
    """Parameters of muse_scipost_make_cube."""

    format: Literal["Cube", "Euro3D", "xCube", "xEuro3D"] = parameter(
        "Cube",
        'Type of output file format, "Cube" is a standard FITS cube with NAXIS=3 and multiple extensions (for data and '
        'variance), "Euro3D" a table of spectra. The extended "x" formats include the reconstructed image(s) in FITS '
        "image extensions within the same file.",
    )
    stacked: bool = parameter(
        False,
        "If true, write an additional output file in form of a 2D stacked image (x direction is pseudo-spatial, y "
        "direction is wavelength).",
    )


class MuseScipostMakeCube(Recipe):
    """Make a cube of a pixel table."""

    name = "muse_scipost_make_cube"
    version = "1"
    memory = MemoryNeed(fixed_mb=2600, part_mb=200)
    summary = "Make a MUSE cube from a MUSE pixel table."
    description = (
        "The first pixel table is resampled into a cube. One that is still in native angles is put where the header "
        "says that it is; one in pixels becomes a cube in pixels."
    )
    inputs = (_INPUT, *CUBE_INPUTS)
    Params = MakeCubeParameters
    products = (
        ProductSpec(_CUBE, "cube", "Output datacube", science=True),
        ProductSpec("IMAGE_FOV", "image", "Field-of-view images of the filters", science=True),
        ProductSpec("OBJECT_RESAMPLED", "image", "Stacked image (if stacked=true)", science=True),
    )
    qc = ()
    differences = (*CUBE_DIFFERENCES, *SPECTRA_DIFFERENCES, *STACKED_DIFFERENCES, *EXPOSURE_DIFFERENCES)

    @classmethod
    def check_parameters(cls, frames: FrameSet, params: MakeCubeParameters) -> None:
        """Wavelengths must be left, and numbers make sense; see `Recipe.check_parameters`."""
        params.check_wavelengths()
        params.options(None)

    def process(self, part: Part, frames: FrameSet, params: MakeCubeParameters, ctx: RecipeContext) -> PartOutput:
        """Make the cube; see `Recipe.process`."""
        exposure, *others = exposures_of(frames, (_TABLE,), params, ctx.log)
        if others:
            ctx.log.warning("%d further exposures are not used: the first one becomes a cube", len(others))
        table = combine_exposures([exposure.open(ctx.log)], "none", None, ctx.log)
        for product in CubeMaker(params, frames, ctx).make(table, _CUBE, exposure.frames, ()):
            ctx.save(product)
        if params.stacked:
            ctx.save(stacked_product(table, params.dlambda, ctx, exposure.frames, ()))
        return PartOutput()
