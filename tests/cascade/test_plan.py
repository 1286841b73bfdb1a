"""Facts about the calibration cascade: which master serves which data, and why."""

from __future__ import annotations

import dataclasses
import random
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import core.cascade.plan
from core.cascade.explain import block_text, explain
from core.cascade.model import BlockState, FrameInfo, Origin, ProductInfo, Quality, Request
from core.cascade.plan import PlanOptions
from core.instruments.muse.setup import SETUP
from core.instruments.plans import calibration_plan
from core.instruments.rules import MasterSource

RULES = calibration_plan("MUSE")
make_plan = partial(core.cascade.plan.make_plan, RULES)

NOAO = SETUP.of_values({"mode": "WFM-NOAO-N"})
EXTENDED = SETUP.of_values({"mode": "WFM-NOAO-E"})
AO = SETUP.of_values({"mode": "WFM-AO-N"})
NIGHT = 61345.0  # 2026-11-01T00:00 UTC


def frames(tag, mjd, number, setup=NOAO, start=None, units=(1, 2), nexp=0, lamps=((),)):
    start = start or f"2026-11-01T00:00:00+{mjd:.4f}"
    return [
        FrameInfo(
            id=f"MUSE.{tag}.{mjd:.4f}.{i:02d}",
            tag=tag,
            setup=setup,
            mjd_mid=mjd + i / 1440,
            tpl_start=start,
            tpl_nexp=nexp,
            lamps=lamps[i % len(lamps)],
            units=units,
            night="2026-11-01",
        )
        for i in range(number)
    ]


ARC_LAMPS = (("Ne",), ("Xe",), ("HgCd",))


def small_night(setup=NOAO, mjd=NIGHT):
    return [
        *frames("BIAS", mjd + 0.40, 3, setup),
        *frames("DARK", mjd + 0.45, 3, setup),
        *frames("FLAT", mjd + 0.50, 3, setup),
        *frames("ARC", mjd + 0.55, 3, setup, lamps=ARC_LAMPS),
    ]


LINES = ProductInfo("line_catalog.fits", "LINE_CATALOG", origin=Origin.STATIC, quality=Quality.CERTIFIED)


def master(tag, mjd, name=None, setup=NOAO, quality=Quality.CERTIFIED, units=(1, 2), **more):
    return ProductInfo(name or f"{tag}.{mjd:.3f}", tag, mjd, setup, quality, Origin.PRODUCT, units, **more)


def only(plan, recipe):
    (block,) = [block for block in plan.blocks if block.recipe == recipe]
    return block


def choice(block, role):
    (found,) = [c for c in block.inputs if c.role == role]
    return found


def refusal(block, candidate):
    (found,) = [r for r in block.refusals if r.candidate == candidate]
    return found


def test_a_small_night_becomes_the_whole_cascade():
    plan = make_plan(small_night(), [LINES])
    assert [b.recipe for b in plan.blocks] == ["muse_bias", "muse_dark", "muse_flat", "muse_wavecal"]
    assert [b.state for b in plan.blocks] == [BlockState.READY] + 3 * [BlockState.WAITING]
    bias, _, flat, arc = plan.blocks
    assert [c.role for c in arc.inputs] == ["MASTER_BIAS", "TRACE_TABLE", "LINE_CATALOG"]
    assert arc.planned_inputs == tuple(sorted((bias.key, flat.key)))
    assert choice(arc, "TRACE_TABLE").product.origin is Origin.PLANNED
    assert plan.not_processed == ()
    assert plan.block(flat.key) is flat


def test_a_choice_says_what_when_level_and_rule():
    bias = master("MASTER_BIAS", NIGHT + 0.5 - 3.2 / 24)
    plan = make_plan(frames("FLAT", NIGHT + 0.5 - 1 / 1440, 3), [bias])
    assert choice(only(plan, "muse_flat"), "MASTER_BIAS").reason == (
        "MASTER_BIAS of 2026-11-01T08:48, 3.2 h before, level 0, rule bias-1, certified"
    )


def test_the_closest_master_is_taken_and_the_other_says_why_not():
    near, far = master("MASTER_BIAS", NIGHT + 0.4), master("MASTER_BIAS", NIGHT + 1.1)
    plan = make_plan(frames("FLAT", NIGHT + 0.5, 3), [near, far])
    flat = only(plan, "muse_flat")
    assert choice(flat, "MASTER_BIAS").product == near
    assert refusal(flat, far.id).code == "farther"
    assert refusal(flat, far.id).reason == "farther in time than the chosen: 14.4 h after against 2.4 h before"


