"""QC procedure of BIAS frames: cuts, histograms, profiles, difference to the master bias before, all detectors."""

from __future__ import annotations

from functools import partial

from core.procedures.detector import DetectorPlots, overview_plots, panel_plots
from core.procedures.model import Procedure

__all__ = ["PROCEDURE"]

KIND = DetectorPlots("bias", "MASTER_BIAS", "master bias", "adu")
PROCEDURE = Procedure(KIND.tag, partial(overview_plots, KIND), partial(panel_plots, KIND))
