"""The calibration plan of MUSE on two screens.

Match keys follow the instrument's own association rules (read-out mode for everything made from CCD frames, filter
flag and field mode for trace and wavelength tables, the mode class for the master flat) and the fatal consistency
checks of the recipes; validity follows the calibration plan (bias, flat, arc daily; twilight weekly; dark monthly;
geometry each three months). How many frames a recipe takes and what it makes stands in its declaration
(`core.instruments.plans`).
"""

from __future__ import annotations

from typing import Final

from core.instruments.muse.setup import SETUP, UNITS
from core.instruments.muse.statics import MUSE_STATICS
from core.instruments.rules import UNITS_KEY, GroupBy, InputRule, MasterSource, RawSource, Rules, Setting, Task

__all__ = ["RULES"]

DAILY = ((1.5, 0), (7.0, 1), (30.0, 2))
MONTHLY = ((31.0, 0), (62.0, 1), (190.0, 2))
CCD = ("readout", "binning", UNITS_KEY)
OPTICS = (*CCD, "blue", "field")
WEEKLY = ((7.5, 0), (14.0, 1), (62.0, 2))
QUARTERLY = ((95.0, 0), (190.0, 1), (3650.0, 2))
NIGHTLY = ((2.0 / 24, 0), (0.5, 1))  # illumination: one in one to two hours

_SMALL = Setting("compact", True, "an exposure is 9.2 GB of pixel tables in the usual form, 2.7 GB in this one")
_NO_IMAGE = Setting("saveimage", False, "nothing is made of the images: 4.9 GB an exposure")
_ON_SKY: Final = (
    InputRule("ILLUM"),
    InputRule("MASTER_BIAS", needed=True),
    InputRule("MASTER_FLAT", needed=True),
    InputRule("TRACE_TABLE"),
    InputRule("WAVECAL_TABLE"),
    InputRule("GEOMETRY_TABLE"),
    InputRule("TWILIGHT_CUBE"),
    InputRule("MASTER_DARK", asked=True),
    InputRule("BADPIX_TABLE"),
)


def _exposures(tag: str) -> Task:
    """Each exposure of the sky for itself."""
    return Task(
        "muse_scibasic",
        tag,
        _ON_SKY,
        (f"PIXTABLE_{tag}",),
        settings=(_SMALL, _NO_IMAGE),
        group_by=GroupBy.EXPOSURE,
        name=f"muse_scibasic_{tag.lower()}",
    )


RULES: Final = Rules(
    setup=SETUP,
    units=UNITS,
    raws=(
        RawSource("BIAS"),
        RawSource("DARK"),
        RawSource("FLAT"),
        RawSource("ARC", lamps=("Ne", "Xe", "HgCd")),
        RawSource("MASK"),
        RawSource("SKYFLAT"),
        RawSource("STD"),
        RawSource("ASTROMETRY"),
        RawSource("SKY"),
        RawSource("OBJECT"),
    ),
    masters=(
        #             tag              rule         match keys           windows
        MasterSource("MASTER_BIAS", "bias-1", CCD, DAILY),
        MasterSource("MASTER_DARK", "dark-1", CCD, MONTHLY),
        MasterSource("MASTER_FLAT", "flat-1", (*CCD, "mode"), DAILY),
        MasterSource("TRACE_TABLE", "trace-1", OPTICS, DAILY),
        MasterSource("WAVECAL_TABLE", "wavecal-1", OPTICS, DAILY),
        MasterSource("ILLUM", "illum-1", (*CCD, "field"), NIGHTLY, near=0.0, kelvins=((2.0, 0), (5.0, 1))),
        MasterSource("MASK_CHECK", "maskcheck-1", (*CCD, "field"), ((0.5, 0),)),
        MasterSource("GEOMETRY_TABLE", "geometry-1", ("readout", "binning"), QUARTERLY),
        MasterSource("TWILIGHT_CUBE", "twilight-1", OPTICS, WEEKLY),
        MasterSource("VIGNETTING_MASK", "vignetting-1"),
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
        Task(
            "muse_geometry",
            "MASK",
            (
                InputRule("MASTER_BIAS"),
                InputRule("TRACE_TABLE"),
                InputRule("WAVECAL_TABLE"),
                InputRule("LINE_CATALOG"),
                InputRule("MASTER_DARK", asked=True),
                InputRule("MASTER_FLAT"),
                InputRule("BADPIX_TABLE"),
                InputRule("MASK_CHECK", asked=True, several=True),
            ),
            settings=(Setting("savereduced", False, "nothing is made of the reduced exposures: 290 GB a sequence"),),
        ),
        Task(
            "muse_twilight",
            "SKYFLAT",
            (
                InputRule("ILLUM"),
                InputRule("MASTER_BIAS"),
                InputRule("MASTER_FLAT"),
                InputRule("TRACE_TABLE"),
                InputRule("WAVECAL_TABLE"),
                InputRule("GEOMETRY_TABLE"),
                InputRule("VIGNETTING_MASK"),
                InputRule("MASTER_DARK", asked=True),
                InputRule("BADPIX_TABLE"),
            ),
        ),
        *map(_exposures, ("STD", "ASTROMETRY", "SKY", "OBJECT")),
    ),
    without_task=(
        ("ILLUM", "used together with frames of the sky"),
        ("MASK_CHECK", "only on request, together with the frames of a mask"),
        ("ARC_LSF", "the long arc sequence for muse_lsf is not part of the cascade yet"),
        ("AMPL", "muse_ampl is run by hand: the cascade does not monitor the throughput"),
        ("LINGAIN_LAMP_OFF", "detector monitoring is not part of the cascade"),
        ("LINGAIN_LAMP_ON", "detector monitoring is not part of the cascade"),
        ("DETCHECK", "detector monitoring is not part of the cascade"),
        ("TECHNICAL", "nothing is made of technical frames"),
        ("TEST", "nothing is made of tests"),
        ("ACQUISITION", "nothing is made of acquisition images"),
    ),
    pairs=MUSE_STATICS.pairs,
)
