"""Which raw frame is what: the classification table of MUSE, and the keywords that it looks at.

Sources: MUSE Pipeline User Manual 0.17, table 6.1 and appendix A; the classification rules that the reference pipeline
is shipped with (long arc sequences, throughput and detector monitoring frames, ``SKY`` as a calibration); the
observatory's association rules for lamp flats, whose template tells the illumination flats of 2014 from the flat-field
series. None of them says what a frame for checking the geometry (MASK_CHECK) is: here, a lamp flat through a mask.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from core.instruments.declaration import RawRule
from core.instruments.muse.facts import LAMPS

__all__ = ["KEPT", "KEYWORD_TYPES", "RAW_RULES", "REQUIRED", "lamps_of"]

REQUIRED: Final = ("DATE-OBS", "INS.MODE", "DET.READ.CURID")
_LAMPS = ("INS.SHUT3.ST", "INS.SHUT4.ST", "INS.SHUT5.ST")
_SKY = ("EXPTIME", "RA", "DEC")
_EXPTIME = ("EXPTIME",)
_rule = partial(RawRule, tech="IFU")

# fmt: off
RAW_RULES: Final = (
    #     rule              tag           DPR.CATG     DPR.TYPE
    _rule("flat_template",  "FLAT",       "CALIB",     "", having=("FLAT", "LAMP"), required=_EXPTIME,
          template=r"MUSE_[wn]fm_cal_specflat"),
    _rule("bias",           "BIAS",       "CALIB",     "BIAS"),
    _rule("dark",           "DARK",       "CALIB",     "DARK",            required=_EXPTIME),
    _rule("flat_illum",     "ILLUM",      "CALIB",     "FLAT,LAMP,ILLUM", required=_EXPTIME),
    _rule("illum_template", "ILLUM",      "CALIB",     "FLAT,LAMP",       required=_EXPTIME,
          template=r"MUSE_[wn]fm_cal_illum"),
    _rule("flat_lamp",      "FLAT",       "CALIB",     "FLAT,LAMP",       required=_EXPTIME),
    _rule("mask_check",     "MASK_CHECK", "CALIB",     "FLAT,LAMP,MASK",  required=_EXPTIME),
    _rule("sky_flat",       "SKYFLAT",    "CALIB",     "FLAT,SKY",        required=_EXPTIME),
    _rule("arc",            "ARC",        "CALIB",     "WAVE",            required=(*_EXPTIME, *_LAMPS)),
    _rule("mask",           "MASK",       "CALIB",     "WAVE,MASK",       required=_EXPTIME),
    _rule("arc_lsf",        "ARC_LSF",    "CALIB",     "", having=("WAVE", "LSF"), required=(*_EXPTIME, *_LAMPS)),
    _rule("std",            "STD",        "CALIB",     "STD",             required=_SKY),
    _rule("astrometry",     "ASTROMETRY", "CALIB",     "ASTROMETRY",      required=_SKY),
    _rule("sky",            "SKY",        "SCIENCE",   "SKY",             required=_SKY),
    _rule("sky_calib",      "SKY",        "CALIB",     "SKY",             required=_SKY),
    _rule("object",         "OBJECT",     "SCIENCE",   "OBJECT",          required=_SKY),
    _rule("ampl",           "AMPL",       "TECHNICAL", "", having=("FLAT", "LAMP", "THRUPUT"), required=_EXPTIME),
    _rule("lingain_off", "LINGAIN_LAMP_OFF", "CALIB",  "", having=("BIAS", "DETCHECK")),
    _rule("lingain_on", "LINGAIN_LAMP_ON", "CALIB",    "", having=("LINEARITY", "FLAT", "DETCHAR"), required=_EXPTIME),
    _rule("detector_check", "DETCHECK",   "CALIB",     "", having=("DETCHECK",)),
    _rule("technical",      "TECHNICAL",  "TECHNICAL", None, tech=None, kept_only=True),
    _rule("test",           "TEST",       "TEST",      None, tech=None, kept_only=True),
    _rule("acquisition",  "ACQUISITION",  "ACQUISITION", None, tech=None, kept_only=True),
)
# fmt: on

KEYWORD_TYPES: Final[Mapping[str, type | tuple[type, ...]]] = {
    "INS.MODE": str,
    "INS.OPTI1.NAME": str,
    "INS.OPTI2.NAME": str,
    "DET.READ.CURID": int,
    "DET.READ.CURNAME": str,
    "DET.BINX": int,
    "DET.BINY": int,
    "EXPTIME": (int, float),
    "TPL.EXPNO": int,
    "TPL.NEXP": int,
    "OBS.ID": int,
    **{f"INS.SHUT{lamp}.ST": bool for lamp in LAMPS},
}

KEPT: Final = (
    r"OCS\.IPS\."
    r"|INS\.(MODE|PATH|OPTI\d\.NAME|LAMP\d\.|SHUT\d\.|TEMP\d\.VAL|TEMP1\d\.VAL|DROT\.(POSANG|START|END|MODE)"
    r"|AMPL\d\.|POS\d\.POS|PRES\d\.VAL|ID$)"
    r"|DET\.(READ|BINX|BINY|CHIPS|DIT|NDIT|EXP|NAME|DKTM|UIT)"
    r"|TEL\.(AIRM|ALT|AZ|AMBI|MOON|PARANG|IA|TARG|GEO|TRAK|TH)"
    r"|ADA\.(ABSROT|POSANG|GUID)"
)


def lamps_of(keywords: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the lamps whose light enters: shutter open, and lamp on where the header tells.

    The shutter decides (all lamps may be warming up); names as in `core.instruments.muse.facts.LAMPS`, each once.
    """
    lit = [
        name
        for number, name in LAMPS.items()
        if keywords.get(f"INS.SHUT{number}.ST") is True and keywords.get(f"INS.LAMP{number}.ST") is not False
    ]
    return tuple(dict.fromkeys(lit))
