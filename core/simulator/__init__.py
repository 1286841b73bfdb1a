"""Raw MUSE frames with a known, saved truth.

What a comparison needs to know of a frame: `truth_for` (or `load_truth`) is the instrument of an IFU, with
`InstrumentTruth.wavelength`, `InstrumentTruth.position` and `InstrumentTruth.geometry` (its `FieldGeometry.table` is a
GEOMETRY_TABLE); `scenes_of_night` tells what each file shows, and `SkyTruth` what is true of an `OnSkyScene`: where
its sources lie on the sky, their spectra and that of the night, extinction, response, line-spread function.
"""

from core.simulator.exposure import NightState, expected_electrons, expose
from core.simulator.geometry import FieldGeometry
from core.simulator.light import Light, Spectrum, light_image
from core.simulator.mask import MaskCheckScene, MaskScene, mask_sequence
from core.simulator.night import NightPlan, scenes_of_night, simulate_night
from core.simulator.onsky import AstrometryScene, ObjectScene, OnSkyScene, SkyFlatScene, SkyScene, StdScene
from core.simulator.pointing import Pointing, View
from core.simulator.programme import SkyPlan
from core.simulator.scenes import ArcScene, BiasScene, DarkScene, FlatScene, IllumScene, Scene
from core.simulator.skytruth import SkyTruth
from core.simulator.truth import InstrumentTruth, load_truth, save_truth, truth_for

__all__ = [
    "ArcScene",
    "AstrometryScene",
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
    "ObjectScene",
    "OnSkyScene",
    "Pointing",
    "Scene",
    "SkyFlatScene",
    "SkyPlan",
    "SkyScene",
    "SkyTruth",
    "Spectrum",
    "StdScene",
    "View",
    "expected_electrons",
    "expose",
    "light_image",
    "load_truth",
    "mask_sequence",
    "save_truth",
    "scenes_of_night",
    "simulate_night",
    "truth_for",
]
