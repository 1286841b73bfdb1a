"""The calibration plan of MUSE from pixel tables to the cube of an observation block, and both policies of choosing."""

from __future__ import annotations

import dataclasses
from functools import partial

import pytest

from core.cascade.explain import block_text
from core.cascade.model import BlockPlan, BlockState, FrameInfo, Origin, Plan, ProductInfo, Quality, Request
from core.cascade.plan import PlanOptions, make_plan
from core.instruments.muse.setup import SETUP
from core.instruments.plans import calibration_plan
from core.instruments.setup import Setup

RULES = calibration_plan("MUSE")
STANDARD = RULES.under("standard")
NOAO, EXTENDED, AO, NARROW = (
    SETUP.of_values({"mode": mode}) for mode in ("WFM-NOAO-N", "WFM-NOAO-E", "WFM-AO-N", "NFM-AO-N")
)
NIGHT = 61345.0  # 2026-11-01T00:00 UTC
STATIC = (
    "GEOMETRY_TABLE", "ASTROMETRY_WCS", "EXTINCT_TABLE", "STD_FLUX_TABLE", "SKY_LINES", "RAMAN_LINES", "LSF_PROFILE",
    "FILTER_LIST", "ASTROMETRY_REFERENCE",
)  # fmt: skip
MASTERS = ("MASTER_BIAS", "MASTER_FLAT", "TRACE_TABLE", "WAVECAL_TABLE", "TWILIGHT_CUBE")


def frame(tag: str, hours: float, setup: Setup = NOAO, **values: object) -> FrameInfo:
    usual: dict[str, object] = {
        "id": f"MUSE.{tag}.{hours:05.2f}.{setup.get('mode')}",
        "tag": tag,
        "setup": setup,
        "mjd_mid": NIGHT + hours / 24,
        "tpl_start": f"{tag}.{hours}",
        "units": (1, 2),
        "night": "2026-10-31",
        "obs": "1001" if tag in ("OBJECT", "SKY") else "9000",
        "target": {"OBJECT": "NGC 1", "SKY": "SKY"}.get(tag, "other"),
    }
    return FrameInfo(**(usual | values))  # type: ignore[arg-type]


def statics(*without: str) -> list[ProductInfo]:
    fixed = (
        ProductInfo(f"{tag}.fits", tag, origin=Origin.STATIC, quality=Quality.CERTIFIED, digest=tag, pair="p")
        for tag in STATIC
    )
    return [product for product in fixed if product.tag not in without]


def made(tag: str, days: float = 0.4, setup: Setup = NOAO, **values: object) -> ProductInfo:
    name = f"{tag}{days:+g}{'' if setup == NOAO else setup.get('mode')}"
    product = ProductInfo(name, tag, NIGHT + days, setup, units=(1, 2), digest=name)
    return dataclasses.replace(product, **values)  # type: ignore[arg-type]


def masters(setup: Setup = NOAO, *, quality: Quality = Quality.PROVISIONAL) -> list[ProductInfo]:
    return [made(tag, setup=setup, quality=quality) for tag in MASTERS]


def plan(frames: list[FrameInfo], products: list[ProductInfo] | None = None, rules: object = RULES) -> Plan:
    known = [*masters(), *statics()] if products is None else products
    return make_plan(rules, frames, known)  # type: ignore[arg-type]


def of(found: Plan, recipe: str) -> list[BlockPlan]:
    return [block for block in found.blocks if block.recipe == recipe]


def chosen(block: BlockPlan, role: str) -> list[str]:
    return [choice.product.id for choice in block.inputs if choice.role == role]


OBJECTS = [frame("OBJECT", 3.0 + k / 4) for k in range(3)]
STD = frame("STD", 1.0)


