"""Measurements and their history become scores: 0 is good, 1 is an outlier, None is not scored.

Scores can be computed again at any time with other rules; nothing is reduced for that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from core.qc1.axes import Position
from core.qc1.rules import FixedRule, ScoreRule, StatisticalRule
from core.qc1.statistics import robust_statistics

__all__ = ["HistoryKey", "Value", "Verdict", "apply_rule", "score", "statistical_rules", "total"]

# parameter name and where
HistoryKey = tuple[str, Position]


@dataclass(frozen=True)
class Value:
    """One measured value of one parameter, as it is scored.

    Attributes
    ----------
    parameter : str
        ``table..column``.
    unit : str
        Of the value.
    position : Position
    value : float
    """

    parameter: str
    unit: str
    position: Position
    value: float


@dataclass(frozen=True)
class Verdict:
    """What one rule says about one value.

    Attributes
    ----------
    score : int or None
        0 good, 1 outlier, None not scored.
    low, high : float or None
        Limits that were used.
    rule : str
    reason : str
        In words.
    """

    measured: Value
    score: int | None
    low: float | None
    high: float | None
    rule: str
    reason: str


def statistical_rules(rules: Iterable[ScoreRule]) -> dict[str, StatisticalRule]:
    """Statistical rules by parameter name: whose history is needed, and how far back."""
    return {rule.parameter: rule for rule in rules if isinstance(rule, StatisticalRule)}


def score(
    values: Iterable[Value],
    mode: str,
    history: Mapping[HistoryKey, Sequence[float]],
    rules: Sequence[ScoreRule],
) -> tuple[Verdict, ...]:
    """Score values.

    Parameters
    ----------
    values : iterable of Value
    mode : str
        Mode class of the data.
    history : mapping
        Earlier good values of the same setup, by parameter and position, within the days of the statistical rule.
    rules : sequence of rule

    Returns
    -------
    tuple of Verdict
        One for each value and rule that concerns it; values without a rule give none.
    """
    by_parameter: dict[str, list[ScoreRule]] = {}
    for rule in rules:
        if not rule.modes or mode in rule.modes:
            by_parameter.setdefault(rule.parameter, []).append(rule)
    return tuple(
        apply_rule(rule, measured, history.get((measured.parameter, measured.position), ()))
        for measured in values
        for rule in by_parameter.get(measured.parameter, ())
    )


def apply_rule(rule: ScoreRule, measured: Value, earlier: Sequence[float]) -> Verdict:
    """Apply one rule to one value."""
    if isinstance(rule, FixedRule):
        return _verdict(rule, measured, rule.low, rule.high, "fixed limits")
    found = robust_statistics(earlier)
    if found.number < rule.minimum:
        reason = f"not scored: {found.number} of at least {rule.minimum} values in the last {rule.days:g} d"
        return Verdict(measured, None, None, None, rule.name, reason)
    half = max(rule.nsigma * found.sigma, rule.least, rule.least_fraction * abs(found.median))
    basis = f"median {found.median:.5g} of {found.number} values in the last {rule.days:g} d"
    return _verdict(rule, measured, found.median - half, found.median + half, basis)


def _verdict(rule: ScoreRule, measured: Value, low: float | None, high: float | None, basis: str) -> Verdict:
    unit = f" {measured.unit}" if measured.unit else ""
    if low is not None and measured.value < low:
        text = f"{measured.value:.5g}{unit} is below {low:.5g}{unit} ({basis})"
        return Verdict(measured, 1, low, high, rule.name, text)
    if high is not None and measured.value > high:
        text = f"{measured.value:.5g}{unit} is above {high:.5g}{unit} ({basis})"
        return Verdict(measured, 1, low, high, rule.name, text)
    return Verdict(measured, 0, low, high, rule.name, f"{measured.value:.5g}{unit} is within limits ({basis})")


def total(verdicts: Iterable[Verdict]) -> int | None:
    """Score of a whole block: 1 if anything is an outlier, 0 if all scored ones are good, None if none is scored."""
    scores = {verdict.score for verdict in verdicts} - {None}
    return max((value for value in scores if value is not None), default=None)
