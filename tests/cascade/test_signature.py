"""Facts about signatures: they say what a block used, and nothing else."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.cascade.model import FrameInfo, Origin, Plan, ProductInfo, Request
from core.cascade.plan import PlanOptions, make_plan
from core.cascade.signature import rules_hash
from core.instruments.muse.setup import SETUP as MUSE
from core.instruments.plans import calibration_plan
from core.instruments.rules import InputRule, MasterSource, RawSource, Rules, Task

RULES = calibration_plan("MUSE")
SETUP = MUSE.of_values({})
LINES = ProductInfo("lines.fits", "LINE_CATALOG", origin=Origin.STATIC, digest="1234")
RECIPES = ("muse_bias", "muse_dark", "muse_flat", "muse_wavecal")


def night(**changes: int) -> list[FrameInfo]:
    """Three frames of each kind; the edition of the first frame of a tag may be given."""
    return [
        FrameInfo(
            id=f"{tag}.{number}",
            tag=tag,
            setup=SETUP,
            mjd_mid=61345.0 + hour / 24 + number / 1440,
            tpl_start=f"t{tag}",
            tpl_nexp=3,
            lamps=(lamp,),
            units=(1, 2),
            night="2026-11-01",
            edition=changes.get(tag, 1) if number == 0 else 1,
        )
        for hour, tag in enumerate(("BIAS", "DARK", "FLAT", "ARC", "ILLUM"))
        for number, lamp in enumerate(("Ne", "Xe", "HgCd"))
    ]


def signatures(plan: Plan) -> dict[str, str]:
    return {block.recipe: block.signature for block in plan.blocks}


def signed(rules: Rules = RULES, options: PlanOptions | None = None, **editions: int) -> dict[str, str]:
    return signatures(make_plan(rules, night(**editions), [LINES], options))


def moved(other: dict[str, str]) -> set[str]:
    base = signed()
    return {recipe for recipe in base if other.get(recipe) != base[recipe]}


def change_master(tag: str, **values: Any) -> Rules:
    masters = tuple(dataclasses.replace(m, **values) if m.tag == tag else m for m in RULES.masters)
    return dataclasses.replace(RULES, masters=masters, _hash={})


WORDS = st.text(max_size=20)
NAMES = st.text("ABCDEFGHIJ_", min_size=3, max_size=8).map(lambda text: f"NEW_{text}")


@st.composite
def other_books(draw: st.DrawFn) -> tuple[str, Rules]:
    """A recipe, and a rule book in which all that is not this recipe's business is another."""
    keep = draw(st.sampled_from(RECIPES))
    needed = set(RECIPES[: RECIPES.index(keep) + 1])  # the recipe and those that make its calibrations
    tasks = [
        dataclasses.replace(task, minimum=draw(st.integers(1, 3)))
        for task in RULES.tasks
        if task.recipe in needed or draw(st.booleans())
    ]
    inputs = {"MASTER_BIAS"} | {role.tag for task in tasks for role in task.inputs}
    mains = {task.main for task in tasks}
    masters = [
        dataclasses.replace(source, rule=draw(WORDS))
        for source in RULES.masters
        if source.tag in inputs or draw(st.booleans())
    ]
    raws = [source for source in RULES.raws if source.tag in mains or draw(st.booleans())]
    for name in draw(st.lists(NAMES, unique=True, max_size=3)):
        raws.insert(draw(st.integers(0, len(raws))), RawSource(name))
        windows = ((draw(st.floats(0.1, 100)), 0),)
        masters.insert(draw(st.integers(0, len(masters))), MasterSource(f"M_{name}", draw(WORDS), (), windows))
        new = Task(f"recipe of {name}", name, (InputRule("MASTER_BIAS"), InputRule(f"M_{name}", 0)), (f"P_{name}",))
        tasks.insert(draw(st.integers(0, len(tasks))), new)
    sentences = tuple((tag, draw(WORDS)) for tag, _ in RULES.without_task if draw(st.booleans()))
    return keep, Rules(MUSE, RULES.units, tuple(raws), tuple(draw(st.permutations(masters))), tuple(tasks), sentences)


@settings(max_examples=150, deadline=None)
@given(other_books())
def test_no_signature_moves_when_other_tasks_sources_and_sentences_come_go_or_are_reworded(
    book: tuple[str, Rules],
) -> None:
    recipe, rules = book
    assert signed(rules)[recipe] == signed()[recipe]


def test_a_changed_bias_window_moves_only_blocks_that_take_a_bias() -> None:
    wider = change_master("MASTER_BIAS", windows=((2.0, 0), (7.0, 1), (30.0, 2)))
    assert moved(signed(wider)) == {"muse_dark", "muse_flat", "muse_wavecal"}


def test_a_changed_window_moves_what_takes_the_calibration_and_what_is_made_from_that() -> None:
    assert moved(signed(change_master("TRACE_TABLE", windows=((2.0, 0),)))) == {"muse_wavecal"}
    assert moved(signed(change_master("MASTER_DARK", windows=((2.0, 0),)))) == set()  # nobody requests a dark
    options = PlanOptions(Request(with_roles=frozenset({"MASTER_DARK"})))
    assert moved(signed(options=options)) == {"muse_flat", "muse_wavecal"}


@pytest.mark.parametrize(
    ("tag", "values"),
    [
        ("MASTER_BIAS", {"match": ("readout",)}),
        ("MASTER_BIAS", {"near": 1.0}),
        ("LINE_CATALOG", {"match": ("units",)}),
    ],
)
def test_what_chooses_an_input_is_signed(tag: str, values: dict[str, Any]) -> None:
    assert "muse_wavecal" in moved(signed(change_master(tag, **values)))
    assert "muse_bias" not in moved(signed(change_master(tag, **values)))


def test_another_edition_of_a_frame_moves_its_block_and_all_that_follows() -> None:
    assert moved(signed(BIAS=2)) == set(RECIPES)
    assert moved(signed(ARC=2)) == {"muse_wavecal"}
    assert moved(signed(ILLUM=2)) == set()


def test_other_content_of_a_file_from_outside_moves_the_blocks_that_use_it() -> None:
    other = dataclasses.replace(LINES, digest="5678")
    assert moved(signatures(make_plan(RULES, night(), [other]))) == {"muse_wavecal"}
    renamed = dataclasses.replace(LINES, id="elsewhere.fits")
    assert moved(signatures(make_plan(RULES, night(), [renamed]))) == set()


def test_the_hash_of_a_decision_is_that_of_the_rules_that_decided() -> None:
    plan = make_plan(RULES, night(), [LINES])
    assert {block.recipe: block.rules_version for block in plan.blocks} == {
        task.recipe: rules_hash(RULES, task, ()) for task in RULES.tasks if task.recipe in RECIPES
    }
    assert len({block.rules_version for block in plan.blocks}) == len(RECIPES)
    assert plan.rules_version == RULES.version
