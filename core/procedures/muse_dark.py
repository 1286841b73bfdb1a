"""QC procedure of DARK frames: cuts, histograms, profiles, difference to the master dark before, all detectors."""

from __future__ import annotations

from pathlib import Path

from core.procedures.detector import DetectorPlots, detector_plots
from core.procedures.model import PlotFile, ProcedureInput

__all__ = ["make_plots"]

KIND = DetectorPlots("dark", "MASTER_DARK", "master dark", "count")


def make_plots(block: ProcedureInput, folder: Path) -> list[PlotFile]:
    """Pictures of a finished dark block."""
    return detector_plots(block, KIND, folder)
