from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from core.archive import finishing, leases, orders
from core.archive.candidates import planning_frames, planning_products
from core.archive.models import Block, BlockInput, Event, Product, setup_columns
from core.archive.planning import SavedPlan, plan_parts, save_plan
from core.archive.records import BlockResult, Work
from core.archive.sessions import Archive
from core.archive.states import BlockState, InputKind, ProductState
from core.cascade.model import Plan
from core.cascade.plan import make_plan
from core.errors import NotFoundError
from core.instruments.muse.setup import SETUP
from core.instruments.plans import calibration_plan

RULES = calibration_plan("MUSE")
SPANS = dict.fromkeys(RULES.input_tags, (61300.0, 61400.0))
Add = Callable[..., int]
NIGHT = date(2026, 11, 1)
VERSIONS = {"muse_bias": "1", "muse_dark": "1", "muse_flat": "1", "muse_wavecal": "1"}


@pytest.fixture
def take(add_frame: Add) -> Callable[..., None]:
    """Adds a template of frames that starts at an hour (UT) of the night."""

    def add(tag: str, hour: float, count: int = 3, lamps: tuple[str, ...] = (), **columns: Any) -> None:
        start = datetime(2026, 11, 1, tzinfo=UTC) + timedelta(hours=hour)
        for number in range(count):
            moment = start + timedelta(seconds=60 * number)
            mjd = (moment - datetime(1858, 11, 17, tzinfo=UTC)) / timedelta(days=1)
            lamp = lamps[number % len(lamps)] if lamps else ""
            values = {
                "tag": tag,
                "date_obs": moment,
                "mjd_obs": mjd,
                "mjd_mid": mjd,
                "tpl_start": start,
                "tpl_nexp": count,
                "lamps": lamp,
                **columns,
            }
            add_frame(f"MUSE.{moment:%Y-%m-%dT%H:%M:%S}.{tag}", **values)

    return add


def plan_night(archive: Archive) -> Plan:
    with archive.read() as session:
        frames = planning_frames(session, NIGHT, NIGHT)
        products = planning_products(session, SPANS)
    return make_plan(RULES, frames, products)


def save(archive: Archive, plan: Plan | None = None) -> SavedPlan:
    plan = plan or plan_night(archive)
    with archive.write() as session:
        return save_plan(session, plan, recipe_versions=VERSIONS)


def blocks(archive: Archive, *states: BlockState) -> dict[str, Block]:
    with archive.read() as session:
        rows = session.scalars(select(Block).order_by(Block.id)).all()
        return {row.name: row for row in rows if not states or row.state in states}


def by_tag(archive: Archive, tag: str) -> Block:
    return next(row for row in blocks(archive).values() if row.tag == tag and row.state != BlockState.SUPERSEDED)


def execute(archive: Archive, block: Block, products: tuple[Any, ...]) -> None:
    with archive.write() as session:
        assert leases.claim_work(session, Work(block.id), owner="w", lease_seconds=60)
        finishing.finish_block(session, Work(block.id), BlockResult(products), owner="w")


def test_frames_come_as_the_planner_wants_them(archive: Archive, take: Callable[..., None]) -> None:
    take("ARC", 34.0, lamps=("Ne",), count=1, **setup_columns(SETUP.of_values({"mode": "WFM-AO-N"})))
    with archive.read() as session:
        (frame,) = planning_frames(session, NIGHT, NIGHT)
        assert planning_frames(session, NIGHT, NIGHT, tags=["BIAS"]) == []
    assert (frame.tag, frame.lamps, frame.units, frame.night) == ("ARC", ("Ne",), (1, 2), "2026-11-01")
    assert frame.tpl_start == "2026-11-02T10:00:00"
    assert frame.setup.label == "WFM-AO-N blue WFM r1 1x1"


def test_a_geometry_that_a_block_made_begins_a_pair(archive: Archive, add_block: Add, new_product: Any) -> None:
    number = add_block("geometry", recipe="muse_geometry", tag="MASK")
    with archive.write() as session:
        assert leases.claim_work(session, Work(number), owner="w", lease_seconds=60)
        made = tuple(new_product(f"/p/{tag}.fits", tag, None) for tag in ("GEOMETRY_TABLE", "MASTER_BIAS"))
        finishing.finish_block(session, Work(number), BlockResult(made), owner="w")
    with archive.read() as session:
        pairs = {product.tag: product.pair for product in planning_products(session, SPANS)}
    assert pairs == {"GEOMETRY_TABLE": "GEOMETRY_TABLE@signature of geometry", "MASTER_BIAS": ""}


