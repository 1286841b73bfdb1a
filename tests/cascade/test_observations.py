"""Facts about tasks that start from products: a simulated observation block with toy recipes, from raw to combined."""

from __future__ import annotations

import dataclasses
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.cascade.explain import explain
from core.cascade.group import group_frames, slug
from core.cascade.model import BlockPlan, BlockState, FrameInfo, Origin, Plan, ProductInfo, Quality, Request
from core.cascade.plan import PlanOptions, make_plan
from core.instruments.muse.setup import SETUP as MUSE
from core.instruments.muse.setup import UNITS
from core.instruments.rules import OBSERVATION_KEY, UNITS_KEY, GroupBy, InputRule, MasterSource, RawSource, Rules, Task

NIGHT = 61345.0  # 2026-11-01T00:00 UTC
SETUP = MUSE.of_values({})
DAILY = ((1.5, 0), (7.0, 1), (30.0, 2))
EXPOSURE, OBSERVATION = GroupBy.EXPOSURE, GroupBy.OBSERVATION

INSTRUMENTAL = ("MASTER_BIAS", "MASTER_FLAT", "ILLUM", "GEOMETRY_TABLE")

TOY = Rules(
    setup=MUSE,
    units=UNITS,
    raws=(RawSource("BIAS"), RawSource("FLAT"), RawSource("OBJECT"), RawSource("STD"), RawSource("SKY")),
    masters=(
        MasterSource("MASTER_BIAS", "bias-1", ("readout", UNITS_KEY), DAILY),
        MasterSource("MASTER_FLAT", "flat-1", ("mode", UNITS_KEY), DAILY),
        MasterSource("ILLUM", "illum-1", ("field",), ((2 / 24, 0), (8 / 24, 1)), kelvins=((1.0, 0), (3.0, 1))),
        MasterSource("GEOMETRY_TABLE", "geometry-1"),
        MasterSource("ASTROMETRY_WCS", "astrometry-1"),
        MasterSource("STD_RESPONSE", "response-1", ("mode",), DAILY),
        MasterSource("SKY_CONTINUUM", "sky-1", (OBSERVATION_KEY,), ((1.0, 0),)),
        MasterSource("OFFSET_LIST", "offsets-1", (OBSERVATION_KEY,), ((1.0, 0),)),
    ),
    tasks=(
        Task("bias", "BIAS", products=("MASTER_BIAS",), minimum=3),
        Task("flat", "FLAT", (InputRule("MASTER_BIAS"),), ("MASTER_FLAT",), minimum=3),
        *(
            Task(
                "scibasic",
                tag,
                tuple(InputRule(name, int(name != "ILLUM")) for name in INSTRUMENTAL),
                (f"PIXTABLE_{tag}",),
                group_by=EXPOSURE,
                name=f"scibasic_{tag.lower()}",
            )
            for tag in ("STD", "SKY", "OBJECT")
        ),
        Task("standard", "PIXTABLE_STD", products=("STD_RESPONSE",), group_by=EXPOSURE),
        Task("sky", "PIXTABLE_SKY", (InputRule("STD_RESPONSE"),), ("SKY_CONTINUUM",), group_by=EXPOSURE),
        Task(
            "scipost",
            "PIXTABLE_OBJECT",
            (InputRule("STD_RESPONSE"), InputRule("ASTROMETRY_WCS"), InputRule("SKY_CONTINUUM", 0, 5, several=True)),
            ("IMAGE_FOV", "PIXTABLE_REDUCED"),
            group_by=EXPOSURE,
        ),
        Task("exp_align", "IMAGE_FOV", products=("OFFSET_LIST",), group_by=OBSERVATION, minimum=2),
        Task(
            "exp_combine", "PIXTABLE_REDUCED", (InputRule("OFFSET_LIST"),), ("DATACUBE_FINAL",),
            group_by=OBSERVATION, minimum=2,
        ),
    ),
    pairs=(("GEOMETRY_TABLE", "ASTROMETRY_WCS"),),
)  # fmt: skip


def frame(tag: str, hour: float, number: int = 0, **values: object) -> FrameInfo:
    moment = NIGHT + hour / 24 + number / 1440
    usual: dict[str, object] = {
        "id": f"MUSE.{tag}.{hour:.2f}.{number}",
        "tag": tag,
        "setup": SETUP,
        "mjd_mid": moment,
        "tpl_start": f"2026-11-01T{int(hour) % 24:02d}:{round(hour % 1 * 60):02d}:00",
        "units": (1, 2),
        "night": "2026-11-01",
    }
    return FrameInfo(**(usual | values))  # type: ignore[arg-type]