def test_a_science_block_goes_from_raw_frames_to_the_cube_of_its_observation_block() -> None:
    found = plan([STD, frame("SKY", 3.1), *OBJECTS])
    assert found.not_processed == ()
    recipes = [block.recipe for block in found.blocks if not block.frames]
    assert recipes == ["muse_standard", "muse_create_sky", *3 * ["muse_scipost"], "muse_exp_align", "muse_exp_combine"]
    assert all(not block.missing for block in found.blocks)
    (standard,), (sky,), (align,), (combine,) = (
        of(found, name) for name in ("muse_standard", "muse_create_sky", "muse_exp_align", "muse_exp_combine")
    )
    for post in of(found, "muse_scipost"):
        assert chosen(post, "STD_RESPONSE") == [f"{standard.key}/STD_RESPONSE"]
        assert chosen(post, "STD_TELLURIC") == [f"{standard.key}/STD_TELLURIC"]
        assert chosen(post, "SKY_CONTINUUM") == [f"{sky.key}/SKY_CONTINUUM"]
        assert chosen(post, "ASTROMETRY_WCS") == ["ASTROMETRY_WCS.fits"]
        assert "STD_RESPONSE of 2026-11-01T01:00, 2." in block_text(post, "waiting")
    assert [choice.role for choice in align.inputs] == 3 * ["IMAGE_FOV"]
    assert [choice.role for choice in combine.inputs] == [*3 * ["PIXTABLE_REDUCED"], "OFFSET_LIST", "FILTER_LIST"]
    assert chosen(combine, "OFFSET_LIST") == [f"{align.key}/OFFSET_LIST"]
    assert combine.products == ("DATACUBE_FINAL", "IMAGE_FOV")


def test_one_exposure_alone_is_neither_aligned_nor_combined() -> None:
    assert {block.recipe for block in plan([STD, OBJECTS[0]]).blocks} == {
        "muse_scibasic", "muse_standard", "muse_scipost",
    }  # fmt: skip


def test_a_missing_standard_is_told_with_reasons() -> None:
    found = plan([OBJECTS[0], frame("STD", 1.0, EXTENDED)], [*masters(), *masters(EXTENDED), *statics()])
    (post,) = of(found, "muse_scipost")
    assert post.state is BlockState.INCOMPLETE
    (lack,) = post.missing
    assert (lack.role, lack.code) == ("STD_RESPONSE", "mode")
    assert "WFM-NOAO-E" in lack.reason
    alone = of(plan([OBJECTS[0]]), "muse_scipost")[0]
    assert alone.missing[0].reason == "no STD_RESPONSE within 30.0 d is known or planned"


def test_what_the_standard_star_lacks_is_told_to_all_that_wait_for_it() -> None:
    found = plan([STD, *OBJECTS], [*masters(), *statics("STD_FLUX_TABLE")])
    assert of(found, "muse_standard")[0].missing[0].reason == "no STD_FLUX_TABLE is known"
    for post in of(found, "muse_scipost"):
        assert "STD_FLUX_TABLE" in post.missing[0].reason
    assert "STD_FLUX_TABLE" in of(found, "muse_exp_combine")[0].missing[0].reason


@pytest.mark.parametrize(("setup", "lasers"), [(AO, 1), (NARROW, 1), (NOAO, 0)])
def test_set_ups_are_not_mixed(setup: Setup, lasers: int) -> None:
    """Each exposure has the standard star of its own mode; the light of lasers is taken out where there are lasers."""
    modes = (NOAO, AO, NARROW)
    frames = [
        frame(tag, hour, mode) for mode in modes for tag, hour in (("STD", 1.0), ("OBJECT", 3.0), ("OBJECT", 3.5))
    ]
    of_modes = [product for mode in modes for product in (*masters(mode), made("LSF_PROFILE", 0.3, mode))]
    found = plan(frames, [*statics("LSF_PROFILE", "ASTROMETRY_WCS"), *of_modes])
    for post in of(found, "muse_scipost"):
        if post.setup == setup:
            (response,) = [choice.product for choice in post.inputs if choice.role == "STD_RESPONSE"]
            assert response.setup == setup
            assert len(chosen(post, "RAMAN_LINES")) == lasers
    for combine in of(found, "muse_exp_combine"):
        assert {choice.product.setup for choice in combine.inputs if choice.role != "FILTER_LIST"} == {combine.setup}
    assert len(of(found, "muse_exp_combine")) == 3


