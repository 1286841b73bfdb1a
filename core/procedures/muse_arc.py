"""QC procedure of arc frames: quality of the wavelength solution of each slice, its residuals, its lines."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from core.formats.tables import WAVECAL_RESIDUALS, WAVECAL_TABLE, read_table
from core.procedures.model import PlotFile, Procedure, ProcedureInput
from core.procedures.slices import SlicePanel, slice_plot
from core.procedures.style import save
from core.spectral.dispersion import Dispersion
from core.tools.plots_wave import plot_wave_column, plot_wave_residuals

__all__ = ["PROCEDURE"]

_SLICE = 24  # its lines are drawn one by one: it lies in the middle of the detector

QUALITY = (
    SlicePanel("QC.WAVECAL.SLICE{slice}.FIT.RMS", "scatter of the solution", "Angstrom"),
    SlicePanel("QC.WAVECAL.SLICE{slice}.FIT.NLINES", "lines in the solution", "lines"),
    SlicePanel("QC.WAVECAL.SLICE{slice}.LINES.NDET", "lines detected", "lines"),
    SlicePanel("QC.WAVECAL.SLICE{slice}.LINES.NID", "lines identified", "lines"),
)
OPTICS = (
    SlicePanel("QC.WAVECAL.SLICE{slice}.RESOL", "resolving power", ""),
    SlicePanel("QC.WAVECAL.SLICE{slice}.LINES.FWHM.MEAN", "line width", "Angstrom"),
    SlicePanel("QC.WAVECAL.SLICE{slice}.WLEN", "wavelength at the middle row", "Angstrom"),
    SlicePanel("QC.WAVECAL.SLICE{slice}.LINES.PEAK.MEAN", "mean peak of the lines", "count"),
    SlicePanel("QC.WAVECAL.SLICE{slice}.DWLEN.BOTTOM", "left minus right edge, bottom", "Angstrom"),
    SlicePanel("QC.WAVECAL.SLICE{slice}.DWLEN.TOP", "left minus right edge, top", "Angstrom"),
)


def _of_all(block: ProcedureInput, folder: Path) -> list[PlotFile]:
    plots = (
        slice_plot(block, "WAVECAL_TABLE", QUALITY, folder, "arc0", "wavelength solution of the slices"),
        slice_plot(block, "WAVECAL_TABLE", OPTICS, folder, "arc1", "optical quality of the slices"),
    )
    return [plot for plot in plots if plot is not None]


def _of_ifu(block: ProcedureInput, unit: int, folder: Path) -> list[PlotFile]:
    path = block.products.get(("WAVECAL_RESIDUALS", unit))
    if path is None:
        return []
    residuals = read_table(path, WAVECAL_RESIDUALS, unit)
    high = float(np.percentile(np.abs(residuals["residual"]), 98))
    name = f"IFU {unit:02d}"
    figure = plot_wave_residuals(residuals, cuts=(-high, high), title=name)
    text = "Catalogue minus fitted wavelength in the last iteration; colours are cut at 98 % of the values."
    plots = [save(figure, folder, f"arc2-{unit:02d}", f"IFU {unit}: residuals on the detector", text, unit)]
    numbers = np.unique(residuals["slice"])
    number = int(numbers[np.argmin(np.abs(numbers.astype(np.int64) - _SLICE))])
    solution = Dispersion.from_columns(read_table(block.products["WAVECAL_TABLE", unit], WAVECAL_TABLE, unit))
    figure = plot_wave_column(residuals, solution, number, show_residuals=True, title=name)
    text = "Each line in each column of the slice: catalogue minus fitted wavelength against wavelength."
    plots.append(save(figure, folder, f"arc3-{unit:02d}", f"IFU {unit}: residuals of slice {number}", text, unit))
    return plots


PROCEDURE = Procedure("WAVECAL_TABLE", _of_all, _of_ifu)
