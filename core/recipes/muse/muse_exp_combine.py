"""muse_exp_combine: reduced exposures of a field become one cube."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from pydantic import field_validator

from core.errors import DataError
from core.formats.pixtable_read import PixelTable
from core.recipes.declaration import FrameSpec, ProductSpec, Recipe, parameter
from core.recipes.flow import PartOutput, Product, RecipeContext
from core.recipes.frames import Frame, FrameSet
from core.recipes.muse.cube_products import CUBE_INPUTS, CubeMaker, CubeParameters, fwhm_qc
from core.recipes.muse.cube_work import CubeWork, cube_parts
from core.recipes.muse.cubes import discard_cube
from core.recipes.muse.differences.cube_forms import ARCHIVE_DIFFERENCES, SPECTRA_DIFFERENCES
from core.recipes.muse.differences.cubes import CUBE_DIFFERENCES
from core.recipes.muse.differences.muse_exp_combine import DIFFERENCES, MANUAL_NOTES
from core.recipes.muse.exposures import WavelengthParameters, exposures_of, table_product
from core.recipes.muse.steps.combination import combine_exposures, read_offset_list
from core.recipes.parts import MemoryNeed, Part, PartKind

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


@dataclass(frozen=True)
class _Combination:
    """What the slabs have in common: all exposures as one table, and the cube that is reserved for them."""

    table: PixelTable
    raws: tuple[Frame, ...]
    cube: CubeWork | None


class MuseExpCombine(Recipe):
    """Combine exposures."""

    name = "muse_exp_combine"
    version = "1"
    parts = PartKind.SLAB
    leased_parts = True
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

    def list_parts(self, frames: FrameSet, params: CombineExposuresParameters) -> tuple[Part, ...]:
        """Slabs of the cube, a single one if there is none; see `Recipe.list_parts`."""
        return cube_parts(frames, _TABLE, params, divided="cube" in params.save)

    def prepare(self, frames: FrameSet, params: CombineExposuresParameters, ctx: RecipeContext) -> _Combination:
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
        cube = CubeMaker(params, frames, ctx, _QC).reserve(table, _CUBE) if "cube" in params.save else None
        return _Combination(table, raws, cube)

    def process(
        self, part: Part, frames: FrameSet, params: CombineExposuresParameters, ctx: RecipeContext
    ) -> PartOutput:
        """Fill a slab of the cube; see `Recipe.process`."""
        work: _Combination = ctx.prepared
        if work.cube is not None:
            planes = work.cube.planes_of(part, self.list_parts(frames, params))
            CubeMaker(params, frames, ctx, _QC).fill(work.cube, planes)
        return PartOutput()

    def finish(
        self,
        frames: FrameSet,
        params: CombineExposuresParameters,
        ctx: RecipeContext,
        measured: Mapping[Part, Any],
    ) -> Sequence[Product]:
        """Products of all exposures; see `Recipe.finish`."""
        work: _Combination = ctx.prepared
        offsets = frames.optional("OFFSET_LIST")
        calibs = [] if offsets is None else [offsets]
        products: list[Product] = []
        if "combined" in params.save:
            products.append(table_product(_COMBINED, work.table, ctx, work.raws, calibs))
        if work.cube is not None:
            products += CubeMaker(params, frames, ctx, _QC).products(work.cube, work.raws, calibs)
        return products

    def abandon(self, prepared: _Combination) -> None:
        """Remove the cube; see `Recipe.abandon`."""
        if prepared.cube is not None:
            discard_cube(prepared.cube.cube.path)
