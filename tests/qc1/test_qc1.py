"""Facts about QC1: names of tables and columns, extraction with indices, statistics and scores."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.qc1.definitions import Definitions, define
from core.qc1.extract import extract
from core.qc1.rules import SCORE_RULES, FixedRule, StatisticalRule, rules_version
from core.qc1.score import apply_rule, score, statistical_rules, total
from core.qc1.statistics import robust_statistics, running_median
from core.recipes.declaration import QcSpec


def spec(keyword, products=(), kind="float", unit=""):
    return QcSpec(keyword, unit, kind, "HC", "text", products)


DECLARED = {
    "muse_bias": (
        spec("QC.BIAS.MASTER{quadrant}.MEDIAN", ("MASTER_BIAS",), unit="adu"),
        spec("QC.BIAS.MASTER{quadrant}.RON", ("MASTER_BIAS",), unit="count"),
        spec("QC.BIAS.MASTER.NBADPIX", ("MASTER_BIAS",), "int"),
        spec("QC.BIAS.INPUT{input}.NSATURATED", ("MASTER_BIAS",), "int"),
    ),
    "muse_flat": (
        spec("QC.FLAT.MASTER.INTFLUX", ("MASTER_FLAT",)),
        spec("QC.FLAT.INPUT{input}.MEDIAN", ("MASTER_FLAT",)),
        spec("QC.FLAT.MASTER.SLICE{slice}.MEAN", ("MASTER_FLAT",)),
        spec("QC.TRACE.GAPS.MAX", ("TRACE_TABLE",)),
        spec("QC.TRACE.SLICE_L.XPOS", ("TRACE_TABLE",)),
        spec("QC.TRACE.SLICE{slice}.MAXSLOPE", ("TRACE_TABLE",)),
    ),
    "muse_wavecal": (
        spec("QC.WAVECAL.SLICE{slice}.FIT.RMS", ("WAVECAL_TABLE",)),
        spec("QC.WAVECAL.SLICE20.LAMP{lamp}.LINES.PEAK.MEAN", ("WAVECAL_TABLE",)),
        spec("QC.WAVECAL.SLICE{slice}.LAMP{lamp}.LINES.PEAK.MAX"),
    ),
}
DEFINITIONS = define(DECLARED)

NAMES = [
    ("QC.BIAS.MASTER1.MEDIAN", "muse_bias", "master_median", "master1_median"),
    ("QC.BIAS.MASTER.NBADPIX", "muse_bias", "master_nbadpix", "master_nbadpix"),
    ("QC.BIAS.INPUT11.NSATURATED", "muse_bias", "input_nsaturated", "input11_nsaturated"),
    ("QC.FLAT.MASTER.INTFLUX", "muse_lampflat", "flat_intflux", "flat_intflux"),
    ("QC.FLAT.MASTER.SLICE48.MEAN", "muse_lampflat", "flat_slice_mean", "flat_slice48_mean"),
    ("QC.FLAT.INPUT2.MEDIAN", "muse_lampflat", "flat_input_median", "flat_input2_median"),
    ("QC.TRACE.GAPS.MAX", "muse_tracetable", "trace_gaps_max", "trace_gaps_max"),
    ("QC.TRACE.SLICE_L.XPOS", "muse_tracetable", "trace_slice_l_xpos", "trace_slice_l_xpos"),
    ("QC.WAVECAL.SLICE7.FIT.RMS", "muse_wave", "slice_fit_rms", "slice7_fit_rms"),
    (
        "QC.WAVECAL.SLICE20.LAMP3.LINES.PEAK.MEAN",
        "muse_wave",
        "slice20_lamp_lines_peak_mean",
        "slice20_lamp3_lines_peak_mean",
    ),
]


@pytest.mark.parametrize(("keyword", "table", "column", "flat"), NAMES)
def test_names_follow_the_rule_of_the_qc1_database(keyword, table, column, flat):
    parameter, indices = DEFINITIONS.match(keyword)
    assert (parameter.table, parameter.column) == (table, column)
    assert parameter.flat_column(**indices) == flat
    assert DEFINITIONS.get(f"{table}..{column}") is parameter


def test_the_axes_start_with_the_ifu():
    assert DEFINITIONS.get("muse_bias..master_ron").axes == ("unit", "quadrant")
    assert DEFINITIONS.get("muse_wave..slice_lamp_lines_peak_max").axes == ("unit", "slice", "lamp")
    assert DEFINITIONS.get("muse_bias..master_ron").shown_keyword == "QC.BIAS.MASTERn.RON"


def test_tables_are_listed_in_order_of_declaration():
    assert list(DEFINITIONS.tables) == ["muse_bias", "muse_lampflat", "muse_tracetable", "muse_wave"]
    assert len(DEFINITIONS) == 13


def test_an_unknown_start_of_a_keyword_is_refused():
    with pytest.raises(ValueError, match=r"no QC1 table for QC\.NEW\.THING"):
        define({"muse_new": (spec("QC.NEW.THING"),)})


def test_a_double_declaration_is_refused():
    with pytest.raises(ValueError, match=r"declared twice: muse_bias\.\.master_ron"):
        Definitions(2 * define({"muse_bias": (spec("QC.BIAS.MASTER{quadrant}.RON"),)}).parameters)


def test_the_version_follows_the_content():
    other = define({"muse_bias": (spec("QC.BIAS.MASTER{quadrant}.RON", unit="adu"),)})
    assert other.version != define({"muse_bias": (spec("QC.BIAS.MASTER{quadrant}.RON"),)}).version


def test_headers_become_measurements_with_positions():
    header = {
        "QC.BIAS.MASTER1.RON": 2.5,
        "QC.BIAS.MASTER2.RON": 2.6,
        "QC.BIAS.MASTER.NBADPIX": 12,
        "QC.BIAS.INPUT3.NSATURATED": 0,
        "PRO.CATG": "MASTER_BIAS",
    }
    found = extract([("MASTER_BIAS", 7, header)], DEFINITIONS)
    assert found.undeclared == found.unusable == ()
    values = {(m.parameter.column, m.position): m.value for m in found.measurements}
    assert values == {
        ("master_ron", (7, 1, None, None, None)): 2.5,
        ("master_ron", (7, 2, None, None, None)): 2.6,
        ("master_nbadpix", (7, None, None, None, None)): 12.0,
        ("input_nsaturated", (7, None, None, None, 3)): 0.0,
    }
    assert found.measurements[-1].label == "muse_bias..master_ron IFU 7 quadrant 2"


def test_keywords_repeated_in_another_product_count_once():
    trace = {"QC.TRACE.GAPS.MAX": 8.0, "QC.FLAT.MASTER.INTFLUX": 1.0}
    flat = {"QC.FLAT.MASTER.INTFLUX": 4e11}
    found = extract([("TRACE_TABLE", 1, trace), ("MASTER_FLAT", 1, flat)], DEFINITIONS)
    assert {(m.parameter.column, m.value, m.product) for m in found.measurements} == {
        ("trace_gaps_max", 8.0, 0),
        ("flat_intflux", 4e11, 1),
    }


def test_what_cannot_be_used_is_named():
    header = {"QC.BIAS.MASTER1.RON": math.nan, "QC.BIAS.SURPRISE": 1.0, "QC.BIAS.MASTER2.RON": "many"}
    found = extract([("MASTER_BIAS", 1, header)], DEFINITIONS)
    assert found.measurements == ()
    assert found.undeclared == ("QC.BIAS.SURPRISE",)
    assert found.unusable == ("QC.BIAS.MASTER1.RON", "QC.BIAS.MASTER2.RON")


def test_robust_statistics_recover_a_gaussian_with_outliers():
    sample = np.random.default_rng(1).normal(2.5, 0.1, 4000)
    sample[:200] = 1e6
    found = robust_statistics([*sample, np.nan])
    assert found.number == 4000
    # 5 % one-sided outliers shift the median by 0.066 sigma and widen the MAD by about 8 %
    assert found.median == pytest.approx(2.5, abs=0.012)
    assert found.sigma == pytest.approx(0.1, rel=0.15)


def test_robust_statistics_of_nothing_are_nan():
    found = robust_statistics([])
    assert found.number == 0
    assert math.isnan(found.median)


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(-5, 5)), min_size=1, max_size=40), st.floats(0.1, 50))
def test_the_running_median_is_the_median_of_the_window(points, window):
    times, values = (np.array(column) for column in zip(*sorted(points), strict=True))
    expected = [np.median(values[(times >= time - window / 2) & (times <= time + window / 2)]) for time in times]
    np.testing.assert_array_equal(running_median(times, values, window), expected)


def test_the_running_median_leaves_out_what_is_not_finite():
    result = running_median([0, 1, 10], [1.0, np.nan, np.nan], 4)
    np.testing.assert_array_equal(result, [1.0, 1.0, np.nan])


@pytest.mark.parametrize(
    ("times", "values", "window", "message"),
    [([0, 1], [1], 1, "equally long"), ([1, 0], [1, 1], 1, "ascending"), ([0], [1], 0, "positive")],
)
def test_the_running_median_refuses_nonsense(times, values, window, message):
    with pytest.raises(ValueError, match=message):
        running_median(times, values, window)


def ron(value, unit=1, quadrant=1):
    (measured,) = extract([("MASTER_BIAS", unit, {f"QC.BIAS.MASTER{quadrant}.RON": value})], DEFINITIONS).measurements
    return measured


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
    history = {("muse_bias..master_ron", (1, 1, None, None, None)): [2.5] * 10}
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


def test_the_rules_have_limits_in_order_and_a_version():
    for rule in SCORE_RULES:
        if isinstance(rule, FixedRule) and None not in (rule.low, rule.high):
            assert rule.low < rule.high
    assert rules_version() != rules_version(SCORE_RULES[1:])
    assert statistical_rules()["muse_bias..master_ron"].days == 90


# Ranges of real data (June 2017, facts of the QC group): all of it must be good.
REAL = {
    "muse_bias..master_ron": (1.94, 3.52),
    "muse_bias..master_slope_x": (-4.1e-4, 9.6e-5),
    "muse_bias..master_nbadpix": (0, 12331),
    "muse_bias..input_nsaturated": (0, 21),
    "muse_tracetable..trace_widths_median": (75.76, 76.18),
    "muse_tracetable..trace_widths_min": (74.6, 75.1),
    "muse_tracetable..trace_gaps_min": (4.60, 6.28),
    "muse_tracetable..trace_gaps_max": (8.25, 9.20),
    "muse_tracetable..trace_slice_l_xpos": (62.8, 91.5),
    "muse_tracetable..trace_slice_r_xpos": (3996.5, 4022.8),
    "muse_tracetable..trace_slice_maxslope": (-0.0110, 0.0113),
    "muse_wave..slice_fit_rms": (0.0178, 0.0526),
    "muse_wave..slice_fit_nlines": (64, 70),
    "muse_wave..slice_lines_fwhm_mean": (1.90, 2.90),
    "muse_wave..slice_resol": (2474, 3686),
    "muse_wave..slice_wlen": (6809, 7197),
    "muse_wave..slice_dwlen_bottom": (-5.9, 5.5),
    "muse_lsf..slice_fwhm_mean": (1.97, 3.06),
}


@pytest.mark.parametrize("name", REAL)
def test_fixed_limits_accept_the_range_of_real_data(name):
    (rule,) = [r for r in SCORE_RULES if r.parameter == name and isinstance(r, FixedRule)]
    low, high = REAL[name]
    assert rule.low <= low
    assert rule.high is None or high <= rule.high
