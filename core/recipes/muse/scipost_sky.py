"""The single steps of muse_scipost that subtract a sky that is given, as recipes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final

import numpy as np
from pydantic import field_validator

from core.errors import CalibrationMismatchError
from core.fitsfile.header import Header
from core.fitsfile.keywords import get_key
from core.formats.onsky_tables import SKY_CONTINUUM, SKY_SPECTRUM, read_curve
from core.formats.pixtable_read import PixelTable
from core.formats.sky_lines import read_sky_lines
from core.onsky.fluxcal import Curve
from core.recipes.declaration import FrameSpec, parameter
from core.recipes.flow import RecipeContext
from core.recipes.frames import FrameSet
from core.recipes.muse.exposures import WavelengthParameters
from core.recipes.muse.scipost_steps import ExposureStep
from core.recipes.muse.sky_model import load_profiles
from core.recipes.muse.steps.fluxes import FLUXCAL
from core.recipes.muse.steps.sky import SKYSUB, mark_subtracted, subtract_continuum, subtract_lines
from core.recipes.muse.steps.table import Columns, CorrectedTable, RowStep

__all__ = ["MuseScipostSubtractSky", "MuseScipostSubtractSkySimple", "SubtractSkyParameters"]

_TABLE: Final = "PIXTABLE_REDUCED"
_INPUT: Final = FrameSpec(_TABLE, "raw", min=1, description="Pixel table of a science object, of fluxes")
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,15}\Z")
_FLAT: Final = "DRS.MUSE.FLAT.FLUX"


class SubtractSkyParameters(WavelengthParameters):
    """Parameters of muse_scipost_subtract_sky."""

    orig: str = parameter(
        "", "If specified, write an additional column containing the original data to the pixel table."
    )
    flux_sky: float = parameter(
        0.0,
        "Reference flat field flux, obtained by sky exposure. This parameter is needed to scale the data of each pixel "
        "table if more than one pixel table was used to determine the sky. By default, it is taken from the input "
        "pixel table itself.",
        ge=0,
    )
    flux_lamp: float = parameter(
        0.0,
        "Reference flat field flux, obtained by lamp exposure. This parameter is needed to scale the data of each "
        "pixel table if more than one pixel table was used to determine the sky. By default, it is taken from the "
        "input pixel table itself.",
        ge=0,
    )

    @field_validator("orig")
    @classmethod
    def _check_name(cls, value: str) -> str:
        if value and not _NAME.match(value):
            raise ValueError(f"{value!r} is no name of a column: up to 16 letters, digits and _")
        return value

    def scale(self, header: Header) -> float:
        """Flux of the flat field of a table relative to the reference; 1 if one of them is not known."""
        for key, reference in (("SKY", self.flux_sky), ("LAMP", self.flux_lamp)):
            own = get_key(header, f"{_FLAT}.{key}", float, default=0.0)
            if own > 0 and reference > 0:
                return own / reference
        return 1.0


@dataclass(frozen=True)
class _OriginalStep(RowStep):
    """The data are there a second time, under another name."""

    name: str
    needs: ClassVar = ("data",)

    @property
    def changes(self) -> tuple[str, ...]:  # type: ignore[override]
        return (self.name,)

    def apply(self, columns: Columns) -> Columns:
        return {self.name: columns["data"].copy()}

    def describe(self, header: Header) -> None:
        """The column says it all."""

    def columns(self, columns: Mapping[str, np.dtype[Any]]) -> dict[str, np.dtype[Any]]:
        return {**columns, self.name: np.dtype(np.float32)}

    def units(self, units: Mapping[str, str]) -> dict[str, str]:
        return {**units, self.name: units["data"]}


class MuseScipostSubtractSky(ExposureStep):
    """Subtract a model of the night sky."""

    name = "muse_scipost_subtract_sky"
    summary = "Subtract night sky model."
    description = (
        "A continuum and emission lines are subtracted from each exposure, the lines with the line-spread function of "
        "each slice. The exposures must be of fluxes, and still have their sky."
    )
    inputs = (
        _INPUT,
        FrameSpec("SKY_LINES", "calib", min=1, max=1, description="List of OH transitions and other sky lines"),
        FrameSpec("SKY_CONTINUUM", "calib", max=1, description="Sky continuum to use"),
        FrameSpec("LSF_PROFILE", "calib", min=1, description="Slice specific LSF parameters"),
    )
    Params = SubtractSkyParameters
    tag = _TABLE

    def step(
        self, table: PixelTable, frames: FrameSet, params: SubtractSkyParameters, ctx: RecipeContext
    ) -> PixelTable:
        """See `ExposureStep.step`.

        Raises
        ------
        CalibrationMismatchError
            If the exposure has counts, or no sky any more.
        """
        if not get_key(table.header, FLUXCAL, bool, default=False):
            raise CalibrationMismatchError("the pixel table has no fluxes", file=table.path, keyword=FLUXCAL)
        if get_key(table.header, SKYSUB, bool, default=False):
            raise CalibrationMismatchError("the sky was subtracted already", file=table.path, keyword=SKYSUB)
        scale = params.scale(table.header)
        if params.orig:
            table = CorrectedTable.of(table, _OriginalStep(params.orig))
        if (given := frames.optional("SKY_CONTINUUM")) is not None:
            curve = read_curve(given.path, SKY_CONTINUUM)[1]
            table = subtract_continuum(table, Curve.of(curve.wave, curve.values * scale), ctx.log)
        lines = read_sky_lines(frames.one("SKY_LINES").path, ctx.log)
        profiles = load_profiles(frames.tagged("LSF_PROFILE"), ctx.log)
        return mark_subtracted(subtract_lines(table, replace(lines, flux=lines.flux * scale), profiles, ctx.log))


class MuseScipostSubtractSkySimple(ExposureStep):
    """Subtract a spectrum of the night sky."""

    name = "muse_scipost_subtract_sky_simple"
    summary = "Subtract night sky spectrum."
    description = "A spectrum is subtracted from each exposure, without regard to the line-spread function."
    inputs = (_INPUT, FrameSpec("SKY_SPECTRUM", "calib", min=1, max=1, description="Spectrum of the sky"))
    Params = WavelengthParameters
    tag = _TABLE

    def step(self, table: PixelTable, frames: FrameSet, params: WavelengthParameters, ctx: RecipeContext) -> PixelTable:
        """See `ExposureStep.step`."""
        _, spectrum = read_curve(frames.one("SKY_SPECTRUM").path, SKY_SPECTRUM)
        return mark_subtracted(subtract_continuum(table, spectrum, ctx.log))
