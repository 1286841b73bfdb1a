"""MUSE, declared."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from core.instruments.declaration import Instrument
from core.instruments.muse.classification import KEPT, KEYWORD_TYPES, RAW_RULES, REQUIRED, lamps_of
from core.instruments.muse.differences import RULE_DIFFERENCES
from core.instruments.muse.plan import RULES
from core.instruments.muse.qc import QC1
from core.instruments.muse.setup import SETUP, UNITS
from core.instruments.muse.statics import MUSE_STATICS

__all__ = ["INSTRUMENT"]

INSTRUMENT: Final = Instrument(
    name="MUSE",
    first_light=datetime(2010, 1, 1, tzinfo=UTC),
    units=UNITS,
    setup=SETUP,
    raw_rules=RAW_RULES,
    required=REQUIRED,
    keyword_types=KEYWORD_TYPES,
    kept=KEPT,
    structure="core.instruments.muse.structure:live_ifus",
    plan=RULES,
    statics=MUSE_STATICS,
    qc1=QC1,
    recipes={
        "muse_bias": "core.recipes.muse.muse_bias:MuseBias",
        "muse_dark": "core.recipes.muse.muse_dark:MuseDark",
        "muse_flat": "core.recipes.muse.muse_flat:MuseFlat",
        "muse_wavecal": "core.recipes.muse.muse_wavecal:MuseWavecal",
        "muse_lsf": "core.recipes.muse.muse_lsf:MuseLsf",
        "muse_geometry": "core.recipes.muse.muse_geometry:MuseGeometry",
        "muse_twilight": "core.recipes.muse.muse_twilight:MuseTwilight",
        "muse_illum": "core.recipes.muse.muse_illum:MuseIllum",
        "muse_scibasic": "core.recipes.muse.muse_scibasic:MuseScibasic",
        "muse_standard": "core.recipes.muse.muse_standard:MuseStandard",
        "muse_ampl": "core.recipes.muse.muse_ampl:MuseAmpl",
        "muse_lingain": "core.recipes.muse.muse_lingain:MuseLingain",
        "muse_qi_mask": "core.recipes.muse.muse_qi_mask:MuseQiMask",
        "muse_create_sky": "core.recipes.muse.muse_create_sky:MuseCreateSky",
        "muse_astrometry": "core.recipes.muse.muse_astrometry:MuseAstrometry",
        "muse_scipost": "core.recipes.muse.muse_scipost:MuseScipost",
        "muse_exp_align": "core.recipes.muse.muse_exp_align:MuseExpAlign",
        "muse_exp_combine": "core.recipes.muse.muse_exp_combine:MuseExpCombine",
        "muse_scipost_correct_dar": "core.recipes.muse.scipost_steps:MuseScipostCorrectDar",
        "muse_scipost_calibrate_flux": "core.recipes.muse.scipost_steps:MuseScipostCalibrateFlux",
        "muse_scipost_subtract_sky": "core.recipes.muse.scipost_sky:MuseScipostSubtractSky",
        "muse_scipost_subtract_sky_simple": "core.recipes.muse.scipost_sky:MuseScipostSubtractSkySimple",
        "muse_scipost_correct_rv": "core.recipes.muse.scipost_steps:MuseScipostCorrectRv",
        "muse_scipost_apply_astrometry": "core.recipes.muse.scipost_steps:MuseScipostApplyAstrometry",
        "muse_scipost_raman": "core.recipes.muse.muse_scipost_raman:MuseScipostRaman",
        "muse_scipost_combine_pixtables": "core.recipes.muse.scipost_cubes:MuseScipostCombinePixtables",
        "muse_scipost_make_cube": "core.recipes.muse.scipost_cubes:MuseScipostMakeCube",
    },
    procedures={
        "muse_bias": "core.procedures.muse_bias:PROCEDURE",
        "muse_dark": "core.procedures.muse_dark:PROCEDURE",
        "muse_flat": "core.procedures.muse_lampflat:PROCEDURE",
        "muse_wavecal": "core.procedures.muse_arc:PROCEDURE",
        "muse_geometry": "core.procedures.muse_geometry:PROCEDURE",
        "muse_twilight": "core.procedures.muse_skyflat:PROCEDURE",
        "muse_scibasic": "core.procedures.muse_scibasic:PROCEDURE",
        "muse_standard": "core.procedures.muse_std:PROCEDURE",
        "muse_ampl": "core.procedures.muse_throughput:PROCEDURE",
        "muse_lingain": "core.procedures.muse_lingain:PROCEDURE",
        "muse_create_sky": "core.procedures.muse_sky:PROCEDURE",
        "muse_astrometry": "core.procedures.muse_astrometry:PROCEDURE",
        "muse_scipost": "core.procedures.muse_scipost:PROCEDURE",
        "muse_exp_align": "core.procedures.muse_exp_align:PROCEDURE",
        "muse_exp_combine": "core.procedures.muse_exp_combine:PROCEDURE",
    },
    lamps_of=lamps_of,
    ambient="INS.TEMP4.VAL",
    chips="DET.CHIPS",
    rule_differences=RULE_DIFFERENCES,
)
