"""Blocks that start from products and take raw frames, in the archive: stored, made ready in turn, given to recipes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from core.archive.candidates import planning_frames, planning_products
from core.archive.finishing import finish_block
from core.archive.leases import claim_work
from core.archive.models import Block, BlockInput
from core.archive.planning import SavedPlan, save_plan
from core.archive.queries import block_task
from core.archive.records import BlockResult, Work
from core.archive.sessions import Archive
from core.archive.signing import sign_anew
from core.archive.states import BlockState, InputKind
from core.cascade.plan import make_plan
from core.instruments.muse.setup import SETUP, UNITS
from core.instruments.rules import GroupBy, InputRule, MasterSource, RawSource, Rules, Task

NIGHT = date(2026, 11, 1)
WINDOW = ((1.0, 0),)
TOY = Rules(
    setup=SETUP,
    units=UNITS,
    raws=(RawSource("OBJECT"),),
    masters=(
        MasterSource("ILLUM", "illum-1", ("field",), WINDOW, kelvins=((1.0, 0), (3.0, 1))),
        MasterSource("OFFSET_LIST", "offsets-1", ("observation",), WINDOW),
    ),
    tasks=(
        Task("scibasic", "OBJECT", (InputRule("ILLUM"),), ("PIXTABLE_OBJECT",), group_by=GroupBy.EXPOSURE),
        Task("scipost", "PIXTABLE_OBJECT", (), ("IMAGE_FOV", "PIXTABLE_REDUCED"), group_by=GroupBy.EXPOSURE),
        Task("align", "IMAGE_FOV", (), ("OFFSET_LIST",), group_by=GroupBy.OBSERVATION, minimum=2),
        Task("combine", "PIXTABLE_REDUCED", (InputRule("OFFSET_LIST"),), ("CUBE",), group_by=GroupBy.OBSERVATION),
    ),
)
TAKEN = ((0, "ILLUM", 12.0), (5, "OBJECT", 12.1), (60, "ILLUM", 10.0), (65, "OBJECT", 10.1))
VERSIONS = {task.recipe: "1" for task in TOY.tasks}
SPANS = dict.fromkeys(("PIXTABLE_OBJECT", "IMAGE_FOV", "PIXTABLE_REDUCED", "OFFSET_LIST"), (61340.0, 61350.0))


@pytest.fixture
def night(archive: Archive, add_frame: Callable[..., int]) -> Archive:
    """Two exposures of an observation block, with an illumination flat before each."""
    for minute, tag, temperature in (
        (0, "ILLUM", 12.0),
        (5, "OBJECT", 12.1),
        (60, "ILLUM", 10.0),
        (65, "OBJECT", 10.1),
    ):
        moment = datetime(2026, 11, 2, 2, tzinfo=UTC) + timedelta(minutes=minute)
        mjd = (moment - datetime(1858, 11, 17, tzinfo=UTC)) / timedelta(days=1)
        add_frame(
            f"MUSE.{tag}.{minute:02d}", tag=tag, date_obs=moment, mjd_obs=mjd, mjd_mid=mjd, tpl_nexp=1,
            obs_id=1001, object="NGC 1", ambient_temp=temperature,
        )  # fmt: skip
    return archive


def save(archive: Archive) -> SavedPlan:
    with archive.read() as session:
        plan = make_plan(TOY, planning_frames(session, NIGHT, NIGHT), planning_products(session, SPANS))
    with archive.write() as session:
        return save_plan(session, plan, recipe_versions=VERSIONS)


def blocks(archive: Archive, recipe: str) -> list[Block]:
    with archive.read() as session:
        query = select(Block).where(Block.recipe == recipe, Block.state != BlockState.SUPERSEDED)
        return list(session.scalars(query.order_by(Block.mjd_mid)))


def do(archive: Archive, block: Block, new_product: Any) -> None:
    """Pretend that a block was executed; pixel tables are one a unit, all else one file."""
    (task,) = [task for task in TOY.tasks if task.recipe == block.recipe]
    made = tuple(
        new_product(f"/p/{block.name}/{tag}-{unit}.fits", tag=tag, unit=unit, mjd_mid=block.mjd_mid)
        for tag in task.products
        for unit in ((1, 2) if tag.startswith("PIXTABLE") else (None,))
    )
    with archive.write() as session:
        assert claim_work(session, Work(block.id), owner="w", lease_seconds=60)
        finish_block(session, Work(block.id), BlockResult(made, signature=block.signature), owner="w")


def test_a_raw_frame_is_stored_as_an_input_with_its_reason_and_given_to_the_recipe(night: Archive) -> None:
    save(night)
    first, second = blocks(night, "scibasic")
    with night.read() as session:
        row = session.scalars(
            select(BlockInput).where(BlockInput.block_id == second.id, BlockInput.role == "ILLUM")
        ).one()
        refused = [entry["code"] for entry in row.refused]
        files = [(file.tag, file.path) for file in block_task(session, second.id).raws]
    assert (row.kind, row.level, row.rule) == (InputKind.RAW, 0, "illum-1")
    assert "0.1 K colder" in row.reason
    assert refused == ["level"]
    assert files == [("OBJECT", "/raw/MUSE.OBJECT.65.fits"), ("ILLUM", "/raw/MUSE.ILLUM.60.fits")]
    assert (first.n_raw, second.state) == (1, BlockState.READY)


def test_blocks_of_an_observation_become_ready_one_after_the_other(night: Archive, new_product: Any) -> None:
    saved = save(night)
    assert len(saved.created) == 6
    for recipe in ("scibasic", "scipost", "align", "combine"):
        for later in ("scipost", "align", "combine")[("scibasic", "scipost", "align", "combine").index(recipe) :]:
            assert {block.state for block in blocks(night, later)} == {BlockState.WAITING}
        for block in blocks(night, recipe):
            assert block.state is BlockState.READY
            do(night, block, new_product)
    (combine,) = blocks(night, "combine")
    assert combine.state is BlockState.DONE
    with night.read() as session:
        task = block_task(session, combine.id)
    assert task.raws == ()
    assert [(file.tag, file.unit) for file in task.calibrations] == [
        *2 * [("PIXTABLE_REDUCED", 1), ("PIXTABLE_REDUCED", 2)],
        ("OFFSET_LIST", None),
    ]


def test_planning_again_changes_nothing_whatever_is_done(night: Archive, new_product: Any) -> None:
    save(night)
    for recipe in ("scibasic", "scipost", "align", "combine"):
        again = save(night)
        assert (len(again.unchanged), again.created, again.changed, again.superseded) == (6, (), (), ())
        for block in blocks(night, recipe):
            do(night, block, new_product)
    assert len(save(night).unchanged) == 6


def test_a_late_exposure_is_combined_with_the_others(
    night: Archive, add_frame: Callable[..., int], new_product: Any
) -> None:
    save(night)
    for recipe in ("scibasic", "scipost", "align", "combine"):
        for block in blocks(night, recipe):
            do(night, block, new_product)
    add_frame("late", tag="OBJECT", mjd_mid=61346.2, tpl_nexp=1, obs_id=1001, object="NGC 1", ambient_temp=10.0,
              date_obs=datetime(2026, 11, 2, 5, tzinfo=UTC))  # fmt: skip
    saved = save(night)
    assert sorted(name.split("-")[0] for name in saved.superseded) == ["align", "combine"]
    assert len(saved.unchanged) == 4


def test_blocks_of_products_and_raw_inputs_are_signed_anew_as_they_are_planned(
    night: Archive, new_product: Any
) -> None:
    save(night)
    for block in (*blocks(night, "scibasic"), blocks(night, "scipost")[0]):
        do(night, block, new_product)
    with night.write() as session:
        session.execute(update(Block).values(signature_scheme=1, plan_signature="old", recipe_version=""))
    assert sign_anew(night, [TOY], {}) == 6
    assert len(save(night).unchanged) == 6
