"""Lists of emission lines of the sky (SKY_LINES, RAMAN_LINES): lines, and transitions of OH."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from core.errors import BadFitsError, MuseError
from core.formats.onsky_tables import LINE_FLUX_UNIT, NamedTable, named_tables
from core.formats.tables import MuseTable
from core.onsky.skylines import SkyLines, lines_of_transitions

__all__ = ["read_sky_lines", "table_of_lines"]

_PLAIN: Final = "erg/(s cm^2 arcsec^2)"
_LOG: Final = logging.getLogger(__name__)


def read_sky_lines(path: str | os.PathLike[str], log: logging.Logger | logging.LoggerAdapter[Any] = _LOG) -> SkyLines:
    """The lines of a file; those of transitions of OH, as they are at 200 K, come after the others.

    Parameters
    ----------
    path : path-like
    log : logger, optional
        Told of a unit of the flux that is not known.

    Raises
    ------
    BadFitsError
        If the file holds no such list.
    """
    path = Path(path)
    found: SkyLines | None = None
    for table in named_tables(path):
        try:
            if table.name == "OH_TRANSITIONS":
                lines = _transitions(table)
            elif table.name == "LINES" or found is None:
                lines = _lines(table, log)
            else:
                continue
        except MuseError as error:
            raise BadFitsError(f"the file is no SKY_LINES: {error.message}", file=path) from error
        found = lines if found is None else found + lines
    if found is None or not len(found):
        raise BadFitsError("the list has no lines", file=path)
    return found


def table_of_lines(lines: SkyLines) -> MuseTable:
    """Lines as the columns of a SKY_LINES."""
    return MuseTable(
        {
            "name": lines.name,
            "group": lines.group,
            "lambda": lines.wave,
            "flux": lines.flux,
            "dq": np.zeros(len(lines), np.int32),
        }
    )


def _lines(table: NamedTable, log: logging.Logger | logging.LoggerAdapter[Any]) -> SkyLines:
    flux, unit = table.numbers("flux"), table.units.get("flux", "")
    if unit == _PLAIN:
        flux = flux * 1e20
    elif unit != LINE_FLUX_UNIT:
        log.warning("fluxes of lines are in %r, not in %r: they are taken as they are", unit, LINE_FLUX_UNIT)
    wave = table.numbers("lambda")
    group = table.numbers("group").astype(np.int64) if "group" in table.columns else np.zeros(wave.size, np.int64)
    return SkyLines(_names(table, wave.size), group, wave, flux)


def _transitions(table: NamedTable) -> SkyLines:
    wave = table.numbers("lambda")
    v_upper = table.numbers("v_u").astype(np.int64)
    return lines_of_transitions(
        _names(table, wave.size), wave, v_upper, table.numbers("E_u"), table.numbers("J_u"), table.numbers("A")
    )


def _names(table: NamedTable, n: int) -> npt.NDArray[np.str_]:
    cells = table.columns.get("name")
    if cells is None:
        return np.full(n, "", np.str_)
    return np.array([_text(cell) for cell in cells.tolist()], np.str_)


def _text(cell: Any) -> str:
    return (cell.decode("ascii", "replace") if isinstance(cell, bytes) else str(cell)).strip()