def exposures(count: int = 4, obs: str = "1001", target: str = "NGC 1", hour: float = 2.0) -> list[FrameInfo]:
    """Exposures of an observation block, one every 20 minutes, while it gets colder."""
    return [
        frame("OBJECT", hour + i / 3, obs=obs, target=target, temperature=12.0 - i * 0.4, tpl_start=f"t{obs}")
        for i in range(count)
    ]


def calibrations() -> list[FrameInfo]:
    return [frame(tag, hour, i) for tag, hour in (("BIAS", 10.0), ("FLAT", 10.5)) for i in range(3)]


def on_sky() -> list[FrameInfo]:
    return [
        frame("STD", 1.0, obs="2001", target="GD 71", temperature=12.1),
        frame("ILLUM", 1.9, temperature=12.2),
        frame("ILLUM", 3.6, temperature=10.0),
        frame("SKY", 2.5, obs="1001", target="NGC 1", temperature=11.5),
        *exposures(),
    ]


def static(tag: str, name: str, pair: str = "", valid_from: float = 0.0) -> ProductInfo:
    fixed = ProductInfo(name, tag, origin=Origin.STATIC, quality=Quality.CERTIFIED, digest=name)
    return dataclasses.replace(fixed, pair=pair, valid_from=valid_from)


STATICS = [static("GEOMETRY_TABLE", "geo.fits", "p1"), static("ASTROMETRY_WCS", "wcs.fits", "p1")]


def plan(
    frames: list[FrameInfo], products: list[ProductInfo] | None = None, options: PlanOptions | None = None
) -> Plan:
    return make_plan(TOY, frames, STATICS if products is None else products, options)


def of(found: Plan, recipe: str) -> list[BlockPlan]:
    return [block for block in found.blocks if block.recipe == recipe]


def roles(block: BlockPlan) -> list[str]:
    return [choice.role for choice in block.inputs]


def test_an_observation_block_becomes_the_whole_cascade_from_raw_to_combined() -> None:
    found = plan([*calibrations(), *on_sky()])
    counts = {task.prefix: sum(b.key.startswith(f"{task.prefix}-") for b in found.blocks) for task in TOY.tasks}
    assert counts == {
        "bias": 1, "flat": 1, "scibasic_std": 1, "scibasic_sky": 1, "scibasic_object": 4, "standard": 1, "sky": 1,
        "scipost": 4, "exp_align": 1, "exp_combine": 1,
    }  # fmt: skip
    assert {block.state for block in found.blocks if block.recipe != "bias"} == {BlockState.WAITING}
    assert found.not_processed == ()
    post = of(found, "scipost")[0]
    assert roles(post) == ["PIXTABLE_OBJECT", "STD_RESPONSE", "ASTROMETRY_WCS", "SKY_CONTINUUM"]
    assert post.frames == ()
    (align,), (combine,) = of(found, "exp_align"), of(found, "exp_combine")
    assert roles(align) == 4 * ["IMAGE_FOV"]
    assert align.planned_inputs == tuple(sorted(block.key for block in of(found, "scipost")))
    assert roles(combine) == [*4 * ["PIXTABLE_REDUCED"], "OFFSET_LIST"]
    assert align.key in combine.planned_inputs
    assert align.key == "exp_align-20261101-1001-NGC1_" + slug("NGC 1").partition("_")[2] + "-" + SETUP.slug
    keys = [block.key for block in found.blocks]
    assert len(set(keys)) == len(keys)


def test_each_choice_has_its_reason() -> None:
    found = plan([*calibrations(), *on_sky()])
    first, *_, last = [b for b in of(found, "scibasic") if b.tag == "OBJECT"]
    (illum,) = [c for c in first.inputs if c.role == "ILLUM"]
    assert illum.product.origin is Origin.FRAME
    assert illum.reason == "ILLUM of 2026-11-01T01:54, 0.1 h before, 0.2 K warmer, level 0, rule illum-1, raw frame"
    (other,) = [r for r in first.refusals if r.role == "ILLUM"]
    assert (other.code, other.reason) == ("level", "level 1, the chosen has level 0")
    assert [c.product.id for c in last.inputs if c.role == "ILLUM"] == ["MUSE.ILLUM.3.60.0"]
    assert of(found, "exp_align")[0].inputs[0].reason == (
        "IMAGE_FOV of 2026-11-01T02:00, of the same observation, planned"
    )
    text = explain(found).text
    assert "uses PIXTABLE_REDUCED of 2026-11-01T02:20, of the same observation, planned" in text


