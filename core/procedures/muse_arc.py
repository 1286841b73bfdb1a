"""QC procedure of arc frames: quality of the wavelength solution of each slice."""

from __future__ import annotations

from pathlib import Path

from core.procedures.model import PlotFile, ProcedureInput
from core.procedures.slices import SlicePanel, slice_plot

__all__ = ["make_plots"]

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
    return [plot for plot in plots if plot is not None]
