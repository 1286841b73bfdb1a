"""One role of one block: from all candidates to the chosen input, with a reason for each.

A candidate is first tested (`core.cascade.fit`): may it be used at all, does its set-up match, is it near enough in
time and temperature? Those that pass are ranked: best level first, inside a level the doubtful ones last, then closest;
among those whose distances in time differ by less than ``source.near`` days the better quality wins, so that a
certified master is not lost to a provisional one of the same morning. What is still equal is decided by an existing
product over a planned one, the earlier one, and the name. A static calibration of a tag that is made night by night is
the last resort.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from core.cascade.fit import Ranked, Target, by_validity, judge
from core.cascade.model import InputChoice, Missing, Origin, ProductInfo, Quality, Refusal
from core.cascade.reasons import choice_reason, lack, not_best, not_paired
from core.instruments.rules import InputRule, MasterSource, Rules

__all__ = ["Candidate", "CandidateIndex", "RoleResult", "associate", "fitting_pairs"]

KEEP_REFUSALS = 20  # refused candidates named one by one; farther ones are counted
OUTSIDE = 5  # candidates beyond the widest window, on each side, that are still named


@dataclass(frozen=True)
class Candidate:
    """A calibration, and why it cannot be used at all, if so."""

    product: ProductInfo
    unusable: tuple[str, str] | None = None  # code, reason


@dataclass(frozen=True)
class RoleResult:
    """Outcome for one role."""

    choices: tuple[InputChoice, ...]
    refusals: tuple[Refusal, ...]
    omitted: int
    missing: tuple[Missing, ...]


class CandidateIndex:
    """Candidates of one tag, sorted by time, so that a block looks only at those around it.

    Static calibrations, whose time says nothing, are always among them.
    """

    def __init__(self, candidates: Sequence[Candidate]) -> None:
        ordered = sorted(candidates, key=lambda c: (c.product.mjd, c.product.id))
        self._static = [candidate for candidate in ordered if candidate.product.origin is Origin.STATIC]
        self._sorted = [candidate for candidate in ordered if candidate.product.origin is not Origin.STATIC]
        self._times = [candidate.product.mjd for candidate in self._sorted]

    def all(self) -> Sequence[Candidate]:
        """Every candidate, by time."""
        return [*self._sorted, *self._static]

    def around(self, mjd: float, days: float) -> Sequence[Candidate]:
        """Those within ``days``, and the few next to them on both sides."""
        first = bisect_left(self._times, mjd - days) - OUTSIDE
        last = bisect_right(self._times, mjd + days) + OUTSIDE
        return [*self._sorted[max(first, 0) : last], *self._static]


def associate(
    role: InputRule,
    rules: Rules,
    target: Target,
    index: CandidateIndex,
    allowed_pairs: Collection[str] | None = None,
) -> RoleResult:
    """Choose the inputs of one role.

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
    allowed_pairs : collection of str, optional
        Pairs of which the partner fits, too.
    """
    source = rules.source(role)
    found = index.all() if source.static else index.around(target.mjd, source.widest)
    candidates = [candidate for candidate in found if _is_meant(candidate.product, source)]
    passed: list[Ranked] = []
    refusals: list[Refusal] = []
    for candidate in candidates:
        product = candidate.product
        judged = candidate.unusable or judge(product, source, target, rules)
        if allowed_pairs is not None and isinstance(judged, Ranked) and product.pair not in allowed_pairs:
            judged = not_paired(rules.partners(role.tag))
        if isinstance(judged, Ranked):
            passed.append(judged)
        else:
            days = None if by_validity(product, source) else product.mjd - target.mjd
            refusals.append(Refusal(role.tag, product.id, *judged, days))

    ranked = _rank([entry for entry in passed if not by_validity(entry.product, source)], source)
    ranked += _rank_static([entry for entry in passed if by_validity(entry.product, source)])
    chosen, others = ranked[: role.maximum], ranked[role.maximum :]
    choices = tuple(
        InputChoice(
            role.tag,
            entry.product,
            entry.level,
            entry.days,
            source.rule,
            choice_reason(entry, role.tag, source, rules.units, others),
        )
        for entry in chosen
    )
    refusals += [not_best(entry, chosen[0], role.tag, source) for entry in others]
    refusals.sort(key=lambda r: (abs(r.days) if r.days is not None else 0.0, r.candidate, r.code))

    missing: tuple[Missing, ...] = ()
    if len(choices) < role.minimum:
        missing = (lack(role, source, len(choices), bool(candidates), refusals),)
    omitted = len(index.all()) - len(found) + max(len(refusals) - KEEP_REFUSALS, 0)
    return RoleResult(choices, tuple(refusals[:KEEP_REFUSALS]), omitted, missing)


def fitting_pairs(role: InputRule, rules: Rules, target: Target, index: CandidateIndex) -> frozenset[str]:
    """Pairs of the candidates of a role that fit a block."""
    source = rules.source(role)
    return frozenset(
        candidate.product.pair
        for candidate in index.all()
        if candidate.unusable is None and isinstance(judge(candidate.product, source, target, rules), Ranked)
    )


def _is_meant(product: ProductInfo, source: MasterSource) -> bool:
    """Whether it is of the recipe that is meant, as far as that is known."""
    return not source.made_by or product.recipe in ("", source.made_by)


def _rank(passed: list[Ranked], source: MasterSource) -> list[Ranked]:
    ranked: list[Ranked] = []
    for standing in sorted({_standing(entry) for entry in passed}):
        same = sorted((e for e in passed if _standing(e) == standing), key=lambda e: e.preference)
        limit = same[0].distance + source.near
        close = [e for e in same if e.distance <= limit]
        close.sort(key=lambda e: (-e.product.quality, *e.preference))
        ranked += close + [e for e in same if e.distance > limit]
    return ranked


def _standing(entry: Ranked) -> tuple[int, bool]:
    """What no distance outweighs: the level, and whether it is doubtful."""
    return entry.level, entry.product.quality is Quality.DOUBTFUL


def _rank_static(passed: list[Ranked]) -> list[Ranked]:
    """Newest first; of the same version the better one, then the first by name."""
    named = sorted(passed, key=lambda e: (-e.product.quality, e.product.id))
    return sorted(named, key=lambda e: (e.product.valid_from, e.product.version), reverse=True)
