"""The calibration plan of MUSE: the instrument as such, its exposures of the sky, and what becomes of them.

Match keys follow the instrument's own association rules (read-out mode for everything made from CCD frames, filter
flag and field mode for trace and wavelength tables, the mode class for master flat and response) and the fatal
consistency checks of the recipes; validity follows the calibration plan (bias, flat, arc, throughput daily; a standard
star each night; twilight weekly; dark monthly; geometry and astrometry each three months). How many frames a recipe
takes and what it makes stands in its declaration (`core.instruments.plans`).

A science block goes from pixel tables to its cube: each exposure is reduced for itself, with the standard star, the
astrometry and the line-spread functions that fit and, if its observation block has exposures of empty sky, with the
continuum of the closest; the exposures of an observation block are aligned and combined.
"""

from __future__ import annotations

from typing import Final

from core.instruments.muse.setup import SETUP, UNITS
from core.instruments.muse.statics import MUSE_STATICS
from core.instruments.rules import (
    OB_KEY,
    OBSERVATION_KEY,
    UNITS_KEY,
    GroupBy,
    InputRule,
    MasterSource,
    Policy,
    RawSource,
    Rules,
    Setting,
    Task,
)

__all__ = ["RULES"]

DAILY = ((1.5, 0), (7.0, 1), (30.0, 2))
MONTHLY = ((31.0, 0), (62.0, 1), (190.0, 2))
CCD = ("readout", "binning", UNITS_KEY)
OPTICS = (*CCD, "blue", "field")
WEEKLY = ((7.5, 0), (14.0, 1), (62.0, 2))
QUARTERLY = ((95.0, 0), (190.0, 1), (3650.0, 2))
NIGHTLY = ((2.0 / 24, 0), (0.5, 1))  # illumination: one in one to two hours
SAME_NIGHT = ((1.0, 0),)
SOLUTIONS = ((95.0, 0), (190.0, 1), (400.0, 2))  # standard solutions: several months old
LASERS = ("mode", ("WFM-AO-N", "WFM-AO-E", "NFM-AO-N"))

