"""Facts about scores: fixed and statistical limits."""

from __future__ import annotations

import pytest

from core.qc1.axes import Position
from core.qc1.rules import FixedRule, StatisticalRule
from core.qc1.score import Value, apply_rule, score, statistical_rules, total


def ron(value, unit=1, quadrant=1):
    return Value("muse_bias..master_ron", "count", Position(unit=unit, quadrant=quadrant), value)


@pytest.mark.parametrize(("value", "expected"), [(2.5, 0), (1.0, 0), (5.0, 0), (0.9, 1), (5.1, 1)])
def test_fixed_limits_include_their_ends(value, expected):
    verdict = apply_rule(FixedRule("muse_bias..master_ron", 1.0, 5.0), ron(value), ())
    assert (verdict.score, verdict.low, verdict.high) == (expected, 1.0, 5.0)


def test_a_verdict_says_why():
    verdict = apply_rule(FixedRule("muse_bias..master_ron", 1.0, 5.0), ron(5.5), ())
    assert verdict.reason == "5.5 count is above 5 count (fixed limits)"


def test_one_sided_limits():
    rule = FixedRule("muse_bias..master_ron", 2.0, None)
    assert [apply_rule(rule, ron(value), ()).score for value in (1.9, 1e9)] == [1, 0]


RULE = StatisticalRule("muse_bias..master_ron", 90, 5, 8)


def test_statistical_limits_need_enough_history():
    verdict = apply_rule(RULE, ron(2.5), [2.5] * 7)
    assert verdict.score is None
    assert verdict.reason == "not scored: 7 of at least 8 values in the last 90 d"


def test_statistical_limits_are_median_plus_minus_k_sigma():
    earlier = [2.4, 2.45, 2.5, 2.5, 2.5, 2.5, 2.55, 2.6]  # median 2.5, MAD 0.025
    verdict = apply_rule(RULE, ron(2.6), earlier)
    assert verdict.high == pytest.approx(2.5 + 5 * 1.4826022 * 0.025)
    assert verdict.score == 0
    assert apply_rule(RULE, ron(2.7), earlier).score == 1


def test_a_quiet_series_keeps_a_least_width():
    rule = StatisticalRule("muse_bias..master_ron", 90, 5, 8, least=0.1, least_fraction=0.01)
    assert apply_rule(rule, ron(2.59), [2.5] * 8).score == 0
    assert apply_rule(rule, ron(2.61), [2.5] * 8).score == 1


def test_scores_use_the_history_of_their_own_position():
    history = {("muse_bias..master_ron", Position(unit=1, quadrant=1)): [2.5] * 10}
    rules = (StatisticalRule("muse_bias..master_ron", 90, 5, 8, least=0.1),)
    verdicts = score([ron(3.5), ron(3.5, unit=2)], "WFM-NOAO-N", history, rules)
    assert [verdict.score for verdict in verdicts] == [1, None]


def test_rules_may_belong_to_modes():
    rules = (FixedRule("muse_bias..master_ron", 1.0, 2.0, modes=("WFM-AO-N",)),)
    assert score([ron(2.5)], "WFM-NOAO-N", {}, rules) == ()
    assert score([ron(2.5)], "WFM-AO-N", {}, rules)[0].score == 1


def test_the_total_is_bad_if_anything_is_bad_and_grey_if_nothing_is_scored():
    good, bad = score([ron(2.5), ron(9.0)], "", {}, (FixedRule("muse_bias..master_ron", 1.0, 5.0),))
    grey = apply_rule(RULE, ron(2.5), ())
    assert total([good, grey]) == 0
    assert total([good, bad, grey]) == 1
    assert total([grey]) is None
    assert total([]) is None


def test_statistical_rules_are_found_by_parameter():
    assert statistical_rules((RULE, FixedRule("muse_bias..master_ron", 1.0, 5.0))) == {"muse_bias..master_ron": RULE}
