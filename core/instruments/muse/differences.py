"""Where the tables of MUSE say more, or otherwise, than the rule file of the reference pipeline (``muse.oca``)."""

from __future__ import annotations

from typing import Final

from core.instruments.declaration import RuleDifference

__all__ = ["RULE_DIFFERENCES"]

_NOTHING: Final = "no rule fits: the frame has no category"
_OLD: Final = "frames of 2014 and of the laboratory, which the manual classifies by DPR.TYPE alone"

RULE_DIFFERENCES: Final = (
    RuleDifference("DPR.TECH is missing", "counts as IFU", _NOTHING, "all raw data of MUSE are IFU"),
    RuleDifference(
        "FLAT,LAMP of another template than MUSE_[wn]fm_cal_specflat",
        "ILLUM if the template is MUSE_[wn]fm_cal_illum, else FLAT",
        _NOTHING,
        _OLD,
    ),
    RuleDifference("FLAT,LAMP,ILLUM of another template than MUSE_[wn]fm_cal_illum, or none", "ILLUM", _NOTHING, _OLD),
    RuleDifference("illumination flats", "have the tag ILLUM", "ILLUMFLAT", "the manual and the recipes say ILLUM"),
    RuleDifference(
        "BIAS,DETCHECK and LINEARITY,FLAT,DETCHAR",
        "have the tags LINGAIN_LAMP_OFF and LINGAIN_LAMP_ON",
        "DETMON_LAMP_OFF and DETMON_LAMP_ON, as until 2.8.3",
        "muse_lingain, here and in the reference, takes no others",
    ),
    RuleDifference(
        "FLAT,LAMP,MASK of another template than MUSE_[wn]fm_cal_specflat",
        "MASK_CHECK: muse_geometry makes a picture of the field of it, on request",
        _NOTHING,
        "the recipe takes such frames, and nothing else says which they are",
    ),
    RuleDifference(
        "DETCHECK without BIAS",
        "DETCHECK: nothing is made of it",
        _NOTHING,
        "a frame of every night is no broken file",
    ),
    RuleDifference(
        "TECHNICAL other than FLAT,LAMP,THRUPUT of technique IFU",
        "TECHNICAL: nothing is made of it",
        _NOTHING,
        "a frame of every night is no broken file",
    ),
    RuleDifference(
        "match of calibrations",
        "beside the keys of the reference also binning and the units that are live",
        "read-out mode; for tables also filter and field",
        "recipes stop at frames of another binning; a calibration without any of the units is of no use",
    ),
    RuleDifference(
        "LSF_PROFILE",
        "matched by read-out mode, filter and field",
        "by INS.MODE",
        "the spectrographs are the same with adaptive optics, and profiles are delivered of modes without it only",
    ),
    RuleDifference(
        "BADPIX_TABLE",
        "taken where there is one",
        "on request",
        "the manual recommends it",
    ),
    RuleDifference(
        "MASTER_DARK and MASTER_FLAT for muse_lsf, NONLINEARITY_GAIN",
        "the recipes take them, the cascade does not",
        "on request",
        "the calibration plan does not use them",
    ),
)
