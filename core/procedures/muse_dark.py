"""QC procedure of DARK frames: cuts, histograms, profiles, difference to the master dark before, all detectors."""

from __future__ import annotations

from functools import partial

from core.procedures.detector import DetectorPlots, overview_plots, panel_plots
from core.procedures.model import Procedure

__all__ = ["PROCEDURE"]

KIND = DetectorPlots("dark", "MASTER_DARK", "master dark", "count")
PROCEDURE = Procedure(KIND.tag, partial(overview_plots, KIND), partial(panel_plots, KIND))
