"""Recipes that take the pixel tables of whole exposures of the sky: what they have in common.

for exposure in Exposures.of(frames, "PIXTABLE_OBJECT", params, ctx.log):
    table = exposure.open(ctx.log)
    ...
    ctx.save(exposure.product("PIXTABLE_REDUCED", table, ctx, calibs))
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from core.errors import ParameterError
from core.fitsfile.header import Header
from core.fitsfile.keywords import del_keys
from core.formats.pixtable import PixtableForm, default_form
from core.formats.pixtable_read import PixelTable
from core.formats.pixtable_select import choose_rows, write_plain
from core.recipes.declaration import RecipeParameters, parameter
from core.recipes.flow import FileProduct, RecipeContext
from core.recipes.frames import Frame, FrameSet
from core.recipes.logs import Logger
from core.recipes.muse.exposure_tables import ExposureFiles, list_exposures, open_exposure
from core.recipes.muse.steps.table import with_limits
from core.recipes.names import product_name

__all__ = [
    "Exposure",
    "ReferenceParameters",
    "RefractionParameters",
    "SkyPartParameters",
    "WavelengthParameters",
    "exposures_of",
    "table_product",
]


class WavelengthParameters(RecipeParameters):
    """``lambdamin`` and ``lambdamax``: the wavelengths of a pixel table that are used."""

    lambdamin: float = parameter(4000.0, "Cut off the data below this wavelength.", unit="Angstrom")
    lambdamax: float = parameter(10000.0, "Cut off the data above this wavelength.", unit="Angstrom")

    def check_wavelengths(self) -> None:
        """ParameterError if they leave nothing."""
        if not self.lambdamax > self.lambdamin:
            raise ParameterError(
                f"lambdamax={self.lambdamax:g} is not accepted: it must be larger than lambdamin "
                f"({self.lambdamin:g} Angstrom)",
                parameter="lambdamax",
            )


class ReferenceParameters(WavelengthParameters):
    """Wavelengths, and the one at which refraction moves nothing."""

    lambdaref: float = parameter(
        7000.0,
        "Reference wavelength used for correction of differential atmospheric refraction. The R-band (peak wavelength "
        "~7000 Angstrom) that is usually used for guiding, is close to the central wavelength of MUSE, so a value of "
        "7000.0 Angstrom should be used if nothing else is known. A value less than zero switches DAR correction off.",
        unit="Angstrom",
    )


class SkyPartParameters(ReferenceParameters):
    """Which part of the field is sky."""

    fraction: float = parameter(
        0.75,
        "Fraction of the image (without the ignored part) to be considered as sky. If an input sky mask is provided, "
        "the fraction is applied to the regions within the mask. If the whole sky mask should be used, set this "
        "parameter to 1.",
        ge=0,
        le=1,
    )
    ignore: float = parameter(
        0.05,
        "Fraction of the image to be ignored. If an input sky mask is provided, the fraction is applied to the regions "
        "within the mask. If the whole sky mask should be used, set this parameter to 0.",
        ge=0,
        le=1,
    )


class RefractionParameters(ReferenceParameters):
    """How differential refraction is corrected and checked."""

    darcheck: Literal["none", "check", "correct"] = parameter(
        "none",
        "Carry out a check of the theoretical DAR correction using source centroiding. If 'correct' it will also apply "
        "an empirical correction.",
    )


@dataclass(frozen=True)
class Exposure:
    """An exposure among the frames of a recipe.

    Attributes
    ----------
    number : int
        From 1, in the order of time.
    files : ExposureFiles
    frames : tuple of Frame
        That it is made of.
    low, high : float
        Wavelengths that are used [Angstrom].
    """

    number: int
    files: ExposureFiles
    frames: tuple[Frame, ...]
    low: float
    high: float

    def open(self, log: Logger, *, lamps: bool = True) -> PixelTable:
        """Its pixel table, of all IFUs, without what QC says of single ones; see `open_exposure`."""
        table = open_exposure(self.files, self.low, self.high, log, lamps=lamps)
        del_keys(table.header, r"QC\.")
        return table

    def product(self, tag: str, table: PixelTable, ctx: RecipeContext, calibs: Sequence[Frame]) -> FileProduct:
        """The product that holds a table."""
        return table_product(tag, table, ctx, self.frames, calibs, self.number)


def table_product(
    tag: str,
    table: PixelTable,
    ctx: RecipeContext,
    raws: Sequence[Frame],
    calibs: Sequence[Frame],
    number: int | None = None,
) -> FileProduct:
    """The product that holds a pixel table, which is written when it is saved."""
    path = ctx.output_dir / product_name(tag, number=number)
    return FileProduct(tag, _TableFile(path, table, default_form()), with_limits(table), raws, calibs, number)


def exposures_of(
    frames: FrameSet, tags: Sequence[str], params: WavelengthParameters, log: Logger
) -> Iterator[Exposure]:
    """The exposures among the frames of some tags, in the order of time."""
    given = frames.tagged(*tags)
    for number, files in enumerate(list_exposures([frame.path for frame in given], log), start=1):
        used = {files.merged} if files.merged is not None else set(files.units.values())
        own = tuple(frame for frame in given if frame.path in used)
        yield Exposure(number, files, own, params.lambdamin, params.lambdamax)


@dataclass(frozen=True)
class _TableFile:
    """A pixel table that is written when its header is known (a `core.recipes.flow.FilledFile`)."""

    path: Path
    table: PixelTable
    form: PixtableForm

    def finish(self, header: Header) -> Path:
        return write_plain(choose_rows(self.table, []), self.path, self.form, header)

    def discard(self) -> None:
        """Nothing is reserved."""