@pytest.mark.parametrize(
    ("days", "level"), [(0.1, 0), (1.4, 0), (1.6, 1), (6.9, 1), (7.1, 2), (29.9, 2), (-1.6, 1), (-20.0, 2)]
)
def test_the_level_follows_from_the_window(days, level):
    bias = master("MASTER_BIAS", NIGHT + days)
    plan = make_plan(frames("FLAT", NIGHT, 3), [bias])
    assert choice(only(plan, "muse_flat"), "MASTER_BIAS").level == level


def test_beyond_the_widest_window_the_block_is_incomplete_and_says_so():
    old = master("MASTER_BIAS", NIGHT - 31.4)
    block = only(make_plan(frames("FLAT", NIGHT - 1 / 1440, 3), [old]), "muse_flat")
    assert block.state is BlockState.INCOMPLETE
    assert refusal(block, old.id).reason == "31.4 d exceeds the widest window of 30.0 d"
    assert block.missing[0].role == "MASTER_BIAS"
    assert "31.4 d exceeds" in block.missing[0].reason


SETUP_CASES = [
    ("MASTER_BIAS", {"readout": "2"}, "read-out mode 2 differs from 1"),
    ("MASTER_BIAS", {"binning": "2x2"}, "binning 2x2 differs from 1x1"),
    ("MASTER_BIAS", {"mode": "NFM-AO-N", "field": "NFM", "blue": "clear"}, None),
    ("TRACE_TABLE", {"blue": "clear"}, "made without the blue filter, the data are with it"),
    ("TRACE_TABLE", {"field": "NFM"}, "field mode NFM differs from WFM"),
    ("TRACE_TABLE", {"mode": "WFM-AO-N"}, None),
    ("MASTER_FLAT", {"mode": "WFM-AO-N"}, "instrument mode WFM-AO-N differs from WFM-NOAO-N"),
]


@pytest.mark.parametrize(("tag", "changes", "reason"), SETUP_CASES)
def test_each_master_is_matched_by_its_own_keys(tag, changes, reason):
    candidate = master(tag, NIGHT, "candidate", SETUP.of_values(dict(NOAO.values) | changes))
    others = [master(t, NIGHT, f"good {t}") for t in ("MASTER_BIAS", "TRACE_TABLE") if t != tag]
    options = PlanOptions(Request(with_roles=frozenset({"MASTER_FLAT"})))
    arc = only(
        make_plan(frames("ARC", NIGHT, 3, lamps=ARC_LAMPS), [candidate, *others, LINES], options), "muse_wavecal"
    )
    if reason is None:
        assert choice(arc, tag).product == candidate
    else:
        assert refusal(arc, "candidate").reason == reason


def test_nominal_calibrations_without_ao_serve_nominal_data_with_ao():
    night = [*frames("BIAS", NIGHT, 3), *frames("FLAT", NIGHT + 0.1, 3)]
    plan = make_plan([*night, *frames("ARC", NIGHT + 0.2, 3, AO, lamps=ARC_LAMPS)], [LINES])
    assert only(plan, "muse_wavecal").state is BlockState.WAITING


def test_extended_mode_stays_apart():
    night = [*frames("BIAS", NIGHT, 3), *frames("FLAT", NIGHT + 0.1, 3)]
    plan = make_plan([*night, *frames("ARC", NIGHT + 0.2, 3, EXTENDED, lamps=ARC_LAMPS)], [LINES])
    arc = only(plan, "muse_wavecal")
    assert arc.state is BlockState.INCOMPLETE
    assert [lack.code for lack in arc.missing] == ["blue"]


def test_a_master_without_an_ifu_of_the_data_is_refused():
    partial = master("MASTER_BIAS", NIGHT, units=(1,))
    flat = only(make_plan(frames("FLAT", NIGHT, 3, units=(1, 2, 3)), [partial]), "muse_flat")
    assert refusal(flat, partial.id).reason == "lacks IFU 2, 3"


