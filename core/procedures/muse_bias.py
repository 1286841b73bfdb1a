"""QC procedure of BIAS frames: cuts, histograms, profiles, difference to the master bias before, all detectors."""

from __future__ import annotations

from pathlib import Path

from core.procedures.detector import DetectorPlots, detector_plots
from core.procedures.model import PlotFile, ProcedureInput

__all__ = ["make_plots"]

KIND = DetectorPlots("bias", "MASTER_BIAS", "master bias", "adu")


def make_plots(block: ProcedureInput, folder: Path) -> list[PlotFile]:
    """Pictures of a finished bias block."""
    return detector_plots(block, KIND, folder)
