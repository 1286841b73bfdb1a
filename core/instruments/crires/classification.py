"""Which raw frame of CRIRES is what.

Tags are the raw types of the observatory's quality control (``FLAT``, ``DARK``). What is not reduced here is named all
the same, so that it is a frame with a reason and no file of unknown type.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from core.instruments.crires.setup import NUMBERS
from core.instruments.declaration import RawRule

__all__ = ["KEPT", "KEYWORD_TYPES", "RAW_RULES", "REQUIRED"]

REQUIRED: Final = ("DATE-OBS", "EXPTIME", "DET.DIT", "DET.NDIT", "DET.NCORRS")
_SETTING = ("INS.WLEN.REF", "INS.GRAT.ORDER", "INS.SLIT1.WID")

# fmt: off
RAW_RULES: Final = (
    #       rule      tag       DPR.CATG   DPR.TYPE   DPR.TECH
    RawRule("dark",   "DARK",   "CALIB",   "DARK",    "IMAGE"),
    RawRule("flat",   "FLAT",   "CALIB",   "", "SPECTRUM", having=("FLAT",), required=_SETTING),
    RawRule("wave",   "WAVE",   "CALIB",   "", "SPECTRUM", having=("WAVE",), required=_SETTING),
    RawRule("object", "OBJECT", "SCIENCE", "OBJECT",  "SPECTRUM", required=(*_SETTING, "RA", "DEC")),
)
# fmt: on

KEYWORD_TYPES: Final[Mapping[str, type | tuple[type, ...]]] = {
    **dict.fromkeys(NUMBERS, (int, float)),
    "EXPTIME": (int, float),
    "DET.NDIT": int,
    "TPL.EXPNO": int,
    "TPL.NEXP": int,
    "OBS.ID": int,
}

KEPT: Final = (
    r"INS\.(MODE|ID$|WLEN|GRAT|SLIT\d|FILT\d\.NAME|OPTI\d\.|LAMP\d*\.|PRIS|PIEZO|TEMP9\.|TEMP30\.)"
    r"|INS1\.(OPTI|LAMP|MIRR)\d"
    r"|DET\.(DIT|MINDIT|NDIT|NCORRS|NDSAMPLES|NC\.|WIN|CHIP|EXP|MODE|RSPEED)"
    r"|SEQ\."
)
