"""QC procedure of exposures of the sky: the field of view, a line of the sky in each slice, the illumination."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.fitsfile.keywords import get_key
from core.formats.pixtable_origin import PREFIX
from core.formats.pixtable_read import PixelTable, open_pixtable
from core.instruments.muse.facts import N_SLICES
from core.procedures.field import FieldMap, field_figure
from core.procedures.model import PlotFile, Procedure, ProcedureInput
from core.procedures.slices import slice_matrix
from core.procedures.style import new_figure, save
from core.spatial.fieldview import FieldView, joined
from core.spatial.spectrum import binned_with_rejection
from core.spectral.linefit import CONVERGED, fit_gaussian

__all__ = ["PROCEDURE"]

Tables = Mapping[int, PixelTable]

_TAGS: Final = ("OBJECT", "STD", "SKY", "ASTROMETRY")
_WINDOWS: Final = tuple((low, low + 50.0) for low in range(6500, 7500, 50))  # [Angstrom]: bright, and of all modes
_LINE: Final = 6300.304  # [Angstrom]
_HALF_WIDTH: Final = 5.0
_BIN: Final = 0.25
_FEWEST: Final = 200  # rows that a line needs
_FAINT: Final = 5.0  # line fluxes over their error below which nothing is shown


def _of_all(block: ProcedureInput, folder: Path) -> list[PlotFile]:
    tables = {
        unit: open_pixtable(block.products[f"PIXTABLE_{tag}", unit])
        for tag in _TAGS
        for unit in block.units(f"PIXTABLE_{tag}")
    }
    if not tables:
        return []
    plots = (_field(block, tables, folder), _sky_line(block, tables, folder), _illumination(block, tables, folder))
    return [plot for plot in plots if plot is not None]


def _field(block: ProcedureInput, tables: Tables, folder: Path) -> PlotFile:
    ends = {
        end: [
            pick(get_key(table.header, f"{PREFIX}.LIMITS.{axis}.{end}", float) for table in tables.values())
            for axis in ("X", "Y")
        ]
        for end, pick in (("LOW", min), ("HIGH", max))
    }
    corners = (ends["LOW"][0], ends["LOW"][1]), (ends["HIGH"][0], ends["HIGH"][1])
    views = [FieldView(*corners) for _ in _WINDOWS]
    for table in tables.values():
        for view, window in zip(views, _WINDOWS, strict=True):
            for part in table.rows(*window, names=("xpos", "ypos", "data", "dq")):
                view.add(part.columns["xpos"], part.columns["ypos"], part.columns["data"], part.columns["dq"])
    image = joined([view.image() for view in views])
    low, high = np.nanpercentile(image, [1.0, 99.0])
    title = "6500 to 7500 Angstrom: median of 20 windows, free of most cosmic rays"
    shown = FieldMap(image, views[0].extent, title, "count", (low, high))
    figure = field_figure(f"field of view     {block.block}", [shown])
    text = (
        "Each pixel at its nearest spaxel, as the geometry table has it; not resampled, not turned to the sky. Colours "
        "are cut at 1 and 99 %."
    )
    return save(figure, folder, "scibasic0", "field of view", text)


def _sky_line(block: ProcedureInput, tables: Tables, folder: Path) -> PlotFile | None:
    offsets = np.full((len(tables), N_SLICES), np.nan)
    for row, table in enumerate(tables.values()):
        offsets[row] = _offsets(table)
    if not np.isfinite(offsets).any():
        return None
    figure = new_figure(f"sky line {_LINE:.1f} Angstrom     {block.block}", 12.0, 1.6 + 0.2 * len(tables))
    axes = figure.subplots()
    reach = max(float(np.nanpercentile(np.abs(offsets), 98)), 0.01)
    slice_matrix(
        axes, offsets, list(tables), (-reach, reach), "RdBu_r", "Angstrom", "where the line lies, minus 6300.304"
    )
    text = (
        "Of each slice of each IFU, after the shift that was found for the whole IFU; grey where the line is too faint "
        f"to be measured. Median of all {np.nanmedian(offsets):+.3f} Angstrom."
    )
    return save(figure, folder, "scibasic1", "sky line in each slice", text)


def _offsets(table: PixelTable) -> NDArray[np.float64]:
    """Where the line lies in each slice, minus its wavelength [Angstrom]."""
    names = ("lambda", "data", "dq", "stat", "origin")
    parts = [part.columns for part in table.rows(_LINE - _HALF_WIDTH, _LINE + _HALF_WIDTH, names=names)]
    found = np.full(N_SLICES, np.nan)
    if not parts:
        return found
    cells = {name: np.concatenate([part[name] for part in parts]) for name in names}
    good = (cells["dq"] == 0) & np.isfinite(cells["data"])
    slices = cells["origin"] & 63
    bins = (_LINE - _HALF_WIDTH, _LINE + _HALF_WIDTH, _BIN)
    for number in range(1, N_SLICES + 1):
        own = good & (slices == number)
        if np.count_nonzero(own) < _FEWEST:
            continue
        spectrum = binned_with_rejection(
            cells["lambda"][own], cells["data"][own], cells["stat"][own], bins, 5.0, 5.0, 2
        )
        fit = fit_gaussian(spectrum.wave, spectrum.data, spectrum.stat)
        error = float(np.sqrt(max(fit.covariance[2, 2], 0.0))) if fit.status == CONVERGED else np.inf
        if fit.area > _FAINT * error:
            found[number - 1] = fit.center - _LINE
    return found


def _illumination(block: ProcedureInput, tables: Tables, folder: Path) -> PlotFile | None:
    factors = np.array(
        [
            [get_key(table.header, f"{PREFIX}.ILLUM{number}", float, np.nan) for number in range(1, N_SLICES + 1)]
            for table in tables.values()
        ]
    )
    if not np.isfinite(factors).any():
        return None
    figure = new_figure(f"illumination of the slices     {block.block}", 12.0, 1.6 + 0.2 * len(tables))
    axes = figure.subplots()
    reach = max(float(np.nanpercentile(np.abs(factors - 1), 98)), 0.001)
    slice_matrix(
        axes, factors, list(tables), (1 - reach, 1 + reach), "RdBu_r", "factor", "factor from the ILLUM exposure"
    )
    text = "What the data of each slice were multiplied by; the mean of an IFU is 1."
    return save(figure, folder, "scibasic2", "illumination factors", text)


def _of_ifu(block: ProcedureInput, unit: int, folder: Path) -> list[PlotFile]:
    return []


PROCEDURE = Procedure("PIXTABLE", _of_all, _of_ifu)
