"""Raw MUSE frames with a known, saved truth."""

from core.simulator.exposure import NightState, expected_electrons, expose
from core.simulator.geometry import FieldGeometry
from core.simulator.light import Light, Spectrum, light_image
from core.simulator.mask import MaskCheckScene, MaskScene, mask_sequence
from core.simulator.night import NightPlan, simulate_night
from core.simulator.scenes import ArcScene, BiasScene, DarkScene, FlatScene, IllumScene, Scene
from core.simulator.truth import InstrumentTruth, load_truth, save_truth, truth_for

__all__ = [
    "ArcScene",
    "BiasScene",
    "DarkScene",
    "FieldGeometry",
    "FlatScene",
    "IllumScene",
    "InstrumentTruth",
    "Light",
    "MaskCheckScene",
    "MaskScene",
    "NightPlan",
    "NightState",
    "Scene",
    "Spectrum",
    "expected_electrons",
    "expose",
    "light_image",
    "load_truth",
    "mask_sequence",
    "save_truth",
    "simulate_night",
    "truth_for",
]
