"""Differential refraction is taken out of the positions of pixels (MUSE manual, 6.5.4)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import product
from typing import ClassVar, Final

import numpy as np

from core.cubes.projection import cd_scales
from core.errors import DataError, MissingKeywordError
from core.fitsfile.header import Header
from core.fitsfile.keywords import get_key, has_key, set_key
from core.formats.pixtable_origin import PREFIX
from core.formats.pixtable_read import PixelTable
from core.onsky.air import METHODS, RefractionMethod
from core.onsky.refraction import Refraction
from core.recipes.logs import Logger
from core.recipes.muse.pixel_source import spatial_cd
from core.recipes.muse.steps.pointing import (
    air_of,
    airmass_of,
    is_narrow,
    parallactic_angle_of,
    position_angle_of,
    spaxel_of,
)
from core.recipes.muse.steps.table import Columns, CorrectedTable, RowStep

__all__ = ["CORRECTED", "METHOD_VARIABLE", "RefractionStep", "correct_refraction", "keep_limits", "kept_limit"]

CORRECTED: Final = f"{PREFIX}.DAR.CORRECT"  # reference wavelength [Angstrom], or -1: it was decided not to
METHOD_VARIABLE: Final = "MUSE_DAR_CORRECT_METHOD"
_USEFUL: Final = (3500.0, 22000.0)  # reference wavelengths [Angstrom] that make sense


@dataclass(frozen=True)
class RefractionStep(RowStep):
    """Pixels move to where they would be at the reference wavelength.

    Attributes
    ----------
    refraction : Refraction
    scales : pair of float
        Arcsec in a unit of xpos and ypos.
    """

    refraction: Refraction
    scales: tuple[float, float]
    changes: ClassVar = ("xpos", "ypos")
    needs: ClassVar = ("xpos", "ypos", "lambda")

    def apply(self, columns: Columns) -> Columns:
        """See `RowStep.apply`."""
        x, y = self.refraction.moved(columns["xpos"], columns["ypos"], columns["lambda"], self.scales)
        return {"xpos": x, "ypos": y}

    def describe(self, header: Header) -> None:
        """See `RowStep.describe`; the limits of before are kept, on which the astrometry depends."""
        keep_limits(header)
        set_key(header, CORRECTED, self.refraction.reference, "[Angstrom] DAR corrected to this lambda")


def correct_refraction(table: PixelTable, lambdaref: float, log: Logger) -> PixelTable:
    """A table without differential refraction.

    Nothing is done in the narrow field, which has a corrector, for exposures without a pointing, and where it was done
    already; a ``lambdaref`` beyond all sense says that nothing is to be done.

    Raises
    ------
    MissingKeywordError
        If airmass or parallactic angle are not told.
    DataError
        If positions are neither in pixels nor on the sky, or the formula that is asked for is not known.
    """
    header = table.header
    if is_narrow(header):
        log.info("differential refraction is not corrected: the narrow field has a corrector")
        return table
    if get_key(header, "RA", float, default=None) is None or get_key(header, "DEC", float, default=None) is None:
        log.warning("differential refraction is not corrected: the exposure has no RA and DEC")
        return table
    if get_key(header, CORRECTED, float, default=-1.0) > 0:
        log.info("differential refraction was corrected already")
        return table
    if not _USEFUL[0] <= lambdaref <= _USEFUL[1]:
        log.info("differential refraction is not corrected: the reference wavelength is %g Angstrom", lambdaref)
        return CorrectedTable.of(table, _NotCorrected())
    try:
        mass = airmass_of(header, log)
    except MissingKeywordError as error:
        log.warning("differential refraction is not corrected: %s", error)
        return table
    if mass < 1:
        log.warning("differential refraction is not corrected: the airmass is %g", mass)
        return table
    angle = parallactic_angle_of(header) + position_angle_of(header)
    refraction = Refraction(mass, angle, lambdaref, air_of(header, log), method_of_environment())
    log.info("differential refraction is corrected for airmass %.4f, to %g Angstrom", mass, lambdaref)
    return CorrectedTable.of(table, RefractionStep(refraction, _scales(table)))


def method_of_environment() -> RefractionMethod:
    """The formula of the refractive index, by an environment variable of the reference.

    Raises
    ------
    DataError
        If it is not known.
    """
    name = os.environ.get(METHOD_VARIABLE, "Filippenko")
    if name not in METHODS:
        raise DataError(f"{METHOD_VARIABLE} is {name!r}, not one of {', '.join(METHODS)}", rule=METHOD_VARIABLE)
    return name


def keep_limits(header: Header) -> None:
    """Keep the limits of positions as those from before refraction was corrected, unless there are such."""
    for axis, end in product(("X", "Y"), ("LOW", "HIGH")):
        if not has_key(header, kept := kept_limit(axis, end)):
            value = get_key(header, f"{PREFIX}.LIMITS.{axis}.{end}", float)
            set_key(header, kept, np.float32(value), "limit before the correction of DAR")


def kept_limit(axis: str, end: str) -> str:
    """Keyword of a limit of positions from before refraction was corrected: of ``X`` or ``Y``, ``LOW`` or ``HIGH``."""
    return f"{PREFIX}.PREDAR.LIMITS.{axis}{end[:2]}"


def _scales(table: PixelTable) -> tuple[float, float]:
    unit = table.units.get("xpos", "pix")
    if unit == "pix":
        return spaxel_of(table.header)
    if unit != "deg":
        raise DataError(f"differential refraction cannot be corrected where positions are in {unit}", file=table.path)
    x, y = cd_scales(spatial_cd(table.header))
    # Right ascension grows to the east, against x.
    return -3600.0 * float(np.sign(x or 1)), 3600.0 * float(np.sign(y or 1))


@dataclass(frozen=True)
class _NotCorrected(RowStep):
    changes: ClassVar = ()
    needs: ClassVar = ()

    def apply(self, columns: Columns) -> Columns:
        return {}

    def describe(self, header: Header) -> None:
        set_key(header, CORRECTED, -1.0, "DAR was not to be corrected")
