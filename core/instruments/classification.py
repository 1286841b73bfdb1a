"""What is this file? Keywords become the instrument and the tag of a raw frame, or of a product.

The tables are those of the instruments; here is how they are read. The first row that fits gives the tag; what no row
fits is refused with a reason, never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.errors import ClassificationError, MissingKeywordError
from core.instruments.declaration import Instrument, RawRule
from core.instruments.registry import find_instrument, instruments

__all__ = ["Classification", "classify", "product_tag"]

_INT_LIMIT = 1 << 31  # what the header dictionary calls an integer


@dataclass(frozen=True)
class Classification:
    """The tag of a raw frame, and which rule of which table gave it.

    Attributes
    ----------
    unusable : tuple of str
        Keywords that the frame has with a value of another type or size, and that this tag does not need.
    kept_only : bool
        See `core.instruments.declaration.RawRule`.
    """

    instrument: str
    tag: str
    rule: str
    rules_version: str
    catg: str
    type: str
    tech: str
    unusable: tuple[str, ...] = ()
    kept_only: bool = False


def classify(keywords: Mapping[str, Any]) -> Classification:
    """Tag of a raw frame.

    Parameters
    ----------
    keywords : mapping
        Primary keywords in dot notation (``DPR.TYPE``), as `core.fitsfile.cards.parse_cards` gives them.

    Raises
    ------
    ClassificationError
        If there are no DPR keywords (``reason=no_dpr``), or no instrument or no rule fits (``reason=unknown_type``).
    MissingKeywordError
        If a keyword that the tag needs is missing or has no usable value.
    """
    name = str(keywords.get("INSTRUME") or "").strip()
    instrument = find_instrument(name) if name else None
    if name and instrument is None:
        known = ", ".join(found.name for found in instruments())
        raise ClassificationError(
            f"the frame is of instrument {name}; known are {known}", keyword="INSTRUME", reason="unknown_type"
        )
    catg, kind, tech = (_dpr(keywords, f"DPR.{part}") for part in ("CATG", "TYPE", "TECH"))
    _check_type(keywords, catg, kind)
    if instrument is None:
        raise MissingKeywordError("keyword INSTRUME is missing", keyword="INSTRUME")
    rule = _rule(instrument, catg, kind, tech, str(keywords.get("TPL.ID") or "").strip())
    return Classification(
        instrument.name,
        rule.tag,
        rule.name,
        instrument.raw_rules_version,
        catg,
        kind,
        tech or rule.tech or "",
        unusable=_unusable_keywords(instrument, rule, keywords),
        kept_only=rule.kept_only,
    )


def product_tag(keywords: Mapping[str, Any]) -> str | None:
    """Tag of a product or static calibration (its ``PRO.CATG``); None if the file is neither."""
    value = keywords.get("PRO.CATG")
    return value.strip().upper() if isinstance(value, str) and value.strip() else None


def _check_type(keywords: Mapping[str, Any], catg: str, kind: str) -> None:
    if catg and kind:
        return
    made = product_tag(keywords)
    if made is not None and not catg and not kind:
        raise ClassificationError(
            f"the file is a product ({made}), not a raw frame", keyword="PRO.CATG", reason="unknown_type"
        )
    lacking = "DPR.CATG" if kind else "DPR.TYPE"
    what = f"{lacking} is missing" if catg or kind else "there are no DPR keywords"
    raise ClassificationError(f"{what}: the type of the frame is unknown", keyword=lacking, reason="no_dpr")


def _rule(instrument: Instrument, catg: str, kind: str, tech: str, template: str) -> RawRule:
    """The first rule of the table that fits."""
    for rule in instrument.raw_rules:
        if _fits(rule, catg, kind, tech, template):
            return rule
    raise ClassificationError(
        f"no rule fits DPR.CATG={catg}, DPR.TYPE={kind}, DPR.TECH={tech or 'missing'}",
        keyword="DPR.TYPE",
        reason="unknown_type",
    )


def _fits(rule: RawRule, catg: str, kind: str, tech: str, template: str) -> bool:
    same_type = set(rule.having) <= set(kind.split(",")) if rule.having else rule.type in (None, kind)
    return (
        same_type
        and rule.catg == catg
        and (rule.tech is None or not tech or rule.tech in tech.split(","))
        and (rule.template is None or re.fullmatch(rule.template, template, re.IGNORECASE) is not None)
    )


def _unusable_keywords(instrument: Instrument, rule: RawRule, keywords: Mapping[str, Any]) -> tuple[str, ...]:
    """Keywords that cannot be used; an error if the frame needs one of them, or lacks one that it needs."""
    required = ("DATE-OBS",) if rule.kept_only else (*instrument.required, *rule.required)
    for key in required:
        if keywords.get(key) is None or keywords[key] == "":
            raise MissingKeywordError(f"keyword {key} is missing; a {rule.tag} frame needs it", keyword=key)
    needed = set(required) if rule.kept_only else {*required, *instrument.setup.keywords}
    unusable = [key for key, types in instrument.keyword_types.items() if not _is_usable(keywords.get(key), types)]
    for key in unusable:
        if key in needed:
            raise MissingKeywordError(f"keyword {key} has the unusable value {keywords[key]!r}", keyword=key)
    return tuple(unusable)


def _is_usable(value: Any, types: type | tuple[type, ...]) -> bool:
    if value is None:
        return True
    if not isinstance(value, types) or isinstance(value, bool) is not (types is bool):
        return False
    return not isinstance(value, int) or -_INT_LIMIT <= value < _INT_LIMIT


def _dpr(keywords: Mapping[str, Any], key: str) -> str:
    value = keywords.get(key)
    return re.sub(r"\s*,\s*", ",", str(value).strip()).upper() if value is not None else ""
