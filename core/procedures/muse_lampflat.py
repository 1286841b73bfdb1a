"""QC procedure of lamp flats: the pictures of the master flat, and those of the traces of its slices."""

from __future__ import annotations

from pathlib import Path

from core.procedures.detector import DetectorPlots, detector_plots
from core.procedures.model import PlotFile, ProcedureInput
from core.procedures.slices import SlicePanel, slice_plot
from core.procedures.traces import trace_plot, width_plots

__all__ = ["make_plots"]

KIND = DetectorPlots("lampflat", "MASTER_FLAT", "master flat", "normalised", relative=True)
FLUX = (
    SlicePanel("QC.FLAT.MASTER.SLICE{slice}.MEAN", "mean flux in the middle of the slice", "count"),
    SlicePanel("QC.FLAT.MASTER.SLICE{slice}.STDEV", "its scatter", "count"),
)


def make_plots(block: ProcedureInput, folder: Path) -> list[PlotFile]:
    """Pictures of a finished flat-field block."""
    plots = detector_plots(block, KIND, folder)
    flux = slice_plot(block, KIND.tag, FLUX, folder, "lampflat2", "flux of the slices")
    traces = trace_plot(block, folder)
    return [*plots, *(plot for plot in (flux, traces) if plot is not None), *width_plots(block, folder)]