def test_the_sky_is_that_of_the_closest_exposure_of_empty_sky_of_the_observation_block() -> None:
    skies = [frame("SKY", 2.9), frame("SKY", 3.6), frame("SKY", 3.3, obs="1002")]
    found = plan([STD, *skies, *OBJECTS])
    blocks = {block.inputs[0].product.mjd: block for block in of(found, "muse_create_sky")}
    near = [min((2.9, 3.6), key=lambda hours, k=k: abs(3.0 + k / 4 - hours)) for k in range(3)]  # type: ignore[misc]
    for post, hours in zip(of(found, "muse_scipost"), near, strict=True):
        (choice,) = chosen(post, "SKY_CONTINUUM")
        assert choice == f"{blocks[NIGHT + hours / 24].key}/SKY_CONTINUUM"
        codes = {refusal.code for refusal in post.refusals if refusal.role == "SKY_CONTINUUM"}
        assert codes == {"ob", "farther"}


def test_without_exposures_of_empty_sky_the_sky_is_that_of_the_exposure_itself() -> None:
    """The continuum that was found in another exposure of the target is none that could be subtracted."""
    of_another = made("SKY_CONTINUUM", 3.2 / 24, recipe="muse_scipost", night="2026-10-31", obs="1001", block="b")
    for products in ([], [of_another]):
        post = of(plan([STD, *OBJECTS], [*masters(), *statics(), *products]), "muse_scipost")[0]
        assert not post.missing
        assert chosen(post, "SKY_CONTINUUM") == []
        assert all(refusal.role != "SKY_CONTINUUM" for refusal in post.refusals)


def test_an_exposure_that_fails_is_left_out_and_the_blocks_say_so() -> None:
    lost = of(plan([STD, *OBJECTS]), "muse_scipost")[1]
    options = PlanOptions(failed={lost.signature: "no star is seen"})
    found = make_plan(RULES, [STD, *OBJECTS], [*masters(), *statics()], options)
    (align,), (combine,) = of(found, "muse_exp_align"), of(found, "muse_exp_combine")
    assert len(align.inputs) == 2
    assert len(chosen(combine, "PIXTABLE_REDUCED")) == 2
    note = f"1 of 3 PIXTABLE_REDUCED left out: {lost.key}/PIXTABLE_REDUCED: block {lost.key} failed: no star is seen"
    assert note in combine.notes


def test_exposures_that_cannot_be_aligned_are_combined_as_they_point_and_the_block_says_so() -> None:
    align = of(plan([STD, *OBJECTS]), "muse_exp_align")[0]
    options = PlanOptions(failed={align.signature: "all images are dark"})
    (combine,) = of(make_plan(RULES, [STD, *OBJECTS], [*masters(), *statics()], options), "muse_exp_combine")
    assert not combine.missing
    assert (
        f"without OFFSET_LIST: {align.key}/OFFSET_LIST: block {align.key} failed: all images are dark" in combine.notes
    )


def test_throughput_is_measured_from_technical_flats() -> None:
    flats = [frame("AMPL", 12.0 + k / 60, tpl_start="t") for k in range(3)]
    (block,) = plan(flats).blocks
    assert (block.recipe, block.state) == ("muse_ampl", BlockState.READY)
    assert chosen(block, "FILTER_LIST") == ["FILTER_LIST.fits"]


def test_gains_are_measured_on_request_from_lamps_on_and_off() -> None:
    off, on = ([frame(tag, hours + k / 60, tpl_start=tag) for k in range(2)] for tag, hours in (
        ("LINGAIN_LAMP_OFF", 11.0), ("LINGAIN_LAMP_ON", 11.2)))  # fmt: skip
    assert "only on request" in plan([*off, *on]).not_processed[0].reason
    options = PlanOptions(request=Request(with_recipes=frozenset({"muse_lingain"})))
    (block,) = make_plan(RULES, [*off, *on], [*masters(), *statics()], options).blocks
    assert block.state is BlockState.READY
    assert chosen(block, "LINGAIN_LAMP_OFF") == [entry.id for entry in reversed(off)]


