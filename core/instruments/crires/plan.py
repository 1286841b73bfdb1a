"""The calibration plan of CRIRES on one screen: darks and flats.

A flat needs a dark of its integration time, read-out mode and window; what is made from it serves data of the same
setting. The observatory takes health-check settings daily and the others after a night that used them, so a day is the
plan. Darks come at least by three, since the quality control measures the noise between three frames.
"""

from __future__ import annotations

from typing import Final

from core.instruments.crires.setup import SETUP, UNITS
from core.instruments.rules import UNITS_KEY, InputRule, MasterSource, RawSource, Rules, Task

__all__ = ["RULES"]

DAILY = ((1.5, 0), (7.0, 1))
DETECTOR = ("readout", "window", UNITS_KEY)
SETTING = (*DETECTOR, "mode", "order", "slit")

RULES: Final = Rules(
    setup=SETUP,
    units=UNITS,
    raws=(
        RawSource("DARK"),
        RawSource("FLAT"),
    ),
    masters=(
        #            tag            rule      match keys          windows
        MasterSource("CALPRO_DARK", "dark-1", (*DETECTOR, "dit"), DAILY),
        MasterSource("CALPRO_FLAT", "flat-1", SETTING, DAILY),
        MasterSource("CALPRO_BPM", "bpm-1", SETTING, DAILY),
    ),
    tasks=(
        Task("crires_dark", "DARK", (), ("CALPRO_DARK",), minimum=3),
        Task("crires_flat", "FLAT", (InputRule("CALPRO_DARK"),), ("CALPRO_FLAT", "CALPRO_BPM")),
    ),
    without_task=(
        ("WAVE", "wavelength calibrations of CRIRES are not part of the cascade"),
        ("OBJECT", "spectra of CRIRES are not part of the cascade"),
    ),
)