def test_a_master_that_lost_some_of_its_ifus_is_taken_and_one_that_lost_all_of_the_data_is_not():
    lossy, complete = master("MASTER_BIAS", NIGHT, lost=(2,)), master("MASTER_BIAS", NIGHT - 5)
    flat = only(make_plan(frames("FLAT", NIGHT, 3), [lossy, complete]), "muse_flat")
    assert choice(flat, "MASTER_BIAS").product.id == lossy.id
    assert choice(flat, "MASTER_BIAS").reason.endswith("certified, without IFU 2, which could not be made")
    # the block needs no other signature: it is the same work as before it was known
    whole = only(make_plan(frames("FLAT", NIGHT, 3), [dataclasses.replace(lossy, lost=()), complete]), "muse_flat")
    assert flat.signature == whole.signature
    flat = only(make_plan(frames("FLAT", NIGHT, 3, units=(2,)), [lossy, complete]), "muse_flat")
    assert choice(flat, "MASTER_BIAS").product.id == complete.id
    assert refusal(flat, lossy.id).reason == "IFU 2 could not be made"


def test_a_rejected_master_is_never_used():
    bad, old = master("MASTER_BIAS", NIGHT, quality=Quality.REJECTED), master("MASTER_BIAS", NIGHT - 5)
    flat = only(make_plan(frames("FLAT", NIGHT, 3), [bad, old]), "muse_flat")
    assert choice(flat, "MASTER_BIAS").product == old
    assert refusal(flat, bad.id).code == "rejected"


def test_certified_wins_over_provisional_of_the_same_morning_only():
    provisional = master("MASTER_BIAS", NIGHT - 0.01, quality=Quality.PROVISIONAL)
    morning = master("MASTER_BIAS", NIGHT - 0.2)
    day_before = master("MASTER_BIAS", NIGHT - 1.0)
    flat = only(make_plan(frames("FLAT", NIGHT, 3), [provisional, morning]), "muse_flat")
    assert choice(flat, "MASTER_BIAS").product == morning
    assert refusal(flat, provisional.id).code == "quality"
    flat = only(make_plan(frames("FLAT", NIGHT, 3), [provisional, day_before]), "muse_flat")
    assert choice(flat, "MASTER_BIAS").product == provisional


def test_inside_a_level_a_doubtful_master_loses_against_a_good_one_however_near_it_is():
    doubtful = master("MASTER_BIAS", NIGHT - 0.01, quality=Quality.DOUBTFUL, doubt="4 outliers")
    good = master("MASTER_BIAS", NIGHT - 0.6, quality=Quality.PROVISIONAL)
    flat = only(make_plan(frames("FLAT", NIGHT, 3), [doubtful, good]), "muse_flat")
    assert choice(flat, "MASTER_BIAS").product == good
    assert refusal(flat, doubtful.id).reason == "doubtful (4 outliers), and the chosen of the same level is not"


def test_what_is_made_with_a_doubtful_master_is_doubtful_itself():
    doubtful = master("MASTER_BIAS", NIGHT - 0.01, quality=Quality.DOUBTFUL, doubt="4 outliers")
    good = master("TRACE_TABLE", NIGHT - 0.6), master("WAVECAL_TABLE", NIGHT - 0.6), LINES
    plan = make_plan([*frames("FLAT", NIGHT, 3), *frames("ARC", NIGHT + 0.01, 3)], [doubtful, *good])
    arc = only(plan, "muse_wavecal")
    assert choice(arc, "TRACE_TABLE").product.id == good[0].id
    assert "made with doubtful MASTER_BIAS" in next(r.reason for r in arc.refusals if r.role == "TRACE_TABLE")


def test_a_better_level_wins_over_quality():
    provisional = master("MASTER_BIAS", NIGHT - 1.4, quality=Quality.PROVISIONAL)
    older = master("MASTER_BIAS", NIGHT - 1.55)
    flat = only(make_plan(frames("FLAT", NIGHT - 1 / 1440, 3), [provisional, older]), "muse_flat")
    assert choice(flat, "MASTER_BIAS").product == provisional
    assert refusal(flat, older.id).reason == "level 1, the chosen has level 0"