_SMALL = Setting("compact", True, "an exposure is 9.2 GB of pixel tables in the usual form, 2.7 GB in this one")
_NO_IMAGE = Setting("saveimage", False, "nothing is made of the images: 4.9 GB an exposure")
_ZERO_POINTS: Final = Setting(
    "filter", "white,Johnson_V,Cousins_R,Cousins_I", "pictures in the bands of the zero points, if there is a list"
)
_REDUCED: Final = Setting(
    "save", "cube,skymodel,individual", "the combination of an observation block is made of the reduced pixel tables"
)
_FEW_STARS: Final = (
    Setting("srcmin", 2, "two stars are better than five of which three are noise"),
    Setting("rsearch", "5.,2.,0.8", "exposures of an observation block are seconds of arc apart; farther it is chance"),
)
_FLUXES: Final = (InputRule("STD_RESPONSE"), InputRule("STD_TELLURIC"), InputRule("EXTINCT_TABLE"))
_NEEDED_FLUXES: Final = (
    InputRule("STD_RESPONSE", needed=True),
    InputRule("STD_TELLURIC"),
    InputRule("EXTINCT_TABLE", needed=True),
)
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
        RawSource("AMPL"),
        RawSource("LINGAIN_LAMP_ON"),
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
        MasterSource("LINGAIN_LAMP_OFF", "lampoff-1", CCD, ((0.5, 0),)),
        MasterSource("GEOMETRY_TABLE", "geometry-1", ("readout", "binning"), QUARTERLY),
        MasterSource("TWILIGHT_CUBE", "twilight-1", OPTICS, WEEKLY),
        MasterSource("VIGNETTING_MASK", "vignetting-1"),
        MasterSource("BADPIX_TABLE", "badpix-1"),
        MasterSource("LINE_CATALOG", "lines-1"),
        MasterSource("LSF_PROFILE", "lsf-1", OPTICS, QUARTERLY),
        MasterSource("STD_RESPONSE", "response-1", ("mode",), DAILY, of_field=True),
        MasterSource("STD_TELLURIC", "telluric-1", ("mode",), DAILY, of_field=True),
        MasterSource("ASTROMETRY_WCS", "astrometry-1", ("field",), QUARTERLY, of_field=True),
        MasterSource(
            "SKY_CONTINUUM", "sky-1", (OB_KEY, "mode"), SAME_NIGHT, near=0.0, of_field=True, made_by="muse_create_sky"
        ),
        MasterSource("OFFSET_LIST", "offsets-1", (OBSERVATION_KEY, "mode"), SAME_NIGHT, of_field=True),
        MasterSource("EXTINCT_TABLE", "extinction-1"),
        MasterSource("STD_FLUX_TABLE", "standards-1"),
        MasterSource("TELLURIC_REGIONS", "regions-1"),
        MasterSource("ASTROMETRY_REFERENCE", "fields-1"),
        MasterSource("FILTER_LIST", "filters-1"),
        MasterSource("SKY_LINES", "skylines-1"),
        MasterSource("RAMAN_LINES", "raman-1"),
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
        Task(
            "muse_ampl",
            "AMPL",
            (
                InputRule("MASTER_BIAS"),
                InputRule("TRACE_TABLE"),
                InputRule("WAVECAL_TABLE"),
                InputRule("GEOMETRY_TABLE"),
                InputRule("FILTER_LIST"),
                InputRule("MASTER_DARK", asked=True),
                InputRule("BADPIX_TABLE"),
            ),
        ),
        Task(
            "muse_lingain",
            "LINGAIN_LAMP_ON",
            (
                InputRule("LINGAIN_LAMP_OFF", several=True),
                InputRule("MASTER_BIAS"),
                InputRule("TRACE_TABLE"),
                InputRule("BADPIX_TABLE"),
            ),
            asked=True,
        ),
        *map(_exposures, ("STD", "ASTROMETRY", "SKY", "OBJECT")),
        Task(
            "muse_standard",
            "PIXTABLE_STD",
            (
                InputRule("EXTINCT_TABLE"),
                InputRule("STD_FLUX_TABLE"),
                InputRule("TELLURIC_REGIONS"),
                InputRule("FILTER_LIST"),
            ),
            settings=(_ZERO_POINTS,),
            group_by=GroupBy.EXPOSURE,
        ),
        Task(
            "muse_astrometry",
            "PIXTABLE_ASTROMETRY",
            (InputRule("ASTROMETRY_REFERENCE"), *_FLUXES),
            group_by=GroupBy.EXPOSURE,
        ),
        Task(
            "muse_create_sky",
            "PIXTABLE_SKY",
            (*_NEEDED_FLUXES, InputRule("SKY_LINES"), InputRule("LSF_PROFILE")),
            ("SKY_MASK", "SKY_IMAGE", "SKY_SPECTRUM", "SKY_CONTINUUM"),
            group_by=GroupBy.EXPOSURE,
        ),
        Task(
            "muse_scipost",
            "PIXTABLE_OBJECT",
            (
                *_NEEDED_FLUXES,
                InputRule("ASTROMETRY_WCS"),
                InputRule("SKY_LINES", needed=True),
                InputRule("LSF_PROFILE", needed=True),
                InputRule("SKY_CONTINUUM"),
                InputRule("RAMAN_LINES", only=(LASERS,)),
                InputRule("FILTER_LIST"),
            ),
            ("DATACUBE_FINAL", "IMAGE_FOV", "PIXTABLE_REDUCED"),
            settings=(_REDUCED,),
            group_by=GroupBy.EXPOSURE,
        ),
        Task(
            "muse_exp_align",
            "IMAGE_FOV",
            products=("OFFSET_LIST", "PREVIEW_FOV"),
            settings=_FEW_STARS,
            group_by=GroupBy.OBSERVATION,
            together=True,
        ),
        Task(
            "muse_exp_combine",
            "PIXTABLE_REDUCED",
            (InputRule("OFFSET_LIST"), InputRule("FILTER_LIST")),
            ("DATACUBE_FINAL", "IMAGE_FOV"),
            group_by=GroupBy.OBSERVATION,
            together=True,
        ),
    ),
    without_task=(
        ("ILLUM", "used together with frames of the sky"),
        ("MASK_CHECK", "only on request, together with the frames of a mask"),
        ("ARC_LSF", "the long arc sequence for muse_lsf is not part of the cascade yet"),
        ("LINGAIN_LAMP_OFF", "only on request, with the recipe muse_lingain"),
        ("DETCHECK", "detector monitoring is not part of the cascade"),
        ("TECHNICAL", "nothing is made of technical frames"),
        ("TEST", "nothing is made of tests"),
        ("ACQUISITION", "nothing is made of acquisition images"),
    ),
    pairs=MUSE_STATICS.pairs,
    policies=(
        Policy(
            "standard",
            "as science data are processed at the observatory: by standard solutions, possibly several months old",
            starts=("OBJECT", "SKY", "PIXTABLE_OBJECT", "PIXTABLE_SKY"),
            windows=(
                ("MASTER_BIAS", SOLUTIONS),
                ("MASTER_DARK", SOLUTIONS),
                ("MASTER_FLAT", SOLUTIONS),
                ("TRACE_TABLE", SOLUTIONS),
                ("WAVECAL_TABLE", SOLUTIONS),
                ("LSF_PROFILE", QUARTERLY),
                ("GEOMETRY_TABLE", QUARTERLY),
                ("TWILIGHT_CUBE", SOLUTIONS),
                ("STD_RESPONSE", SOLUTIONS),
                ("STD_TELLURIC", SOLUTIONS),
                ("ASTROMETRY_WCS", QUARTERLY),
            ),
        ),
    ),
)
