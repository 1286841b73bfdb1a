"""Counts of an exposure become fluxes (MUSE manual, 6.5.4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
import numpy.typing as npt

from core.errors import CalibrationMismatchError, MissingKeywordError
from core.fitsfile.header import Header
from core.fitsfile.keywords import get_key, has_key, set_key
from core.formats.pixtable_header import FLUX_UNIT, pixtable_units
from core.formats.pixtable_origin import PREFIX
from core.formats.pixtable_read import PixelTable
from core.instruments.muse.facts import Dq, mode_class
from core.onsky.fluxcal import Curve, FluxCalibration
from core.recipes.logs import Logger
from core.recipes.muse.exposure_tables import FFCORR
from core.recipes.muse.steps.pointing import airmass_of
from core.recipes.muse.steps.table import Columns, CorrectedTable, RowStep

__all__ = ["FLUXCAL", "FluxCurve", "FluxStep", "calibrate_fluxes", "response_is_older"]

FLUXCAL: Final = f"{PREFIX}.FLUXCAL"
_FFCORR: Final = "DRS.MUSE.FLUX.FFCORR"


@dataclass(frozen=True, eq=False)
class FluxCurve:
    """A response or a telluric correction, and the header of the table it is from."""

    header: Header
    curve: Curve


@dataclass(frozen=True, eq=False)
class FluxStep(RowStep):
    """Counts become fluxes; what has a wavelength at which the response is not known is flagged.

    Attributes
    ----------
    calibration : FluxCalibration
    """

    calibration: FluxCalibration
    changes: ClassVar = ("data", "stat", "dq")
    needs: ClassVar = ("lambda", "data", "stat", "dq")

    def apply(self, columns: Columns) -> Columns:
        """See `RowStep.apply`."""
        data, stat, known = self.calibration.apply(columns["lambda"], columns["data"], columns["stat"])
        dq: npt.NDArray[np.int32] = columns["dq"]
        if not known.all():
            flagged = dq.view(np.uint32) | np.uint32(Dq.OUTSIDE_RANGE)
            dq = np.where(known, dq, flagged.view(np.int32))
        return {"data": data, "stat": stat, "dq": dq}

    def units(self, units: Mapping[str, str]) -> dict[str, str]:
        """See `RowStep.units`."""
        found = pixtable_units(flux=FLUX_UNIT)
        return {**units, "data": found["data"], "stat": found["stat"]}

    def describe(self, header: Header) -> None:
        """See `RowStep.describe`."""
        set_key(header, FLUXCAL, True, "pixel table is flux-calibrated")


def calibrate_fluxes(
    table: PixelTable,
    response: FluxCurve,
    extinction: Curve | None,
    telluric: FluxCurve | None,
    log: Logger,
) -> PixelTable:
    """A table of fluxes; unchanged if it has fluxes already.

    Parameters
    ----------
    table : PixelTable
    response, telluric : FluxCurve
        Of a standard star.
    extinction : Curve, optional
        Without it the air is taken to be clear, with a warning.
    log : logger

    Raises
    ------
    CalibrationMismatchError
        If the response was measured in another mode, or with another treatment of the spectrum of the flat field.
    DataError
        If the data are neither counts nor fluxes, or the exposure time is no time.
    """
    header = table.header
    unit = table.units.get("data", "")
    if unit == FLUX_UNIT:
        log.warning("the pixel table has fluxes already")
        return table
    if unit != "count":
        raise CalibrationMismatchError(f"data in {unit!r} cannot become fluxes", file=table.path, keyword="BUNIT")
    _check(table, response)
    if telluric is not None and _is_corrected(telluric.header) != has_key(header, FFCORR):
        log.warning("the telluric correction was measured with another treatment of the flat field, and is used anyway")
    if extinction is None:
        log.warning("no atmospheric extinction is corrected: there is no table")
    try:
        mass = airmass_of(header, log)
    except MissingKeywordError as error:
        log.warning("no atmospheric extinction is corrected: %s", error)
        mass = 0.0
    exptime = get_key(header, "EXPTIME", float)
    calibration = FluxCalibration(
        response.curve, extinction, None if telluric is None else telluric.curve, mass, exptime
    )
    log.info("fluxes for an airmass of %.4f and an exposure time of %.2f s", mass, exptime)
    return CorrectedTable.of(table, FluxStep(calibration))


def response_is_older(table: PixelTable, response: FluxCurve) -> bool:
    """Whether the response is one of data that still had the spectrum of the flat field, unlike this table."""
    return has_key(table.header, FFCORR) and not _is_corrected(response.header)


def _check(table: PixelTable, response: FluxCurve) -> None:
    mine, its = (_mode(header) for header in (table.header, response.header))
    if mine != its:
        raise CalibrationMismatchError(
            f"the response was measured in the mode {its}, the data in {mine}", file=table.path, keyword="INS.MODE"
        )
    corrected = has_key(table.header, FFCORR)
    if corrected != _is_corrected(response.header):
        here, there = ("multiplied", "not multiplied") if corrected else ("not multiplied", "multiplied")
        raise CalibrationMismatchError(
            f"the data were {here} with the spectrum of the flat field, those of the response were {there}",
            file=table.path,
            keyword=_FFCORR,
        )


def _is_corrected(header: Header) -> bool:
    return get_key(header, _FFCORR, bool, default=False)


def _mode(header: Header) -> str:
    return mode_class(get_key(header, "INS.MODE", str, default=None))