def test_older_only_refuses_younger_masters():
    younger, older = master("MASTER_BIAS", NIGHT + 0.3), master("MASTER_BIAS", NIGHT - 1.0)
    data = frames("FLAT", NIGHT - 1 / 1440, 3)
    assert choice(only(make_plan(data, [younger, older]), "muse_flat"), "MASTER_BIAS").product == younger
    strict = only(make_plan(data, [younger, older], PlanOptions(Request(older_only=True))), "muse_flat")
    assert choice(strict, "MASTER_BIAS").product == older
    assert refusal(strict, younger.id).code == "younger"


def test_equal_distance_is_decided_by_the_earlier_one():
    before, after = master("MASTER_BIAS", NIGHT - 0.25), master("MASTER_BIAS", NIGHT + 0.25)
    flat = only(make_plan(frames("FLAT", NIGHT - 1 / 1440, 3), [after, before]), "muse_flat")
    assert choice(flat, "MASTER_BIAS").product == before
    assert refusal(flat, after.id).code == "tie"


def test_too_few_frames_are_a_state_with_a_reason():
    night = [*frames("BIAS", NIGHT, 2), *frames("FLAT", NIGHT + 0.1, 3)]
    plan = make_plan(night)
    bias, flat = plan.blocks
    assert bias.missing[0].reason == "2 of at least 3 BIAS frames"
    assert flat.state is BlockState.INCOMPLETE
    assert refusal(flat, f"{bias.key}/MASTER_BIAS").code == "incomplete"


def test_an_incomplete_planned_master_gives_way_to_an_older_one():
    older = master("MASTER_BIAS", NIGHT - 3)
    night = [*frames("BIAS", NIGHT, 2), *frames("FLAT", NIGHT + 0.1, 3)]
    flat = only(make_plan(night, [older]), "muse_flat")
    assert choice(flat, "MASTER_BIAS").product == older
    assert flat.state is BlockState.READY


def test_a_failed_block_gives_way_too():
    night = [*frames("BIAS", NIGHT, 3), *frames("FLAT", NIGHT + 0.1, 3)]
    failed = only(make_plan(night), "muse_bias")
    options = PlanOptions(failed={failed.signature: "data: all pixels are zero"})
    flat = only(make_plan(night, [master("MASTER_BIAS", NIGHT - 3)], options), "muse_flat")
    assert flat.state is BlockState.READY
    assert refusal(flat, f"{failed.key}/MASTER_BIAS").reason.endswith("failed: data: all pixels are zero")


def test_arcs_of_all_lamps_of_a_template_are_one_block_and_need_all_lamps():
    whole = make_plan(frames("ARC", NIGHT, 15, lamps=ARC_LAMPS), [LINES])
    assert [len(b.frames) for b in whole.blocks] == [15]
    arc = only(make_plan(frames("ARC", NIGHT, 10, lamps=ARC_LAMPS[:2]), [LINES]), "muse_wavecal")
    assert "no ARC frame with lamp HgCd" in [lack.reason for lack in arc.missing]


def test_a_template_that_still_arrives_is_waited_for():
    arriving = frames("BIAS", NIGHT, 5, nexp=11)
    waits = only(make_plan(arriving, options=PlanOptions(fresh=frozenset({arriving[-1].id}))), "muse_bias")
    assert [lack.code for lack in waits.missing] == ["arriving"]
    assert "5 of 11" in waits.missing[0].reason
    later = only(make_plan(arriving), "muse_bias")
    assert later.state is BlockState.READY


def test_frames_without_a_rule_are_listed_with_the_reason():
    plan = make_plan([*frames("ILLUM", NIGHT, 1), *frames("WHATEVER", NIGHT, 1)])
    assert plan.blocks == ()
    assert {entry.tag: entry.reason for entry in plan.not_processed} == {
        "ILLUM": "used together with frames of the sky",
        "WHATEVER": "no rule for WHATEVER frames",
    }


def test_every_raw_tag_without_task_has_no_task():
    assert not {tag for tag, _ in RULES.without_task} & {task.main for task in RULES.tasks}


def test_static_calibrations_are_chosen_by_validity():
    old = dataclasses.replace(LINES, id="old", valid_from=50000.0, valid_to=NIGHT - 10)
    new = dataclasses.replace(LINES, id="new", valid_from=NIGHT - 10)
    future = dataclasses.replace(LINES, id="future", valid_from=NIGHT + 10)
    plan = make_plan(small_night(), [old, new, future])
    arc = only(plan, "muse_wavecal")
    assert choice(arc, "LINE_CATALOG").product == new
    assert refusal(arc, "old").reason == "valid until 2026-10-22, before the data"
    assert refusal(arc, "future").reason == "valid from 2026-11-11, after the data"