def test_temperature_counts_as_time_does() -> None:
    """Half of the closest limit of temperature (0.5 K) is as far as half of that of time (1 h)."""
    data = frame("OBJECT", 3.0, temperature=10.0)
    near_but_warm = frame("ILLUM", 2.8, temperature=10.9)  # 0.2 h + 1.8 h
    far_but_alike = frame("ILLUM", 4.5, temperature=10.1)  # 1.5 h + 0.2 h
    (block,) = of(plan([*calibrations(), data, near_but_warm, far_but_alike]), "scibasic")
    (chosen,) = [c for c in block.inputs if c.role == "ILLUM"]
    assert chosen.product.id == far_but_alike.id
    (refused,) = [r for r in block.refusals if r.role == "ILLUM"]
    assert refused.code == "farther"
    assert refused.reason == (
        "farther in time and temperature than the chosen: 0.2 h before and 0.9 K warmer against "
        "1.5 h after and 0.1 K warmer"
    )


@pytest.mark.parametrize(
    ("temperature", "code", "words"),
    [
        (14.0, "temperature", "4.0 K warmer than the data exceeds the widest limit of 3 K"),
        (None, None, "of unknown temperature, level 1"),
    ],
)
def test_an_illumination_of_another_temperature_is_refused_by_how_much(
    temperature: float | None, code: str | None, words: str
) -> None:
    data = frame("OBJECT", 3.0, temperature=10.0)
    (block,) = of(plan([*calibrations(), data, frame("ILLUM", 2.9, temperature=temperature)]), "scibasic")
    said = [(r.code, r.reason) for r in block.refusals if r.role == "ILLUM"]
    said += [(None, c.reason) for c in block.inputs if c.role == "ILLUM"]
    ((found, reason),) = said
    assert found == code
    assert words in reason


def test_another_edition_of_the_illumination_is_other_work() -> None:
    night = [*calibrations(), *on_sky()]
    again = [dataclasses.replace(f, edition=2) if f.id == "MUSE.ILLUM.1.90.0" else f for f in night]
    before, after = plan(night), plan(again)
    moved = [b.key for a, b in zip(before.blocks, after.blocks, strict=True) if a.signature != b.signature]
    took = {b.key for b in before.blocks for c in b.inputs if c.product.id == "MUSE.ILLUM.1.90.0"}
    assert {key for key in moved if key.startswith("scibasic")} == took
    assert {key for key in moved if key.startswith(("bias", "flat"))} == set()
    assert {b.key for b in of(before, "exp_combine")} < set(moved)


def test_two_targets_of_a_night_are_combined_apart() -> None:
    found = plan([*calibrations(), *on_sky(), *exposures(3, "1001", "NGC 2", 5.0), *exposures(2, "1002", "NGC 1", 7.0)])
    assert [len(b.inputs) for b in of(found, "exp_align")] == [4, 3, 2]
    for block in of(found, "exp_combine"):
        (offsets,) = [c for c in block.inputs if c.role == "OFFSET_LIST"]
        assert (offsets.product.obs, offsets.product.target) == (block.obs, block.target)
        others = [r for r in block.refusals if r.role == "OFFSET_LIST"]
        assert {r.code for r in others} == {"observation"}


def test_an_exposure_that_cannot_be_reduced_is_left_out_of_the_combination_with_the_reason() -> None:
    night = [*calibrations(), *on_sky()]
    lost = of(plan(night), "scipost")[1]
    options = PlanOptions(failed={lost.signature: "no star is in the field"})
    (align,) = of(plan(night, options=options), "exp_align")
    assert len(align.inputs) == 3
    (refusal,) = [r for r in align.refusals if r.role == "IMAGE_FOV"]
    assert (refusal.candidate, refusal.code) == (f"{lost.key}/IMAGE_FOV", "failed")
    assert refusal.reason == f"block {lost.key} failed: no star is in the field"


def test_too_few_products_are_a_state_with_a_reason() -> None:
    (align,) = of(plan([*calibrations(), *on_sky()[:4], *exposures(1)]), "exp_align")
    assert align.state is BlockState.INCOMPLETE
    assert align.missing[0].reason == "1 of at least 2 usable IMAGE_FOV"
    night = [*on_sky()]  # without bias and flat nothing comes of it, and each step says why
    (align,) = of(plan(night), "exp_align")
    assert "0 of at least 2 usable IMAGE_FOV" in align.missing[0].reason
    assert "no MASTER_BIAS" in align.missing[0].reason