def test_a_plan_becomes_blocks_that_wait_for_each_other(archive: Archive, take: Callable[..., None]) -> None:
    take("BIAS", 33.0)
    take("FLAT", 34.0)
    saved = save(archive)
    assert len(saved.created) == 2
    bias, flat = by_tag(archive, "BIAS"), by_tag(archive, "FLAT")
    assert (bias.state, flat.state) == (BlockState.READY, BlockState.WAITING)
    assert (bias.n_raw, bias.units, bias.mode, bias.recipe) == (3, (1, 2), "WFM-NOAO-N", "muse_bias")
    with archive.read() as session:
        rows = session.scalars(
            select(BlockInput).where(BlockInput.block_id == flat.id).order_by(BlockInput.position)
        ).all()
        history = session.scalars(select(Event.to_state).where(Event.subject == flat.name)).all()
    assert [row.role for row in rows[:4]] == ["FLAT", "FLAT", "FLAT", "MASTER_BIAS"]
    chosen = rows[3]
    assert (chosen.kind, chosen.source_block_id, chosen.level) == (InputKind.PLANNED, bias.id, 0)
    assert chosen.age_days == pytest.approx(-1 / 24, abs=1e-6)
    assert chosen.reason
    assert history == ["waiting"]


def test_the_same_plan_again_changes_nothing(archive: Archive, take: Callable[..., None]) -> None:
    take("BIAS", 33.0)
    take("FLAT", 34.0)
    first = save(archive)
    again = save(archive)
    assert set(again.unchanged) == set(first.created)
    assert (again.created, again.changed, again.superseded) == ((), (), ())


def test_a_plan_stays_the_same_while_its_blocks_are_done(
    archive: Archive, take: Callable[..., None], new_product: Any
) -> None:
    take("BIAS", 33.0)
    take("FLAT", 34.0)
    save(archive)
    bias = by_tag(archive, "BIAS")
    execute(archive, bias, tuple(new_product(f"/p/b-{i}.fits", unit=i, mjd_mid=bias.mjd_mid) for i in (1, 2)))
    assert by_tag(archive, "FLAT").state is BlockState.READY
    again = save(archive)
    assert (again.created, again.changed, again.superseded) == ((), (), ())


def test_missing_calibrations_are_stored_with_what_was_refused(archive: Archive, take: Callable[..., None]) -> None:
    take("FLAT", 34.0)
    take("BIAS", 33.0, **setup_columns(SETUP.of_values({"readout": "2"})))
    save(archive)
    flat = by_tag(archive, "FLAT")
    assert flat.state is BlockState.INCOMPLETE
    assert "MASTER_BIAS" in flat.state_reason
    with archive.read() as session:
        row = session.scalars(
            select(BlockInput).where(BlockInput.block_id == flat.id, BlockInput.role == "MASTER_BIAS")
        ).one()
        assert (row.kind, row.required) == (InputKind.MISSING, True)
        assert len(row.refused) == 1
        assert row.refused[0]["reason"]


def test_a_late_frame_rewrites_a_block_that_has_not_run(archive: Archive, take: Callable[..., None]) -> None:
    take("BIAS", 33.0)
    save(archive)
    before = by_tag(archive, "BIAS")
    take("BIAS", 33.0 + 0.5, count=1, tpl_start=datetime(2026, 11, 2, 9, tzinfo=UTC))
    saved = save(archive)
    after = by_tag(archive, "BIAS")
    assert (saved.changed, saved.created) == ((before.name,), ())
    assert (after.id, after.n_raw, after.plan_version) == (before.id, 4, 2)


def test_a_late_frame_replaces_a_block_that_has_run(
    archive: Archive, take: Callable[..., None], new_product: Any
) -> None:
    take("BIAS", 33.0)
    save(archive)
    old = by_tag(archive, "BIAS")
    execute(archive, old, (new_product("/p/old.fits", unit=None, mjd_mid=old.mjd_mid),))
    take("BIAS", 33.5, count=1, tpl_start=datetime(2026, 11, 2, 9, tzinfo=UTC))
    saved = save(archive)
    new = by_tag(archive, "BIAS")
    assert saved.superseded == (old.name,)
    assert (new.name, new.state, new.n_raw) == (f"{old.name}_v2", BlockState.READY, 4)
    row = blocks(archive)[old.name]
    assert (row.state, row.superseded_by_id) == (BlockState.SUPERSEDED, new.id)
    with archive.read() as session:
        assert planning_products(session, SPANS) == []
    execute(archive, new, (new_product("/p/new.fits", unit=None, mjd_mid=new.mjd_mid),))
    with archive.read() as session:
        states = {row.path: row.state.value for row in session.scalars(select(Product))}
    assert states == {"/p/old.fits": "superseded", "/p/new.fits": "provisional"}