def static_lines(name, day, **values):
    return dataclasses.replace(LINES, id=f"/cal/{name}.fits", valid_from=NIGHT + day, **values)


def test_the_newest_static_calibration_wins_and_says_so_whatever_the_names():
    first = static_lines("a", -100)
    newest = static_lines("z", -10)
    letter = static_lines("b", -10, version="261022A")
    later_letter = static_lines("y", -10, version="261022B")
    arc = only(make_plan(small_night(), [first, newest, letter, later_letter]), "muse_wavecal")
    taken = choice(arc, "LINE_CATALOG")
    assert taken.product == later_letter
    assert taken.reason == "LINE_CATALOG y.fits, valid from 2026-10-22, newer than b.fits, rule lines-1"
    assert refusal(arc, first.id).reason == "valid from 2026-07-24; y.fits is newer, valid from 2026-10-22"
    assert {refusal(arc, item.id).code for item in (first, newest, letter)} == {"older_static"}


def test_of_one_version_the_better_one_wins_then_the_first_name():
    packed, plain = static_lines("a.fits", -10), static_lines("a", -10)
    poor = static_lines("0", -10, quality=Quality.PROVISIONAL)
    arc = only(make_plan(small_night(), [packed, poor, plain]), "muse_wavecal")
    assert choice(arc, "LINE_CATALOG").product == plain
    assert choice(arc, "LINE_CATALOG").reason == "LINE_CATALOG a.fits, valid from 2026-10-22, rule lines-1"
    assert refusal(arc, poor.id).reason == "provisional, while a.fits is certified and as new"
    assert refusal(arc, packed.id).reason == "valid from 2026-10-22, as a.fits, which comes first by name"


def test_a_static_calibration_is_the_last_resort_of_a_tag_that_is_made_night_by_night():
    older, newer = (static_lines(name, day, tag="TRACE_TABLE") for name, day in (("z", -3000), ("a", -2000)))
    frames = small_night()
    arc = only(make_plan(frames, [LINES, older, newer]), "muse_wavecal")
    assert choice(arc, "TRACE_TABLE").product.origin is Origin.PLANNED
    assert refusal(arc, newer.id).reason == "level 3, the chosen has level 0"

    without_flats = [frame for frame in frames if frame.tag != "FLAT"]
    arc = only(make_plan(without_flats, [LINES, older, newer]), "muse_wavecal")
    taken = choice(arc, "TRACE_TABLE")
    assert taken.product == newer
    assert taken.reason.endswith(f"{newer.id[5:]}, valid from 2021-05-11, newer than z.fits, level 3, rule trace-1")
    assert refusal(arc, older.id).code == "older_static"

    future = static_lines("later", 10, tag="TRACE_TABLE")
    arc = only(make_plan(without_flats, [LINES, future]), "muse_wavecal")
    assert refusal(arc, future.id).reason == "valid from 2026-11-11, after the data"


def test_optional_inputs_and_recipes_are_used_on_request():
    usual = make_plan(small_night(), [LINES])
    assert "MASTER_DARK not used: only on request" in only(usual, "muse_flat").notes
    options = PlanOptions(Request(with_roles=frozenset({"MASTER_DARK"}), with_recipes=frozenset({"muse_lsf"})))
    plan = make_plan(small_night(), [LINES], options)
    assert choice(only(plan, "muse_flat"), "MASTER_DARK").product.origin is Origin.PLANNED
    lsf = only(plan, "muse_lsf")
    assert only(plan, "muse_wavecal").key in lsf.planned_inputs


def test_the_existing_product_of_a_planned_block_takes_its_place_without_changing_signatures():
    plan = make_plan(small_night(), [LINES])
    bias = only(plan, "muse_bias")
    made = master("MASTER_BIAS", bias.mjd, block=bias.key, signature=bias.signature)
    later = make_plan(small_night(), [LINES, made])
    taken = choice(only(later, "muse_flat"), "MASTER_BIAS").product
    assert (taken.id, taken.origin, taken.quality) == (made.id, Origin.PRODUCT, made.quality)
    assert [b.signature for b in later.blocks] == [b.signature for b in plan.blocks]