def test_products_that_exist_take_their_place_without_changing_signatures() -> None:
    night = [*calibrations(), *on_sky()]
    before = plan(night)
    made = [
        ProductInfo(f"{b.key}/{tag}", tag, b.mjd, b.setup, Quality.PROVISIONAL, Origin.PRODUCT, b.units, block=b.key,
                    signature=b.signature)
        for b in before.blocks
        for tag in b.products
        if b.recipe != "exp_combine"
    ]  # fmt: skip
    after = plan(night, [*STATICS, *made])
    assert [b.signature for b in after.blocks] == [b.signature for b in before.blocks]
    assert {b.state for b in after.blocks} == {BlockState.READY}
    rejected = dataclasses.replace(next(p for p in made if p.tag == "PIXTABLE_REDUCED"), quality=Quality.REJECTED)
    (combine,) = of(plan(night, [*STATICS, *(rejected if p.id == rejected.id else p for p in made)]), "exp_combine")
    assert [r.code for r in combine.refusals] == ["rejected"]
    assert roles(combine) == [*3 * ["PIXTABLE_REDUCED"], "OFFSET_LIST"]


def test_several_of_a_tag_are_taken() -> None:
    sky = [frame("SKY", 2.5 + i / 2, obs="1001", target="NGC 1") for i in range(3)]
    night = [*calibrations(), *(f for f in on_sky() if f.tag != "SKY"), *sky]
    post = of(plan(night), "scipost")[0]
    assert roles(post).count("SKY_CONTINUUM") == 3


# -- what has expired --------------------------------------------------------------------------------------


def made_of(found: Plan, *tags: str) -> list[ProductInfo]:
    """Products of tags as they exist when their blocks are done."""
    return [
        ProductInfo(f"{b.key}/{tag}", tag, b.mjd, b.setup, Quality.PROVISIONAL, Origin.PRODUCT, b.units, block=b.key,
                    signature=b.signature)
        for b in found.blocks
        for tag in b.products
        if tag in tags
    ]  # fmt: skip


EVERY_TAG = tuple(tag for task in TOY.tasks for tag in task.products)


def test_what_expired_moves_no_signature_and_is_waited_for() -> None:
    night = [*calibrations(), *on_sky()]
    before = plan(night)
    made = made_of(before, *EVERY_TAG)
    lost = [dataclasses.replace(p, expired="2026-11-20") if p.tag == "PIXTABLE_OBJECT" else p for p in made]
    after = plan(night, [*STATICS, *lost])
    assert [b.signature for b in after.blocks] == [b.signature for b in before.blocks]
    waiting = {b.recipe for b in after.blocks if b.state is BlockState.WAITING}
    assert waiting == {"scipost"}
    post = of(after, "scipost")[0]
    assert post.planned_inputs == (of(after, "scibasic")[-4].key,)
    assert post.inputs[0].reason.endswith("provisional, expired on 2026-11-20 and made again first")


def test_what_expired_is_as_good_a_choice_as_before() -> None:
    night = [frame("FLAT", 10.5, i) for i in range(3)]
    near, far = (ProductInfo(name, "MASTER_BIAS", NIGHT + hours / 24, SETUP, units=(1, 2), block=name, signature=name)
                 for name, hours in (("near", 10.3), ("far", 11.0)))  # fmt: skip
    for expired in ("", "2026-11-20"):
        (block,) = plan(night, [dataclasses.replace(near, expired=expired), far]).blocks
        assert [c.product.id for c in block.inputs] == ["near"]  # made or to be made


def test_a_block_lacks_what_could_not_be_made_again_and_says_why() -> None:
    night = [*calibrations(), *on_sky()]
    before = plan(night)
    gone = [
        dataclasses.replace(p, expired="2026-11-20", unmade="the frame is gone") if p.tag == "PIXTABLE_STD" else p
        for p in made_of(before, *EVERY_TAG)
    ]
    after = plan(night, [*STATICS, *gone])
    assert [b.signature for b in after.blocks] == [b.signature for b in before.blocks]
    (standard,) = of(after, "standard")
    name = f"{of(after, 'scibasic')[0].key}/PIXTABLE_STD"
    assert standard.state is BlockState.INCOMPLETE
    assert [lack.reason for lack in standard.missing] == [f"{name} expired on 2026-11-20, and the frame is gone"]
    assert {b.state for b in after.blocks if b.recipe != "standard"} == {BlockState.READY}  # what was made of it stays


# -- pairs ------------------------------------------------------------------------------------------------

OLD = [static("GEOMETRY_TABLE", "geo1.fits", "p1"), static("ASTROMETRY_WCS", "wcs1.fits", "p1")]
NEW_WCS = static("ASTROMETRY_WCS", "wcs2.fits", "p2", NIGHT - 1)
NEW_GEO = static("GEOMETRY_TABLE", "geo2.fits", "p2", NIGHT - 1)


