"""What a file is: classification of raw frames by their DPR keywords and of products by PRO.CATG.

The rules are a table with a version hash that is stored with each decision. Values are compared in upper case
and without the spaces around commas, so that ``FLAT , LAMP`` of old headers is ``FLAT,LAMP``.

Sources: MUSE Pipeline User Manual 0.17, table 6.1 (``core.classify.RAW_RULES``), and the observatory's association
rules for lamp flats, whose template tells the illumination flats of 2014 from the flat-field series.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from core.errors import ClassificationError, MissingKeywordError, NonRetriableError
from core.instruments.muse.facts import LAMPS

__all__ = [
    "RAW_RULES",
    "RULES_VERSION",
    "BadDateError",
    "Classification",
    "Exposure",
    "RawRule",
    "classify",
    "exposure_of",
    "lamps_of",
    "night_of",
    "parse_date",
    "product_tag",
]

# A night goes from noon to noon of Paranal's standard time (UT-4), and is named by the date of its evening.
NOON_UT: Final = timedelta(hours=16)
_FIRST_LIGHT: Final = datetime(2010, 1, 1, tzinfo=UTC)  # no MUSE frame is older
_MJD_ZERO: Final = datetime(1858, 11, 17, tzinfo=UTC)
_MJD_TOLERANCE: Final = 120.0 / 86400.0  # early headers have MJD-OBS in single precision: off by up to a minute [d]


class BadDateError(NonRetriableError):
    """A header says no usable time of observation."""

    error_type = "bad_date"
    http_status = 422


@dataclass(frozen=True)
class RawRule:
    """One row of the classification table: the first row that fits gives the tag.

    Attributes
    ----------
    template : str or None
        Regular expression for the whole ``TPL.ID`` (case ignored); None accepts any and none.
    required : tuple of str
        Keywords without which a frame of this tag cannot be reduced or associated.
    """

    name: str
    tag: str
    catg: str
    type: str
    tech: str = "IFU"
    template: str | None = None
    required: tuple[str, ...] = ()


_ALL = ("DATE-OBS", "INS.MODE", "DET.READ.CURID")
_LAMPS = ("INS.SHUT3.ST", "INS.SHUT4.ST", "INS.SHUT5.ST")
_SKY = ("EXPTIME", "RA", "DEC")

# fmt: off
RAW_RULES: Final = (
    #       rule              tag           DPR.CATG   DPR.TYPE
    RawRule("bias",           "BIAS",       "CALIB",   "BIAS"),
    RawRule("dark",           "DARK",       "CALIB",   "DARK",            required=("EXPTIME",)),
    RawRule("flat_illum",     "ILLUM",      "CALIB",   "FLAT,LAMP,ILLUM", required=("EXPTIME",)),
    RawRule("illum_template", "ILLUM",      "CALIB",   "FLAT,LAMP",       required=("EXPTIME",),
            template=r"MUSE_[wn]fm_cal_illum"),
    RawRule("flat_template",  "FLAT",       "CALIB",   "FLAT,LAMP",       required=("EXPTIME",),
            template=r"MUSE_[wn]fm_cal_specflat"),
    RawRule("flat_lamp",      "FLAT",       "CALIB",   "FLAT,LAMP",       required=("EXPTIME",)),
    RawRule("sky_flat",       "SKYFLAT",    "CALIB",   "FLAT,SKY",        required=("EXPTIME",)),
    RawRule("arc",            "ARC",        "CALIB",   "WAVE",            required=("EXPTIME", *_LAMPS)),
    RawRule("mask",           "MASK",       "CALIB",   "WAVE,MASK",       required=("EXPTIME",)),
    RawRule("std",            "STD",        "CALIB",   "STD",             required=_SKY),
    RawRule("astrometry",     "ASTROMETRY", "CALIB",   "ASTROMETRY",      required=_SKY),
    RawRule("sky",            "SKY",        "SCIENCE", "SKY",             required=_SKY),
    RawRule("object",         "OBJECT",     "SCIENCE", "OBJECT",          required=_SKY),
)
# fmt: on
RULES_VERSION: Final = hashlib.sha256(repr((RAW_RULES, _ALL)).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Classification:
    """The tag of a raw frame, and which rule of which table gave it."""

    tag: str
    rule: str
    rules_version: str
    catg: str
    type: str
    tech: str


@dataclass(frozen=True)
class Exposure:
    """When a frame was taken.

    Attributes
    ----------
    date_obs : datetime.datetime
        Start of the exposure (UT).
    mjd_obs, mjd_mid : float
        Start and middle [d].
    exptime : float
        [s]; 0 for a bias without ``EXPTIME``.
    night : datetime.date
        See `night_of`.
    """

    date_obs: datetime
    mjd_obs: float
    mjd_mid: float
    exptime: float
    night: date


def classify(keywords: Mapping[str, Any]) -> Classification:
    """Tag of a raw frame.

    Parameters
    ----------
    keywords : mapping
        Primary keywords in dot notation (``DPR.TYPE``), as `core.fitsfile.cards.parse_cards` gives them.

    Raises
    ------
    ClassificationError
        If there are no DPR keywords (``reason=no_dpr``), or no rule fits (``reason=unknown_type``).
    MissingKeywordError
        If a keyword that the tag needs is missing or has no usable value.
    """
    instrument = str(keywords.get("INSTRUME") or "").strip()
    if instrument and instrument.upper() != "MUSE":
        raise ClassificationError(
            f"the frame is of instrument {instrument}, not MUSE", keyword="INSTRUME", reason="unknown_type"
        )
    catg, kind, tech = (_dpr(keywords, f"DPR.{part}") for part in ("CATG", "TYPE", "TECH"))
    if not catg and not kind:
        made = product_tag(keywords)
        if made is not None:
            raise ClassificationError(
                f"the file is a product ({made}), not a raw frame", keyword="PRO.CATG", reason="unknown_type"
            )
        raise ClassificationError(
            "there are no DPR keywords: the type of the frame is unknown", keyword="DPR.TYPE", reason="no_dpr"
        )
    if not catg or not kind:
        raise ClassificationError(
            f"DPR.{'TYPE' if catg else 'CATG'} is missing: the type of the frame is unknown",
            keyword=f"DPR.{'TYPE' if catg else 'CATG'}",
            reason="no_dpr",
        )
    template = str(keywords.get("TPL.ID") or "").strip()
    for rule in RAW_RULES:
        if (rule.catg, rule.type, rule.tech) == (catg, kind, tech or "IFU") and (
            rule.template is None or re.fullmatch(rule.template, template, re.IGNORECASE)
        ):
            break
    else:
        raise ClassificationError(
            f"no rule fits DPR.CATG={catg}, DPR.TYPE={kind}, DPR.TECH={tech or 'missing'}",
            keyword="DPR.TYPE",
            reason="unknown_type",
        )
    if not instrument:
        raise MissingKeywordError("keyword INSTRUME is missing", keyword="INSTRUME")
    for key in (*_ALL, *rule.required):
        if keywords.get(key) is None or keywords[key] == "":
            raise MissingKeywordError(f"keyword {key} is missing; a {rule.tag} frame needs it", keyword=key)
    for key, types in _TYPES.items():
        value = keywords.get(key)
        usable = isinstance(value, types) and isinstance(value, bool) is (types is bool)
        if usable and isinstance(value, int):
            usable = -_INT_LIMIT <= value < _INT_LIMIT
        if value is not None and not usable:
            raise MissingKeywordError(f"keyword {key} has the unusable value {value!r}", keyword=key)
    return Classification(rule.tag, rule.name, RULES_VERSION, catg, kind, tech or "IFU")


_INT_LIMIT: Final = 1 << 31  # what the header dictionary calls an integer
_TYPES: Final[dict[str, Any]] = {
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


def exposure_of(keywords: Mapping[str, Any]) -> Exposure:
    """Time of a frame.

    ``MJD-OBS`` counts where it is given (it is what calibrations are matched by), else ``DATE-OBS``.

    Raises
    ------
    BadDateError
        If ``DATE-OBS`` is no date, is before MUSE existed, or disagrees with ``MJD-OBS`` by more than two
        minutes; or ``EXPTIME`` is negative.
    """
    text = keywords.get("DATE-OBS")
    moment = parse_date(text) if isinstance(text, str) else None
    if moment is None:
        raise BadDateError(f"DATE-OBS is {text!r}, not a date", keyword="DATE-OBS")
    if moment < _FIRST_LIGHT:
        raise BadDateError(f"DATE-OBS is {text}: MUSE did not exist then", keyword="DATE-OBS")
    from_date = (moment - _MJD_ZERO) / timedelta(days=1)
    mjd = keywords.get("MJD-OBS", from_date)
    if isinstance(mjd, bool) or not isinstance(mjd, int | float) or not math.isfinite(mjd):
        raise BadDateError(f"MJD-OBS is {mjd!r}, not a number", keyword="MJD-OBS")
    if abs(mjd - from_date) > _MJD_TOLERANCE:
        raise BadDateError(
            f"MJD-OBS is {mjd}, but DATE-OBS {text} is MJD {from_date:.5f}: they disagree", keyword="MJD-OBS"
        )
    exptime = keywords.get("EXPTIME", 0.0)
    if exptime is None:
        exptime = 0.0
    if isinstance(exptime, bool) or not isinstance(exptime, int | float) or not 0 <= exptime < 86400:
        raise BadDateError(f"EXPTIME is {exptime!r}, not a time in seconds", keyword="EXPTIME")
    return Exposure(moment, float(mjd), float(mjd) + exptime / 2.0 / 86400.0, float(exptime), night_of(moment))


def parse_date(text: str) -> datetime | None:
    """A FITS date as an aware moment in UT; None if it is none."""
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def night_of(moment: datetime) -> date:
    """The night that a moment (UT) belongs to.

    A night goes from noon to noon of Paranal's standard time (16 UT) and has the date of its evening: the
    calibrations of the morning of 2 November, 10 UT, belong to the night 2026-11-01.
    """
    return (moment.astimezone(UTC) - NOON_UT).date()


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


def product_tag(keywords: Mapping[str, Any]) -> str | None:
    """Tag of a product or static calibration (its ``PRO.CATG``); None if the file is neither."""
    value = keywords.get("PRO.CATG")
    return value.strip().upper() if isinstance(value, str) and value.strip() else None


def _dpr(keywords: Mapping[str, Any], key: str) -> str:
    value = keywords.get(key)
    return re.sub(r"\s*,\s*", ",", str(value).strip()).upper() if value is not None else ""