def test_a_late_frame_supersedes_the_master_and_all_that_follows():
    plan = make_plan(small_night(), [LINES])
    bias = only(plan, "muse_bias")
    made = master("MASTER_BIAS", bias.mjd, block=bias.key, signature=bias.signature)
    late = frames("BIAS", NIGHT + 0.40, 4)[3:]
    later = make_plan([*small_night(), *late], [LINES, made])
    assert [b.key for b in later.blocks] == [b.key for b in plan.blocks]
    assert not {b.signature for b in later.blocks} & {b.signature for b in plan.blocks}
    flat = only(later, "muse_flat")
    assert choice(flat, "MASTER_BIAS").product.origin is Origin.PLANNED
    assert refusal(flat, made.id).code == "superseded"


@pytest.mark.parametrize(
    "change",
    [
        {"versions": {"muse_bias": "2"}},
        {"parameters": {"muse_bias": {"combine": "median"}}},
    ],
)
def test_what_changes_the_result_changes_the_signature(change):
    base = make_plan(small_night())
    other = make_plan(small_night(), options=PlanOptions(**change))
    assert only(base, "muse_bias").signature != only(other, "muse_bias").signature
    # and with it, through the planned master, that of everything made from it
    assert only(base, "muse_flat").signature != only(other, "muse_flat").signature


def test_each_ifu_is_reduced_from_the_frames_that_have_it():
    data = [*frames("BIAS", NIGHT, 3, start="t"), *frames("BIAS", NIGHT + 0.01, 2, start="t", units=(2, 3))]
    bias = only(make_plan(data), "muse_bias")
    assert bias.units == (1, 2)
    assert bias.notes == (
        "IFU 1 not in all frames: reduced from those that have it",
        "IFU 3 left out: in too few frames",
    )


def test_a_calibration_that_lacks_few_ifus_serves_the_others():
    old = frames("BIAS", NIGHT - 20, 3, start="old", units=tuple(range(1, 25)))
    new = frames("BIAS", NIGHT, 3, start="new", units=tuple(range(1, 24)))
    flats = frames("FLAT", NIGHT + 0.1, 3, start="flats", units=tuple(range(1, 25)))
    flat = only(make_plan([*old, *new, *flats]), "muse_flat")
    assert flat.units == tuple(range(1, 25))
    assert [choice.product.units for choice in flat.inputs if choice.role == "MASTER_BIAS"] == [tuple(range(1, 24))]


def test_a_calibration_that_has_few_ifus_does_not_stand_before_one_that_has_all():
    old = frames("BIAS", NIGHT - 20, 3, start="old", units=(1, 2, 3, 4))
    new = frames("BIAS", NIGHT, 3, start="new", units=(1,))
    flats = frames("FLAT", NIGHT + 0.1, 3, start="flats", units=(1, 2, 3, 4))
    flat = only(make_plan([*old, *new, *flats]), "muse_flat")
    assert [choice.product.units for choice in flat.inputs if choice.role == "MASTER_BIAS"] == [(1, 2, 3, 4)]


def test_frames_without_template_start_stay_alone():
    data = [dataclasses.replace(frame, tpl_start="") for frame in frames("BIAS", NIGHT, 3)]
    plan = make_plan(data)
    assert [len(b.frames) for b in plan.blocks] == [1, 1, 1]
    assert len({b.key for b in plan.blocks}) == 3


def test_many_candidates_are_counted_not_lost():
    many = [master("MASTER_BIAS", NIGHT - 0.1 * i) for i in range(1, 400)]
    flat = only(make_plan(frames("FLAT", NIGHT, 3), many), "muse_flat")
    named = [r for r in flat.refusals if r.role == "MASTER_BIAS"]
    assert len(named) + dict(flat.omitted)["MASTER_BIAS"] + 1 == len(many)


def test_an_explanation_names_every_decision():
    far = master("MASTER_BIAS", NIGHT - 40)
    plan = make_plan([*small_night(), *frames("ILLUM", NIGHT, 2)], [LINES, far])
    explanation = explain(plan)
    assert explanation.data["summary"] == {"blocks": 4, "ready": 1, "waiting": 3}
    assert "not processed: 2 ILLUM frames: used together" in explanation.text
    arc = explanation.data["blocks"][-1]
    assert [entry["role"] for entry in arc["inputs"]] == ["MASTER_BIAS", "TRACE_TABLE", "LINE_CATALOG"]
    assert arc["refused"][0]["code"] == "window"
    assert block_text(plan.blocks[-1], plan.blocks[-1].state.value) in explanation.text


