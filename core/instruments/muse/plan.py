"""The calibration plan of MUSE on one screen.

Match keys follow the instrument's own association rules (read-out mode for everything made from CCD frames, filter
flag and field mode for trace and wavelength tables, the mode class for the master flat) and the fatal consistency
checks of the recipes; validity follows the calibration plan (bias, flat, arc daily; dark monthly). How many frames a
recipe takes and what it makes stands in its declaration (`core.instruments.plans`).
"""

from __future__ import annotations

from typing import Final

from core.instruments.muse.setup import SETUP, UNITS
from core.instruments.muse.statics import MUSE_STATICS
from core.instruments.rules import UNITS_KEY, InputRule, MasterSource, RawSource, Rules, Task

__all__ = ["RULES"]

DAILY = ((1.5, 0), (7.0, 1), (30.0, 2))
MONTHLY = ((31.0, 0), (62.0, 1), (190.0, 2))
CCD = ("readout", "binning", UNITS_KEY)
OPTICS = (*CCD, "blue", "field")

RULES: Final = Rules(
    setup=SETUP,
    units=UNITS,
    raws=(
        RawSource("BIAS"),
        RawSource("DARK"),
        RawSource("FLAT"),
        RawSource("ARC", lamps=("Ne", "Xe", "HgCd")),
    ),
    masters=(
        #             tag              rule         match keys           windows
        MasterSource("MASTER_BIAS", "bias-1", CCD, DAILY),
        MasterSource("MASTER_DARK", "dark-1", CCD, MONTHLY),
        MasterSource("MASTER_FLAT", "flat-1", (*CCD, "mode"), DAILY),
        MasterSource("TRACE_TABLE", "trace-1", OPTICS, DAILY),
        MasterSource("WAVECAL_TABLE", "wavecal-1", OPTICS, DAILY),
        MasterSource("BADPIX_TABLE", "badpix-1"),
        MasterSource("LINE_CATALOG", "lines-1"),
    ),
    tasks=(
        Task("muse_bias", "BIAS", (InputRule("BADPIX_TABLE"),)),
        Task("muse_dark", "DARK", (InputRule("MASTER_BIAS"), InputRule("BADPIX_TABLE"))),
        Task(
            "muse_flat",
            "FLAT",
            (InputRule("MASTER_BIAS"), InputRule("MASTER_DARK", asked=True), InputRule("BADPIX_TABLE")),
            pictured=(("samples", "TRACE_SAMPLES"),),
        ),
        Task(
            "muse_wavecal",
            "ARC",
            (
                InputRule("MASTER_BIAS"),
                InputRule("TRACE_TABLE"),
                InputRule("LINE_CATALOG"),
                InputRule("MASTER_DARK", asked=True),
                InputRule("MASTER_FLAT", asked=True),
                InputRule("BADPIX_TABLE"),
            ),
            pictured=(("residuals", "WAVECAL_RESIDUALS"),),
        ),
        Task(
            "muse_lsf",
            "ARC",
            (
                InputRule("MASTER_BIAS"),
                InputRule("TRACE_TABLE"),
                InputRule("WAVECAL_TABLE"),
                InputRule("LINE_CATALOG"),
                InputRule("BADPIX_TABLE"),
            ),
            asked=True,
        ),
    ),
    without_task=(
        ("ILLUM", "used together with on-sky frames, which are not reduced yet"),
        ("SKYFLAT", "muse_twilight is not part of the cascade yet"),
        ("STD", "muse_scibasic and muse_standard are not part of the cascade yet"),
        ("ASTROMETRY", "muse_scibasic and muse_astrometry are not part of the cascade yet"),
        ("OBJECT", "muse_scibasic and muse_scipost are not part of the cascade yet"),
        ("SKY", "muse_scibasic and muse_create_sky are not part of the cascade yet"),
        ("MASK", "muse_geometry is not part of the cascade yet"),
        ("MASK_CHECK", "muse_geometry is not part of the cascade yet"),
        ("ARC_LSF", "the long arc sequence for muse_lsf is not part of the cascade yet"),
        ("AMPL", "muse_ampl is not part of the cascade yet"),
        ("DETMON_LAMP_OFF", "detector monitoring is not part of the cascade"),
        ("DETMON_LAMP_ON", "detector monitoring is not part of the cascade"),
        ("DETCHECK", "detector monitoring is not part of the cascade"),
        ("TECHNICAL", "nothing is made of technical frames"),
        ("TEST", "nothing is made of tests"),
        ("ACQUISITION", "nothing is made of acquisition images"),
    ),
    pairs=MUSE_STATICS.pairs,
)
