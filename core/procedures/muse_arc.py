"""QC procedure of arc frames: quality of the wavelength solution of each slice, and its residuals on the detector."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from core.fitsfile.tables import WAVECAL_RESIDUALS, read_table
from core.procedures.model import PlotFile, ProcedureInput, spread
from core.procedures.slices import SlicePanel, slice_plot
from core.procedures.style import save
from core.tools.plots_wave import plot_wave_residuals

__all__ = ["make_plots"]

_MAPS = 2  # IFUs whose residuals are drawn

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


def make_plots(block: ProcedureInput, folder: Path) -> list[PlotFile]:
    """Pictures of a finished arc block."""
    plots = (
        slice_plot(block, "WAVECAL_TABLE", QUALITY, folder, "arc0", "wavelength solution of the slices"),
        slice_plot(block, "WAVECAL_TABLE", OPTICS, folder, "arc1", "optical quality of the slices"),
    )
    return [*(plot for plot in plots if plot is not None), *_residual_maps(block, folder)]


def _residual_maps(block: ProcedureInput, folder: Path) -> list[PlotFile]:
    maps = []
    for ifu in spread(block.ifus("WAVECAL_RESIDUALS"), _MAPS):
        residuals = read_table(block.products["WAVECAL_RESIDUALS", ifu], WAVECAL_RESIDUALS, ifu)
        high = float(np.percentile(np.abs(residuals["residual"]), 98))
        figure = plot_wave_residuals(residuals, cuts=(-high, high), title=f"IFU {ifu:02d}")
        text = "Catalogue minus fitted wavelength in the last iteration; colours are cut at 98 % of the values."
        maps.append(save(figure, folder, f"arc2-{ifu:02d}", f"IFU {ifu}: residuals on the detector", text, ifu))
    return maps