SETUPS = st.sampled_from([NOAO, EXTENDED, AO, SETUP.of_values({"readout": "2"})])
TAGS = st.sampled_from(["BIAS", "DARK", "FLAT", "ARC", "STD"])
GROUPS = st.lists(
    st.tuples(TAGS, st.integers(0, 400), st.integers(1, 5), SETUPS, st.booleans()), min_size=1, max_size=12
)
MASTERS = st.lists(
    st.tuples(
        st.sampled_from(["MASTER_BIAS", "TRACE_TABLE", "MASTER_FLAT", "LINE_CATALOG"]),
        st.integers(-300, 700),
        SETUPS,
        st.sampled_from(list(Quality)),
    ),
    max_size=15,
)


@settings(max_examples=60, deadline=None)
@given(groups=GROUPS, masters=MASTERS, seed=st.integers(0, 2**16))
def test_a_plan_does_not_depend_on_the_order_of_its_input(groups, masters, seed):
    raws = [
        frame
        for tag, hour, number, setup, template in groups
        for frame in frames(
            tag, NIGHT + hour / 24, number, setup, start=f"t{hour % 3}" if template else None, lamps=ARC_LAMPS
        )
    ]
    calibrations = [
        master(tag, NIGHT + hour / 24, f"{tag} {hour}", setup, quality) for tag, hour, setup, quality in masters
    ]
    shuffled_raws, shuffled_masters = list(raws), list(calibrations)
    generator = random.Random(seed)
    generator.shuffle(shuffled_raws)
    generator.shuffle(shuffled_masters)
    plan, other = make_plan(raws, calibrations), make_plan(shuffled_raws, shuffled_masters)
    assert plan == other
    assert explain(plan) == explain(other)
    # every frame is in a block or listed as not processed
    placed = {frame for block in plan.blocks for frame in block.frames} | {n.frame for n in plan.not_processed}
    assert placed == {frame.id for frame in raws}
    # nothing incomplete is used, and nothing rejected
    states = {block.key: block.state for block in plan.blocks}
    for block in plan.blocks:
        for used in block.inputs:
            assert used.product.quality is not Quality.REJECTED
            assert states.get(used.product.block) is not BlockState.INCOMPLETE


KEYWORD_CASES = [
    ({"INS.MODE": "WFM-AO-N", "INS.OPTI1.NAME": "Blue-Na2", "INS.OPTI2.NAME": "WFM", "DET.READ.CURID": 1}, AO),
    ({"INS.MODE": "WFM-NONAO-N", "INS.OPTI1.NAME": "Blue", "DET.BINX": 1, "DET.BINY": 1}, NOAO),
    ({"INS.MODE": "WFM-NOAO-E", "INS.OPTI1.NAME": "Clear"}, EXTENDED),
    ({"INS.MODE": "WFM-NOAO-E"}, EXTENDED),
    ({}, NOAO),
    ({"INS.MODE": "NFM-AO-N", "DET.READ.CURID": "3"}, SETUP.of_values({"mode": "NFM-AO-N", "readout": "3"})),
]


@pytest.mark.parametrize(("keywords", "setup"), KEYWORD_CASES)
def test_the_setup_is_read_from_keywords(keywords, setup):
    assert SETUP.of_keywords(keywords) == setup


def test_a_match_key_that_the_instrument_does_not_have_fails_when_the_plan_is_made():
    with pytest.raises(ValueError, match="X is matched by colour, which is no set-up key of MUSE"):
        dataclasses.replace(RULES, masters=(MasterSource("X", "x-1", ("colour",)),))


def test_the_rule_tables_are_consistent():
    sources = {source.tag for source in RULES.masters}
    made: set[str] = set()
    for task in RULES.tasks:
        assert task.minimum >= 1
        for role in task.inputs:
            assert role.tag in sources
            # a task uses only what earlier ones make
            assert RULES.master(role.tag).static or role.tag in made or role.tag in dict(RULES.without_task)
        made |= set(task.products)
    changed = dataclasses.replace(RULES, without_task=(), _hash={})
    assert changed.version != RULES.version
