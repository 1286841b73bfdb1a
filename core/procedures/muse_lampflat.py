"""QC procedure of lamp flats: the pictures of the master flat, and those of the traces of its slices."""

from __future__ import annotations

from pathlib import Path

from core.procedures.detector import DetectorPlots, overview_plots, panel_plots
from core.procedures.model import PlotFile, Procedure, ProcedureInput
from core.procedures.slices import SlicePanel, slice_plot
from core.procedures.traces import sample_plots, trace_plot

__all__ = ["PROCEDURE"]

KIND = DetectorPlots("lampflat", "MASTER_FLAT", "master flat", "normalised", relative=True)
FLUX = (
    SlicePanel("QC.FLAT.MASTER.SLICE{slice}.MEAN", "mean flux in the middle of the slice", "count"),
    SlicePanel("QC.FLAT.MASTER.SLICE{slice}.STDEV", "its scatter", "count"),
)


def _of_all(block: ProcedureInput, folder: Path) -> list[PlotFile]:
    plots = overview_plots(KIND, block, folder)
    flux = slice_plot(block, KIND.tag, FLUX, folder, "lampflat2", "flux of the slices")
    traces = trace_plot(block, folder)
    return [*plots, *(plot for plot in (flux, traces) if plot is not None)]


def _of_ifu(block: ProcedureInput, unit: int, folder: Path) -> list[PlotFile]:
    return [*panel_plots(KIND, block, unit, folder), *sample_plots(block, unit, folder)]


PROCEDURE = Procedure(KIND.tag, _of_all, _of_ifu)
