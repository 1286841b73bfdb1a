"""muse_exp_combine: reduced exposures of a field become one cube."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import field_validator

from core.errors import DataError
from core.recipes.declaration import FrameSpec, ProductSpec, parameter
from core.recipes.flow import RecipeContext
from core.recipes.frames import FrameSet
from core.recipes.muse.cube_products import CUBE_INPUTS, CubeMaker, CubeParameters, fwhm_qc
from core.recipes.muse.cube_recipe import CubeRecipe, PlannedCube
from core.recipes.muse.differences.cube_forms import ARCHIVE_DIFFERENCES, SPECTRA_DIFFERENCES
from core.recipes.muse.differences.cubes import CUBE_DIFFERENCES
from core.recipes.muse.differences.muse_exp_combine import DIFFERENCES, MANUAL_NOTES
from core.recipes.muse.exposures import WavelengthParameters, exposures_of, table_product
from core.recipes.muse.steps.combination import combine_exposures, read_offset_list
from core.recipes.parts import MemoryNeed

__all__ = ["CombineExposuresParameters", "MuseExpCombine"]

_TABLE: Final = "PIXTABLE_REDUCED"
_CUBE: Final = "DATACUBE_FINAL"
_COMBINED: Final = "PIXTABLE_COMBINED"
_QC: Final = "QC.EXPCOMB"
_SAVE: Final = ("cube", "combined")


class CombineExposuresParameters(CubeParameters, WavelengthParameters):
    """Parameters of muse_exp_combine."""

    save: str = parameter(
        "cube",
        'Select output product(s) to save. Can contain one or more of "cube" (output cube and associated images; if '
        'this is not given, no resampling is done at all) or "combined" (fully reduced and combined pixel table for '
        "the full set of exposures; this is useful, if the final resampling step is to be done again separately). If "
        "several options are given, they have to be comma-separated.",
    )
    crsigma: float = parameter(
        10.0,
        "Sigma rejection factor to use for cosmic ray rejection during final resampling. A zero or negative value "
        "switches cosmic ray rejection off.",
    )
    pixfrac: str = parameter(
        "0.6,0.6",
        'Pixel down-scaling factor for the "drizzle" resampling method. Up to three, comma-separated, floating-point '
        "values can be given. If only one value is given, it applies to all dimensions, two values are interpreted as "
        "spatial and spectral direction, respectively, while three are taken as horizontal, vertical, and spectral.",
        only="resample=drizzle",
    )
    weight: Literal["exptime", "fwhm", "header", "none"] = parameter(
        "exptime",
        'Type of weighting scheme to use when combining multiple exposures. "exptime" just uses the exposure time to '
        'weight the exposures, "fwhm" uses the DIMM information in the header as well, "header" queries ESO.DRS.MUSE.'
        'WEIGHT of each input file instead of the FWHM, and "none" preserves an existing weight column in the input '
        "pixel tables without changes.",
    )

    @field_validator("save")
    @classmethod
    def _check_save(cls, value: str) -> str:
        words = [word.strip() for word in value.split(",")]
        if unknown := [word for word in words if word not in _SAVE]:
            raise ValueError(f"{unknown[0]!r} is not one of {', '.join(_SAVE)}")
        return value


class MuseExpCombine(CubeRecipe):
    """Combine exposures."""

    name = "muse_exp_combine"
    version = "1"
    table_tag = _TABLE
    qc_prefix = _QC
    memory = MemoryNeed(fixed_mb=1200, part_mb=1400)
    summary = "Combine several exposures into one datacube."
    description = (
        "Sort reduced pixel tables, one per exposure, by exposure and combine them with applied weights into one final "
        "datacube."
    )
    inputs = (
        FrameSpec(_TABLE, "raw", min=2, description="Input pixel tables"),
        FrameSpec(
            "OFFSET_LIST", "calib", max=1, description="List of coordinate offsets (and optional flux scale factors)"
        ),
        *CUBE_INPUTS,
    )
    Params = CombineExposuresParameters
    products = (
        ProductSpec(_CUBE, "cube", 'Output datacube (if --save contains "cube")', science=True),
        ProductSpec("IMAGE_FOV", "image", 'Field-of-view images corresponding to the "filter" parameter', science=True),
        ProductSpec(_COMBINED, "pixtable", 'Combined pixel table (if --save contains "combined")', science=True),
    )
    qc = fwhm_qc(_QC, _CUBE)
    differences = (*CUBE_DIFFERENCES, *SPECTRA_DIFFERENCES, *ARCHIVE_DIFFERENCES, *DIFFERENCES)
    manual_notes = MANUAL_NOTES

    @classmethod
    def check_parameters(cls, frames: FrameSet, params: CombineExposuresParameters) -> None:
        """Wavelengths must be left, and numbers make sense; see `Recipe.check_parameters`."""
        params.check_wavelengths()
        params.options(None)

    def prepare(self, frames: FrameSet, params: CombineExposuresParameters, ctx: RecipeContext) -> PlannedCube:
        """Put all exposures on one sky, and reserve their cube; see `Recipe.prepare`.

        Raises
        ------
        DataError
            If all tables are of one exposure.
        """
        exposures = list(exposures_of(frames, (_TABLE,), params, ctx.log))
        if len(exposures) < 2:
            raise DataError(f"{len(exposures)} exposures: there is nothing to combine", rule=_TABLE)
        offsets = frames.optional("OFFSET_LIST")
        table = combine_exposures(
            [exposure.open(ctx.log) for exposure in exposures],
            params.weight,
            None if offsets is None else read_offset_list(offsets.path),
            ctx.log,
        )
        raws = tuple(frame for exposure in exposures for frame in exposure.frames)
        calibs = () if offsets is None else (offsets,)
        products = [table_product(_COMBINED, table, ctx, raws, calibs)] if "combined" in params.save else []
        cube = CubeMaker(params, frames, ctx).reserve(table, _CUBE) if self.wants_cube(params) else None
        return PlannedCube(tuple(products), raws, calibs, cube)
