"""Pixels find their places on the sky (MUSE manual, 6.5.4): projected to the plane that touches it, then positioned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np

from core.cubes.projection import Matrix, exposure_cd, native_angles, position_native, ra_difference
from core.errors import DataError
from core.fitsfile.header import Header
from core.fitsfile.keywords import del_keys, get_key, has_key, set_key
from core.formats.pixtable_header import pixtable_units
from core.formats.pixtable_origin import PREFIX
from core.formats.pixtable_read import PixelTable
from core.recipes.logs import Logger
from core.recipes.muse.pixel_source import spatial_cd
from core.recipes.muse.steps.pointing import position_angle_of, spaxel_of
from core.recipes.muse.steps.refraction import kept_limit
from core.recipes.muse.steps.table import Columns, CorrectedTable, RowStep

__all__ = ["Astrometry", "PositionStep", "ProjectionStep", "default_astrometry", "field_middle", "position", "project"]

_WCS: Final = f"{PREFIX}.WCS"


@dataclass(frozen=True)
class Astrometry:
    """An astrometric calibration.

    Attributes
    ----------
    cd : matrix [deg/pix]
    crpix : pair of float [pix]
        Relative to the middle of the field.
    """

    cd: Matrix
    crpix: tuple[float, float]

    @classmethod
    def of(cls, header: Header) -> Astrometry:
        """That of an ASTROMETRY_WCS.

        Raises
        ------
        MissingKeywordError
            If ``CD1_1``, ``CD2_2``, ``CRPIX1`` or ``CRPIX2`` is missing.
        """
        return cls(spatial_cd(header), (get_key(header, "CRPIX1", float), get_key(header, "CRPIX2", float)))


@dataclass(frozen=True)
class ProjectionStep(RowStep):
    """Positions in pixels become native angles.

    Attributes
    ----------
    cd : matrix [deg/pix]
        Of the exposure.
    crpix : pair of float [pix]
        Where the plane touches the sky.
    """

    cd: Matrix
    crpix: tuple[float, float]
    changes: ClassVar = ("xpos", "ypos")
    needs: ClassVar = ("xpos", "ypos")

    def apply(self, columns: Columns) -> Columns:
        """See `RowStep.apply`."""
        xpos, ypos = native_angles(columns["xpos"], columns["ypos"], self.crpix, self.cd)
        return {"xpos": xpos, "ypos": ypos}

    def units(self, units: Mapping[str, str]) -> dict[str, str]:
        """See `RowStep.units`."""
        return {**units, "xpos": "rad", "ypos": "rad"}

    def describe(self, header: Header) -> None:
        """See `RowStep.describe`."""
        del_keys(header, r"(CRVAL[12]|LONPOLE|LATPOLE)\Z")
        for axis, kind in ((1, "RA---TAN"), (2, "DEC--TAN")):
            header[f"CTYPE{axis}"] = kind
            header[f"CUNIT{axis}"] = "deg"
            header[f"CRPIX{axis}"] = self.crpix[axis - 1]
            for other in (1, 2):
                header[f"CD{axis}_{other}"] = float(self.cd[axis - 1][other - 1])
        set_key(header, _WCS, "projected (intermediate)", "Astrometric calibration of the pixel table")


@dataclass(frozen=True)
class PositionStep(RowStep):
    """Native angles become places on the sky, less a zero point.

    Attributes
    ----------
    centre : pair of float [deg]
        Where the plane touches the sky.
    zero : pair of float [deg]
        What positions are counted from; the same as ``centre`` unless exposures are combined.
    """

    centre: tuple[float, float]
    zero: tuple[float, float]
    changes: ClassVar = ("xpos", "ypos")
    needs: ClassVar = ("xpos", "ypos")

    def apply(self, columns: Columns) -> Columns:
        """See `RowStep.apply`."""
        xpos, ypos = position_native(columns["xpos"], columns["ypos"], self.centre[1])
        if self.zero != self.centre:
            xpos = (xpos + ra_difference(self.centre[0], self.zero[0])).astype(np.float32)
            ypos = (ypos + (self.centre[1] - self.zero[1])).astype(np.float32)
        return {"xpos": xpos, "ypos": ypos}

    def units(self, units: Mapping[str, str]) -> dict[str, str]:
        """See `RowStep.units`."""
        return {**units, "xpos": pixtable_units("deg")["xpos"], "ypos": pixtable_units("deg")["ypos"]}

    def describe(self, header: Header) -> None:
        """See `RowStep.describe`."""
        header["CRVAL1"], header["CRVAL2"] = self.zero
        set_key(header, _WCS, "positioned (final)", "Astrometric calibration of the pixel table")


def default_astrometry(header: Header) -> Astrometry:
    """What is taken where there is no calibration: pixels of their nominal size, x to the west."""
    x, y = spaxel_of(header)
    return Astrometry(((-x / 3600, 0.0), (0.0, y / 3600)), (0.0, 0.0))


def project(table: PixelTable, astrometry: Astrometry, log: Logger) -> PixelTable:
    """A table in native angles; unchanged if it is on the sky in any way.

    Raises
    ------
    MissingKeywordError
        If the header does not tell the limits of positions.
    """
    if table.units.get("xpos", "pix") != "pix":
        log.info("the pixel table is on the sky already")
        return table
    header = table.header
    angle = position_angle_of(header)
    reference = [middle + crpix for middle, crpix in zip(field_middle(header), astrometry.crpix, strict=True)]
    log.info("astrometry for a position angle of %.3f deg", angle)
    return CorrectedTable.of(table, ProjectionStep(exposure_cd(astrometry.cd, angle), (reference[0], reference[1])))


def position(
    table: PixelTable, offset: tuple[float, float] = (0.0, 0.0), zero: tuple[float, float] | None = None
) -> PixelTable:
    """A table on the sky; unchanged if it is there.

    Parameters
    ----------
    table : PixelTable
        In native angles.
    offset : pair of float [deg]
        What right ascension and declination of the header are too large, without a cosine.
    zero : pair of float, optional
        What positions are counted from [deg]; the place of the exposure unless told otherwise.

    Raises
    ------
    DataError
        If the positions are still in pixels.
    MissingKeywordError
        If ``RA`` or ``DEC`` is missing.
    """
    unit = table.units.get("xpos", "pix")
    if unit == "deg":
        return table
    if unit != "rad":
        raise DataError(f"positions in {unit} have no place on the sky", file=table.path)
    centre = (get_key(table.header, "RA", float) - offset[0], get_key(table.header, "DEC", float) - offset[1])
    return CorrectedTable.of(table, PositionStep(centre, centre if zero is None else zero))


def field_middle(header: Header) -> tuple[float, float]:
    """Middle of the field of a table in pixels, where it was before refraction was corrected [pix].

    Raises
    ------
    MissingKeywordError
        If the header does not tell the limits of positions.
    """
    return _middle(header, "X"), _middle(header, "Y")


def _middle(header: Header, axis: str) -> float:
    before = has_key(header, kept_limit(axis, "LOW"))
    keys = [kept_limit(axis, end) if before else f"{PREFIX}.LIMITS.{axis}.{end}" for end in ("LOW", "HIGH")]
    return sum(get_key(header, key, float) for key in keys) / 2
