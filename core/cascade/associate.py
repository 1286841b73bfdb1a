"""One role of one block: from all candidates to the chosen calibration, with a reason for each.

A candidate is first tested: may it be used at all, does its setup match, is it near enough in time? Those that pass
are ranked: best level first, then closest in time; among those whose distances differ by less than ``source.near``
days the better quality wins, so that a certified master is not lost to a provisional one of the same morning. What is
still equal is decided by an existing product over a planned one, the earlier one, and the name.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from core.cascade.model import InputChoice, Missing, Origin, ProductInfo, Quality, Refusal
from core.cascade.rules import UNITS_KEY, InputRule, MasterSource, Rules
from core.cascade.words import age_words, duration_words, iso_day, iso_minutes
from core.instruments.setup import Setup, UnitSpec

__all__ = ["Candidate", "CandidateIndex", "RoleResult", "Target", "associate"]

KEEP_REFUSALS = 20  # refused candidates named one by one; farther ones are counted
OUTSIDE = 5  # candidates beyond the widest window, on each side, that are still named


@dataclass(frozen=True)
class Candidate:
    """A calibration, and why it cannot be used at all, if so."""

    product: ProductInfo
    unusable: tuple[str, str] | None = None  # code, reason


@dataclass(frozen=True)
class Target:
    """What a calibration is wanted for."""

    setup: Setup
    mjd: float
    units: tuple[int, ...]
    older_only: bool = False


@dataclass(frozen=True)
class RoleResult:
    """Outcome for one role."""

    choices: tuple[InputChoice, ...]
    refusals: tuple[Refusal, ...]
    omitted: int
    missing: tuple[Missing, ...]


class CandidateIndex:
    """Candidates of one tag, sorted by time, so that a block looks only at those around it."""

    def __init__(self, candidates: Sequence[Candidate]) -> None:
        self._sorted = sorted(candidates, key=lambda c: (c.product.mjd, c.product.id))
        self._times = [candidate.product.mjd for candidate in self._sorted]

    def all(self) -> Sequence[Candidate]:
        """Every candidate, by time."""
        return self._sorted

    def around(self, mjd: float, days: float) -> Sequence[Candidate]:
        """Those within ``days``, and the few next to them on both sides."""
        first = bisect_left(self._times, mjd - days) - OUTSIDE
        last = bisect_right(self._times, mjd + days) + OUTSIDE
        return self._sorted[max(first, 0) : last]


def associate(role: InputRule, rules: Rules, target: Target, index: CandidateIndex) -> RoleResult:
    """Choose the calibrations of one role.

    Parameters
    ----------
    role : InputRule
        How many are needed and taken.
    rules : Rules
        The calibration plan: match keys and windows, and what distance in time does not outweigh quality.
    target : Target
        The block.
    index : CandidateIndex
        Candidates of ``role.tag``.
    """
    source = rules.master(role.tag)
    candidates = index.all() if source.static else index.around(target.mjd, source.widest)
    passed: list[_Ranked] = []
    refusals: list[Refusal] = []
    for candidate in candidates:
        product = candidate.product
        fault = candidate.unusable or _unfit(product, source, target, rules)
        days = None if source.static else product.mjd - target.mjd
        if fault is None:
            passed.append(_Ranked(product, _level(days, source), days or 0.0))
        else:
            refusals.append(Refusal(role.tag, product.id, fault[0], fault[1], days))

    ranked = _rank_static(passed) if source.static else _rank(passed, source.near)
    chosen, others = ranked[: role.maximum], ranked[role.maximum :]
    choices = tuple(_choice(entry, role.tag, source, rules.units, others) for entry in chosen)
    refusals += [_not_best(entry, chosen[0], role.tag, source) for entry in others]
    refusals.sort(key=lambda r: (abs(r.days) if r.days is not None else 0.0, r.candidate, r.code))

    missing: tuple[Missing, ...] = ()
    if len(choices) < role.minimum:
        missing = (_missing(role, source, len(choices), candidates, refusals),)
    omitted = len(index.all()) - len(candidates) + max(len(refusals) - KEEP_REFUSALS, 0)
    return RoleResult(choices, tuple(refusals[:KEEP_REFUSALS]), omitted, missing)


@dataclass(frozen=True)
class _Ranked:
    product: ProductInfo
    level: int
    days: float

    @property
    def preference(self) -> tuple[float, bool, bool, str]:
        planned = self.product.origin is Origin.PLANNED
        return abs(self.days), planned, self.days > 0, self.product.id


def _rank(passed: list[_Ranked], near: float) -> list[_Ranked]:
    ranked: list[_Ranked] = []
    for level in sorted({entry.level for entry in passed}):
        same = sorted((e for e in passed if e.level == level), key=lambda e: e.preference)
        limit = abs(same[0].days) + near
        close = [e for e in same if abs(e.days) <= limit]
        close.sort(key=lambda e: (-e.product.quality, *e.preference))
        ranked += close + [e for e in same if abs(e.days) > limit]
    return ranked


def _rank_static(passed: list[_Ranked]) -> list[_Ranked]:
    """Newest first; of the same version the better one, then the first by name."""
    named = sorted(passed, key=lambda e: (-e.product.quality, e.product.id))
    return sorted(named, key=lambda e: (e.product.valid_from, e.product.version), reverse=True)


def _level(days: float | None, source: MasterSource) -> int:
    if days is None:
        return 0
    return next(level for window, level in source.windows if abs(days) <= window)


# -- tests ------------------------------------------------------------------------------------------------


def _unfit(product: ProductInfo, source: MasterSource, target: Target, rules: Rules) -> tuple[str, str] | None:
    """Why a product does not fit a block: (code, reason), or None if it does."""
    if product.quality is Quality.REJECTED:
        return "rejected", "rejected: it must not be used"
    for key in source.match:
        difference = _difference(key, product, target, rules)
        if difference:
            return key, difference
    if source.static:
        return _outside_validity(product, target)
    days = product.mjd - target.mjd
    if abs(days) > source.widest:
        return "window", f"{duration_words(days)} exceeds the widest window of {duration_words(source.widest)}"
    if target.older_only and days > 0:
        return "younger", f"{duration_words(days)} younger than the data, and only older calibrations are allowed"
    return None


def _outside_validity(product: ProductInfo, target: Target) -> tuple[str, str] | None:
    if target.mjd < product.valid_from:
        return "validity", f"valid from {iso_day(product.valid_from)}, after the data"
    if target.mjd >= product.valid_to:
        return "validity", f"valid until {iso_day(product.valid_to)}, before the data"
    return None


def _difference(key: str, product: ProductInfo, target: Target, rules: Rules) -> str:
    """In what a product differs from what is wanted by one match key; empty if in nothing, or if it does not tell."""
    if key == UNITS_KEY:
        return _lacking_units(product, target, rules.units)
    if product.setup is None:
        return ""
    return rules.setup.key(key).difference(product.setup.get(key), target.setup.get(key))


def _lacking_units(product: ProductInfo, target: Target, words: UnitSpec) -> str:
    lacking = set(target.units) - set(product.units)
    if product.units and lacking:
        return f"lacks {words.named(lacking)}"
    # Some of its units may have failed: the block leaves them out. It is of no use only if it has none at all.
    if target.units and not set(target.units) - set(product.lost):
        return f"{words.named(target.units)} could not be made"
    return ""


# -- words ------------------------------------------------------------------------------------------------


def _choice(entry: _Ranked, role: str, source: MasterSource, words: UnitSpec, others: Sequence[_Ranked]) -> InputChoice:
    product = entry.product
    if source.static:
        older = next((other.product for other in others if _newer(product, other.product)), None)
        newer = f", newer than {_file_name(older)}" if older is not None else ""
        reason = f"{role} {_file_name(product)}, {_validity_words(product)}{newer}, rule {source.rule}"
    else:
        state = "planned" if product.origin is Origin.PLANNED else product.quality.word
        reason = (
            f"{role} of {iso_minutes(product.mjd)}, {age_words(entry.days)}, level {entry.level}, "
            f"rule {source.rule}, {state}"
        )
        if product.lost:
            reason += f", without {words.named(product.lost)}, which could not be made"
    return InputChoice(role, product, entry.level, entry.days, source.rule, reason)


def _not_best(entry: _Ranked, best: _Ranked, role: str, source: MasterSource) -> Refusal:
    product = entry.product
    if source.static:
        return _not_newest(product, best.product, role)
    if entry.level > best.level:
        code, reason = "level", f"level {entry.level}, the chosen has level {best.level}"
    elif product.quality < best.product.quality and abs(entry.days) <= abs(best.days) + source.near:
        code = "quality"
        reason = f"{product.quality.word}, while the chosen is {best.product.quality.word} and as near in time"
    elif abs(entry.days) > abs(best.days):
        code = "farther"
        reason = f"farther in time than the chosen: {age_words(entry.days)} against {age_words(best.days)}"
    else:
        code = "tie"
        reason = "as near in time as the chosen, which exists already, is earlier or comes first by name"
    return Refusal(role, product.id, code, reason, entry.days)


def _not_newest(product: ProductInfo, best: ProductInfo, role: str) -> Refusal:
    if _newer(best, product):
        reason = f"{_validity_words(product)}; {_file_name(best)} is newer, {_validity_words(best)}"
        return Refusal(role, product.id, "older_static", reason)
    if best.quality > product.quality:
        reason = f"{product.quality.word}, while {_file_name(best)} is {best.quality.word} and as new"
        return Refusal(role, product.id, "quality", reason)
    reason = f"{_validity_words(product)}, as {_file_name(best)}, which comes first by name"
    return Refusal(role, product.id, "tie", reason)


def _newer(product: ProductInfo, other: ProductInfo) -> bool:
    return (product.valid_from, product.version) > (other.valid_from, other.version)


def _validity_words(product: ProductInfo) -> str:
    words = [
        word
        for word in (
            "" if product.valid_from == float("-inf") else f"from {iso_day(product.valid_from)}",
            "" if product.valid_to == float("inf") else f"until {iso_day(product.valid_to)}",
        )
        if word
    ]
    return f"valid {' '.join(words) or 'always'}"


def _file_name(product: ProductInfo) -> str:
    return product.id.rpartition("/")[2]


def _missing(
    role: InputRule, source: MasterSource, found: int, candidates: Sequence[Candidate], refusals: list[Refusal]
) -> Missing:
    if not candidates:
        where = "is known" if source.static else f"within {duration_words(source.widest)} is known or planned"
        return Missing(role.tag, "none", f"no {role.tag} {where}")
    nearest = refusals[0]
    count = f"{found} of {role.minimum} {role.tag}: " if role.minimum > 1 else f"no usable {role.tag}: "
    return Missing(role.tag, nearest.code, f"{count}nearest candidate {nearest.candidate}: {nearest.reason}")