@pytest.mark.parametrize("products", list(permutations([*OLD, NEW_WCS])))
def test_the_astrometry_is_that_of_the_geometry_the_pixel_table_was_made_with(products: list[ProductInfo]) -> None:
    post = of(plan([*calibrations(), *on_sky()], list(products)), "scipost")[0]
    assert [c.product.id for c in post.inputs if c.role == "ASTROMETRY_WCS"] == ["wcs1.fits"]
    (refusal,) = [r for r in post.refusals if r.role == "ASTROMETRY_WCS"]
    assert refusal.code == "pair"
    assert refusal.reason == "made with another GEOMETRY_TABLE (p2) than the data (p1)"


def test_the_newest_pair_is_taken_together() -> None:
    found = plan([*calibrations(), *on_sky()], [*OLD, NEW_GEO, NEW_WCS])
    assert {c.product.id for b in found.blocks for c in b.inputs if c.role == "GEOMETRY_TABLE"} == {"geo2.fits"}
    assert {c.product.id for b in found.blocks for c in b.inputs if c.role == "ASTROMETRY_WCS"} == {"wcs2.fits"}


def test_one_block_that_takes_both_takes_a_pair_rather_than_the_newest_of_each() -> None:
    both = Task("both", "OBJECT", (InputRule("GEOMETRY_TABLE"), InputRule("ASTROMETRY_WCS")), ("X",))
    rules = dataclasses.replace(TOY, tasks=(both,), _hash={})
    (block,) = make_plan(rules, exposures(1), [*OLD, NEW_GEO]).blocks
    assert [c.product.id for c in block.inputs] == ["geo1.fits", "wcs1.fits"]
    assert [(r.code, r.reason) for r in block.refusals] == [("pair", "no fitting ASTROMETRY_WCS was made with it")]


# -- requests, windows, names -------------------------------------------------------------------------------


def test_a_recipe_is_requested_for_one_night_only() -> None:
    rules = dataclasses.replace(TOY, tasks=(dataclasses.replace(TOY.tasks[0], asked=True),), _hash={})
    night = [frame("BIAS", 10.0, i) for i in range(3)]
    other = [dataclasses.replace(f, id=f"{f.id}b", night="2026-11-02", tpl_start="later") for f in night]
    options = PlanOptions(of_nights={"2026-11-02": Request(with_recipes=frozenset({"bias"}))})
    assert [b.night for b in make_plan(rules, [*night, *other], options=options).blocks] == ["2026-11-02"]


def test_an_input_may_have_windows_of_its_own() -> None:
    tasks = (Task("flat", "FLAT", (InputRule("MASTER_BIAS", windows=((0.1, 0), (0.2, 3))),), minimum=3),)
    rules = dataclasses.replace(TOY, tasks=tasks, _hash={})
    bias = ProductInfo("b", "MASTER_BIAS", NIGHT + 10.5 / 24 - 0.15, SETUP, units=(1, 2))
    flats = [frame("FLAT", 10.5, i) for i in range(3)]
    (block,) = make_plan(rules, flats, [bias]).blocks
    assert block.inputs[0].level == 3
    (block,) = make_plan(rules, flats, [dataclasses.replace(bias, mjd=NIGHT)]).blocks
    assert block.refusals[0].reason == "10.5 h exceeds the widest window of 4.8 h"


NAMES = st.one_of(
    st.text(min_size=1, max_size=12),
    st.sampled_from(["a b", "a-b", "ab", "2026-11-01T00:00:00", "20261101T000000", "MUSE.2026-11-01T00:00:00.000", ""]),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(NAMES, unique=True, max_size=8))
def test_groups_never_share_a_name(names: list[str]) -> None:
    frames = [dataclasses.replace(frame("OBJECT", 1.0), id=name or "x y", tpl_start="") for name in names]
    groups = group_frames(frames)
    assert len({group.name for group in groups}) == len(groups)
    of_obs = group_frames(
        [dataclasses.replace(f, obs="1", target=name) for f, name in zip(frames, names, strict=True)], OBSERVATION
    )
    assert len({group.name for group in of_obs}) == len(of_obs)


def test_names_of_templates_stay_as_they_were() -> None:
    (group,) = group_frames([frame("BIAS", 10.0)])
    assert group.name == f"20261101T100000-{SETUP.slug}"


def test_two_tasks_of_one_name_are_refused() -> None:
    task = Task("scibasic", "OBJECT")
    with pytest.raises(ValueError, match="two tasks are called scibasic"):
        dataclasses.replace(TOY, tasks=(task, dataclasses.replace(task, main="STD")), _hash={})