def test_a_running_block_is_left_alone_until_it_is_done(archive: Archive, take: Callable[..., None]) -> None:
    take("BIAS", 33.0)
    save(archive)
    block = by_tag(archive, "BIAS")
    with archive.write() as session:
        leases.claim_work(session, Work(block.id), owner="w", lease_seconds=60)
    take("BIAS", 33.5, count=1, tpl_start=datetime(2026, 11, 2, 9, tzinfo=UTC))
    assert save(archive).postponed == (block.name,)
    assert by_tag(archive, "BIAS").n_raw == 3


def test_products_of_a_block_are_one_candidate_of_the_worst_quality(
    archive: Archive, take: Callable[..., None], new_product: Any
) -> None:
    take("BIAS", 33.0)
    save(archive)
    block = by_tag(archive, "BIAS")
    made = tuple(new_product(f"/p/b-{i}.fits", unit=i, mjd_mid=block.mjd_mid) for i in (1, 2))
    execute(archive, block, made)
    with archive.write() as session:
        ids = [row.id for row in session.get_one(Block, block.id).products]
        orders.set_product_state(session, ids[0], ProductState.CERTIFIED, actor="astronomer")
    with archive.read() as session:
        (candidate,) = planning_products(session, SPANS)
    assert candidate.id == f"{block.group_key}/MASTER_BIAS"
    assert (candidate.units, candidate.quality.word) == ((1, 2), "provisional")
    assert (candidate.signature, candidate.block) == (block.plan_signature, block.group_key)


def test_a_plan_with_an_unknown_recipe_is_refused_whole(archive: Archive, take: Callable[..., None]) -> None:
    take("BIAS", 33.0)
    take("FLAT", 34.0)
    plan = plan_night(archive)
    with pytest.raises(NotFoundError, match="muse_flat"), archive.write() as session:
        save_plan(session, plan, recipe_versions={"muse_bias": "1"})
    assert blocks(archive) == {}


def test_a_plan_may_be_saved_in_parts(archive: Archive, take: Callable[..., None], new_product: Any) -> None:
    take("BIAS", 33.0)
    take("DARK", 33.5)
    take("FLAT", 34.0)
    take("ARC", 35.0, lamps=("Ne", "Xe", "HgCd"))
    plan = plan_night(archive)
    parts = list(plan_parts(plan, size=1))
    assert [part.blocks for part in parts] == [(block,) for block in plan.blocks]
    assert [len(part.blocks) for part in plan_parts(plan, size=3)] == [3, 1]
    saved = SavedPlan()
    for part in parts:
        saved += save(archive, part)
    assert saved.created == tuple(block.key for block in plan.blocks)
    with archive.read() as session:
        rows = session.execute(
            select(BlockInput.role, Block.tag, BlockInput.source_block_id)
            .join(Block, BlockInput.block_id == Block.id)
            .where(BlockInput.kind == InputKind.PLANNED)
        ).all()
    bias, flat = by_tag(archive, "BIAS"), by_tag(archive, "FLAT")
    assert {("MASTER_BIAS", "FLAT", bias.id), ("TRACE_TABLE", "ARC", flat.id)} <= {tuple(row) for row in rows}
    # the whole of it is what was saved; and a late frame replaces the same blocks in parts as at once
    assert set(save(archive).unchanged) == set(saved.created)
    execute(archive, bias, (new_product("/p/old.fits", unit=None, mjd_mid=bias.mjd_mid),))
    take("BIAS", 33.1, count=1, tpl_start=datetime(2026, 11, 2, 9, tzinfo=UTC))
    saved = SavedPlan()
    for part in plan_parts(plan_night(archive), size=1):
        saved += save(archive, part)
    assert saved.superseded == (bias.name,)
    assert by_tag(archive, "FLAT").state is BlockState.WAITING
    assert save(archive).changed == ()


def test_a_plan_without_blocks_has_one_part() -> None:
    assert [part.blocks for part in plan_parts(make_plan(RULES, ()))] == [()]
