"""An archive of an older program keeps its work: signatures are made anew, blocks are not."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from alembic import command
from sqlalchemy import select

from core.archive import schema
from core.archive.candidates import planning_frames, planning_products
from core.archive.finishing import finish_block
from core.archive.leases import claim_work, fail_work
from core.archive.models import Block, BlockInput
from core.archive.orders import rerun_block
from core.archive.planning import SavedPlan, save_plan
from core.archive.records import BlockResult, Work
from core.archive.sessions import Archive, make_engine
from core.archive.signing import sign_anew
from core.archive.standing import failed_signatures, redone_signatures
from core.archive.states import BlockState
from core.cascade.model import BlockPlan, Origin, Plan, ProductInfo
from core.cascade.plan import PlanOptions, make_plan
from core.cascade.signature import SCHEME, signature_with
from core.instruments.plans import calibration_plan

RULES = calibration_plan("MUSE")
SPANS = dict.fromkeys(RULES.input_tags, (61300.0, 61400.0))
NIGHT = date(2026, 11, 1)
VERSIONS = {task.recipe: "1" for task in RULES.tasks}
LINES = ProductInfo("/static/lines.fits", "LINE_CATALOG", origin=Origin.STATIC, digest="d" * 64)
STATICS = {LINES.id: LINES.digest}
BOOK = "0123456789ab"  # hash of the rule book of then
TEMPLATES = (("BIAS", 33, ("",)), ("DARK", 33.5, ("",)), ("FLAT", 34, ("",)), ("ARC", 35, ("Ne", "Xe", "HgCd")))
BEFORE = "0003"  # the revision before signatures had a scheme


def old_signatures(plan: Plan) -> dict[str, str]:
    """Signatures as the program made them that knew no schemes (scheme 1)."""
    made: dict[str, str] = {}

    def identity(product: ProductInfo) -> str:
        return f"{product.tag}@{made[product.block]}" if product.block else f"{product.tag}={product.digest}"

    for block in plan.blocks:
        content = {
            "recipe": block.recipe,
            "version": "1",
            "parameters": {},
            "rules": BOOK,
            "units": block.units,
            "frames": [(name, "") for name in block.frames],
            "inputs": [(choice.role, identity(choice.product)) for choice in block.inputs],
        }
        made[block.key] = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return made


def plan_night(archive: Archive) -> Plan:
    with archive.read() as session:
        frames = planning_frames(session, NIGHT, NIGHT)
        products = planning_products(session, SPANS)
        options = PlanOptions(
            versions=VERSIONS,
            failed=failed_signatures(session, 61300.0, 61400.0),
            redone=redone_signatures(session, 61300.0, 61400.0),
        )
    return make_plan(RULES, frames, [*products, LINES], options)


def save(archive: Archive, plan: Plan) -> SavedPlan:
    with archive.write() as session:
        return save_plan(session, plan, recipe_versions=VERSIONS)


def blocks(archive: Archive) -> dict[str, Block]:
    with archive.read() as session:
        return {row.tag: row for row in session.scalars(select(Block).where(Block.state != BlockState.SUPERSEDED))}


def through_the_older_schema(archive: Archive) -> None:
    """Downgrade the database to where it knew no scheme, and upgrade it again."""
    engine = make_engine(archive.database_url, foreign_keys=False).execution_options(archive_write=True)
    with engine.begin() as connection:
        config = schema._config()
        config.attributes["connection"] = connection
        command.downgrade(config, BEFORE)
    engine.dispose()
    schema.upgrade(archive.database_url)


@pytest.fixture
def old_archive(archive: Archive, add_frame: Callable[..., int], new_product: Any) -> Archive:
    """A night as the older program left it.

    The bias is done, the dark failed, the flat was done again with parameters of a person, the arc waits.
    """
    for tag, hour, lamps in TEMPLATES:
        start = datetime(2026, 11, 1, tzinfo=UTC) + timedelta(hours=hour)
        for number in range(3):
            moment = start + timedelta(minutes=number)
            mjd = (moment - datetime(1858, 11, 17, tzinfo=UTC)) / timedelta(days=1)
            add_frame(
                f"MUSE.{tag}.{number}", tag=tag, date_obs=moment, mjd_obs=mjd, mjd_mid=mjd, tpl_start=start, tpl_nexp=3,
                lamps=lamps[number % len(lamps)],
            )  # fmt: skip
    plan = plan_night(archive)
    old = old_signatures(plan)

    def of_then(block: BlockPlan) -> BlockPlan:
        return replace(block, signature=old[block.key], rules_version=BOOK)

    save(archive, replace(plan, blocks=tuple(of_then(block) for block in plan.blocks), _index={}))
    names = {"BIAS": "MASTER_BIAS", "FLAT": "TRACE_TABLE"}

    def done(tag: str) -> None:
        row = blocks(archive)[tag]
        product = new_product(f"/p/{tag}.fits", tag=names[tag], unit=None, mjd_mid=row.mjd_mid)
        signature = signature_with(row.plan_signature, row.parameters)
        with archive.write() as session:
            assert claim_work(session, Work(row.id), owner="w", lease_seconds=60)
            finish_block(session, Work(row.id), BlockResult((product,), signature=signature), owner="w")

    done("BIAS")
    done("FLAT")
    with archive.write() as session:
        rerun_block(session, blocks(archive)["FLAT"].id, actor="person", parameters={"nsigma": 9.0})
    done("FLAT")
    with archive.write() as session:
        number = blocks(archive)["DARK"].id
        assert claim_work(session, Work(number), owner="w", lease_seconds=60)
        fail_work(session, Work(number), owner="w", error_type="data", message="light leak", retriable=False)
    through_the_older_schema(archive)
    return archive


def test_an_upgraded_archive_is_signed_anew_and_the_plan_finds_all_unchanged(old_archive: Archive) -> None:
    before = blocks(old_archive)
    assert {row.signature_scheme for row in before.values()} == {1}
    assert sign_anew(old_archive, [RULES], STATICS) == 4
    after = blocks(old_archive)
    plan = plan_night(old_archive)
    assert {row.tag: row.plan_signature for row in after.values()} == {b.tag: b.signature for b in plan.blocks}
    saved = save(old_archive, plan)
    assert set(saved.unchanged) == {row.name for row in before.values()}
    assert (saved.created, saved.changed, saved.superseded, saved.postponed) == ((), (), (), ())
    assert {tag: row.state for tag, row in after.items()} == {tag: row.state for tag, row in before.items()}
    assert {row.signature_scheme for row in after.values()} == {SCHEME}
    # the work with a person's parameters keeps its own signature
    assert after["FLAT"].signature == signature_with(after["FLAT"].plan_signature, {"nsigma": 9.0})
    assert not {row.plan_signature for row in after.values()} & {row.plan_signature for row in before.values()}


def test_without_it_everything_would_be_done_again(old_archive: Archive) -> None:
    saved = save(old_archive, plan_night(old_archive))
    assert len(saved.unchanged) == 0
    assert len(saved.superseded) == 3


def test_signing_twice_changes_nothing(old_archive: Archive) -> None:
    sign_anew(old_archive, [RULES], STATICS)
    once = {tag: row.plan_signature for tag, row in blocks(old_archive).items()}
    assert sign_anew(old_archive, [RULES], {}) == 0
    assert {tag: row.plan_signature for tag, row in blocks(old_archive).items()} == once


def test_a_block_that_runs_is_signed_when_it_has_ended(old_archive: Archive) -> None:
    arc = blocks(old_archive)["ARC"]
    with old_archive.write() as session:
        assert claim_work(session, Work(arc.id), owner="w", lease_seconds=60)
    assert sign_anew(old_archive, [RULES], STATICS) == 3
    assert blocks(old_archive)["ARC"].plan_signature == arc.plan_signature
    assert save(old_archive, plan_night(old_archive)).postponed == (arc.name,)
    with old_archive.write() as session:
        finish_block(session, Work(arc.id), BlockResult((), signature=arc.signature), owner="w")
    assert sign_anew(old_archive, [RULES], STATICS) == 1
    assert len(save(old_archive, plan_night(old_archive)).unchanged) == 4


def test_a_block_whose_file_from_outside_was_replaced_since_is_planned_anew(old_archive: Archive) -> None:
    """The signature notes what lay there when it was made; a catalogue that came after that is another input."""
    sign_anew(old_archive, [RULES], STATICS | {LINES.id: "e" * 64})
    saved = save(old_archive, plan_night(old_archive))
    assert saved.changed == (blocks(old_archive)["ARC"].name,)
    with old_archive.read() as session:
        content = session.scalars(select(BlockInput.content).where(BlockInput.static_path == LINES.id)).all()
    assert content == [LINES.digest]


def test_blocks_of_recipes_that_are_gone_stay_as_they_are(archive: Archive, add_block: Callable[..., int]) -> None:
    number = add_block("old", recipe="muse_gone", state=BlockState.DONE, signature_scheme=1)
    assert sign_anew(archive, [RULES], {}) == 1
    with archive.read() as session:
        row = session.get_one(Block, number)
    assert (row.plan_signature, row.signature_scheme) == ("signature of old", SCHEME)