# -- policies ---------------------------------------------------------------------------------------------------------
TONIGHT = partial(made, quality=Quality.PROVISIONAL)
SOLUTION = partial(made, days=-120.0, quality=Quality.CERTIFIED)


def test_closest_in_time_takes_the_night_and_standard_solutions_what_is_certified_and_old() -> None:
    solutions = [SOLUTION(tag) for tag in (*MASTERS, "STD_RESPONSE", "STD_TELLURIC", "LSF_PROFILE")]
    known = [*masters(), *statics("LSF_PROFILE"), made("LSF_PROFILE"), *solutions]
    for rules, response, flat in (
        (RULES, "muse_standard-", "MASTER_FLAT+0.4"),
        (STANDARD, "STD_RESPONSE-120", "MASTER_FLAT-120"),
    ):
        found = plan([STD, *OBJECTS], known, rules)
        basic = next(block for block in found.blocks if block.tag == "OBJECT")
        post = of(found, "muse_scipost")[0]
        assert chosen(basic, "MASTER_FLAT") == [flat]
        assert chosen(post, "STD_RESPONSE")[0].startswith(response)
    (response_,) = [choice for choice in post.inputs if choice.role == "STD_RESPONSE"]
    assert response_.reason == ("STD_RESPONSE of 2026-07-04T00:00, 120.1 d before, level 1, rule response-1, certified")
    assert {r.code for r in post.refusals if r.role == "STD_RESPONSE"} == {"no_standard"}
    assert {r.code for r in basic.refusals if r.role == "MASTER_FLAT"} == {"no_standard"}


def test_calibrations_themselves_follow_the_cascade_under_both_policies() -> None:
    known = [*masters(), *statics(), SOLUTION("MASTER_FLAT")]
    for rules in (RULES, STANDARD):
        (basic,) = [block for block in plan([STD], known, rules).blocks if block.tag == "STD"]
        assert chosen(basic, "MASTER_FLAT") == ["MASTER_FLAT+0.4"]


def test_without_a_solution_the_block_says_what_a_solution_is() -> None:
    (basic,) = [block for block in plan([OBJECTS[0]], None, STANDARD).blocks if block.tag == "OBJECT"]
    assert basic.state is BlockState.INCOMPLETE
    reason = next(lack.reason for lack in basic.missing if lack.role == "MASTER_FLAT")
    assert reason.endswith("provisional: a standard solution is certified by a person, or delivered")
    younger = [made(tag, quality=Quality.CERTIFIED) for tag in MASTERS]
    (basic,) = [b for b in plan([OBJECTS[0]], [*younger, *statics()], STANDARD).blocks if b.tag == "OBJECT"]
    assert {lack.code for lack in basic.missing} == {"younger"}


def test_a_policy_moves_the_blocks_that_it_holds_for_and_no_other() -> None:
    solutions = [SOLUTION(tag) for tag in (*MASTERS, "STD_RESPONSE")]
    known = [*masters(), *statics(), *solutions]
    frames = [STD, *OBJECTS, *(frame("BIAS", 10.0 + k / 60, tpl_start="b") for k in range(3))]
    before, after = ({b.key: b.signature for b in plan(frames, known, rules).blocks} for rules in (RULES, STANDARD))
    same = [key for key, signature in before.items() if after[key] == signature]
    kept = ("muse_bias-", "muse_scibasic_std-", "muse_standard-")
    assert len(same) == 3
    assert all(key.startswith(kept) for key in same)
    assert RULES.under("closest") is RULES


def test_an_exposure_does_not_wait_for_the_others_of_its_template():
    first = frame("OBJECT", 2.0, tpl_nexp=2)
    plan = make_plan(RULES, [first], [*masters(), *statics()], options=PlanOptions(fresh=frozenset({first.id})))
    (reduced,) = [block for block in plan.blocks if block.recipe == "muse_scibasic"]
    assert (reduced.state, reduced.missing) == (BlockState.READY, ())
