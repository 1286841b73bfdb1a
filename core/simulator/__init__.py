"""Raw MUSE frames with a known, saved truth."""

from core.simulator.exposure import NightState, expected_electrons, expose
from core.simulator.night import NightPlan, simulate_night
from core.simulator.scenes import ArcScene, BiasScene, DarkScene, FlatScene, IllumScene, Scene
from core.simulator.truth import InstrumentTruth, load_truth, save_truth, truth_for

__all__ = [
    "ArcScene",
    "BiasScene",
    "DarkScene",
    "FlatScene",
    "IllumScene",
    "InstrumentTruth",
    "NightPlan",
    "NightState",
    "Scene",
    "expected_electrons",
    "expose",
    "load_truth",
    "save_truth",
    "simulate_night",
    "truth_for",
]
