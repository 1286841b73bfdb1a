"""Blocks that are done but for some IFUs: what is stored, what dependants leave out, and how it is made up for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import func, select

from core.archive import finishing, leases, orders
from core.archive.candidates import planning_products
from core.archive.models import HAS_FAILED_UNITS, Block, BlockInput, Event, Product
from core.archive.pages.blocks import last_failed
from core.archive.pages.health import partial_blocks
from core.archive.pages.nights import nights_between
from core.archive.queries import block_task
from core.archive.records import BlockResult, LostUnit, Work
from core.archive.sessions import Archive
from core.archive.states import BlockState, InputKind, ProductState
from core.errors import MissingInputError

Add = Callable[..., int]
FAILED = LostUnit(2, failed=True, error_type="tracing", message="no slice was found")


SPANS = dict.fromkeys(("MASTER_BIAS", "TRACE_TABLE", "MASTER_FLAT"), (61300.0, 61400.0))


def block(archive: Archive, number: int) -> Block:
    with archive.read() as session:
        return session.get_one(Block, number)


def states(archive: Archive, *numbers: int) -> list[BlockState]:
    return [block(archive, number).state for number in numbers]


@pytest.fixture
def run(archive: Archive, new_product: Any) -> Callable[..., None]:
    """Executes a block that is READY, with products of one tag for IFUs 1 and 2 but those lost."""

    def execute(number: int, tag: str, *lost: LostUnit) -> None:
        gone = {entry.unit for entry in lost}
        products = tuple(new_product(f"/p/{number}/{tag}-{unit}", tag, unit) for unit in (1, 2) if unit not in gone)
        with archive.write() as session:
            assert leases.claim_work(session, Work(number), owner="w", lease_seconds=60)
            finishing.finish_block(session, Work(number), BlockResult(products, lost=lost), owner="w")

    return execute


def skipped(archive: Archive, number: int) -> tuple[LostUnit, ...]:
    """What a worker finds lacking for a block."""
    with archive.read() as session:
        return block_task(session, number).lacking


@pytest.fixture
def chain(add_block: Add, archive: Archive, run: Callable[..., None]) -> tuple[int, int, int]:
    """Flat, arc and profile: the flat lost IFU 2, so the others left it out."""
    flat = add_block("flat")
    arc = add_block("arc", BlockState.WAITING, (("TRACE_TABLE", InputKind.PLANNED, flat),))
    wanted = (("TRACE_TABLE", InputKind.PLANNED, flat), ("WAVECAL_TABLE", InputKind.PLANNED, arc))
    profile = add_block("profile", BlockState.WAITING, wanted)
    run(flat, "TRACE_TABLE", FAILED)
    run(arc, "WAVECAL_TABLE", *skipped(archive, arc))
    run(profile, "LSF_PROFILE", *skipped(archive, profile))
    return flat, arc, profile


def again(archive: Archive, number: int) -> None:
    with archive.write() as session:
        orders.rerun_block(session, number, actor="astronomer")


def test_lost_ifus_are_stored_with_the_state(archive: Archive, add_block: Add, run: Callable[..., None]) -> None:
    number = add_block("flat")
    run(number, "TRACE_TABLE", FAILED)
    row = block(archive, number)
    assert (row.state, row.failed_units, row.skipped_units) == (BlockState.DONE, (2,), ())
    assert row.lost_units == [{"unit": 2, "failed": True, "error_type": "tracing", "message": "no slice was found"}]
    again(archive, number)
    assert block(archive, number).failed_units == ()  # it is told of blocks that are done only
    run(number, "TRACE_TABLE")
    row = block(archive, number)
    assert (row.state, row.failed_unit_mask, row.lost_units) == (BlockState.DONE, 0, [])


def test_dependants_are_told_what_they_lack_and_why(archive: Archive, chain: tuple[int, int, int]) -> None:
    flat, arc, profile = (block(archive, number) for number in chain)
    assert [row.state for row in (flat, arc, profile)] == [BlockState.DONE] * 3
    assert [row.skipped_units for row in (flat, arc, profile)] == [(), (2,), (2,)]
    reason = "there is no TRACE_TABLE of this IFU, as of block flat: IFU 2 failed: no slice was found"
    assert arc.lost_units == [{"unit": 2, "failed": False, "error_type": "missing_input", "message": reason}]
    assert profile.lost_units[0]["message"] == reason  # the nearest cause, once


def test_an_ifu_that_comes_back_is_made_up_for_down_the_cascade_in_order(
    archive: Archive, chain: tuple[int, int, int], run: Callable[..., None]
) -> None:
    flat, arc, profile = chain
    again(archive, flat)
    assert states(archive, *chain) == [BlockState.READY, BlockState.DONE, BlockState.DONE]
    run(flat, "TRACE_TABLE")
    assert states(archive, *chain) == [BlockState.DONE, BlockState.READY, BlockState.WAITING]
    assert skipped(archive, arc) == ()
    run(arc, "WAVECAL_TABLE")
    assert states(archive, *chain) == [BlockState.DONE, BlockState.DONE, BlockState.READY]
    run(profile, "LSF_PROFILE")
    assert states(archive, *chain) == [BlockState.DONE] * 3
    assert all(block(archive, number).lost_units == [] for number in chain)
    with archive.read() as session:
        texts = session.scalars(select(Event.text).where(Event.from_state == "done", Event.subject == "arc")).all()
        files = session.scalars(select(Product.unit).where(Product.state == ProductState.PROVISIONAL)).all()
    assert texts == ["IFU 2 came from flat: done again, as it had been left out"]
    assert sorted(unit or 0 for unit in files) == [1, 1, 1, 2, 2, 2]


def test_a_run_that_loses_the_same_ifu_again_starts_nothing(
    archive: Archive, chain: tuple[int, int, int], run: Callable[..., None]
) -> None:
    again(archive, chain[0])
    run(chain[0], "TRACE_TABLE", FAILED)
    assert states(archive, *chain) == [BlockState.DONE] * 3


def test_an_ifu_that_came_while_a_dependant_ran_is_not_forgotten(
    archive: Archive, chain: tuple[int, int, int], run: Callable[..., None], new_product: Any
) -> None:
    flat, arc, _ = chain
    again(archive, arc)
    lacking = skipped(archive, arc)
    with archive.write() as session:
        leases.claim_work(session, Work(arc), owner="slow", lease_seconds=60)
    again(archive, flat)
    run(flat, "TRACE_TABLE")
    assert states(archive, arc) == [BlockState.RUNNING]
    result = BlockResult((new_product(f"/p/{arc}/WAVECAL_TABLE-1", "WAVECAL_TABLE", 1),), lost=lacking)
    with archive.write() as session:
        finishing.finish_block(session, Work(arc), result, owner="slow")
    assert states(archive, arc) == [BlockState.READY]


def test_no_product_at_all_is_an_error(archive: Archive, chain: tuple[int, int, int]) -> None:
    with archive.write() as session:
        for product in session.scalars(select(Product).where(Product.tag == "TRACE_TABLE")):
            product.state = ProductState.REJECTED
    with archive.read() as session, pytest.raises(MissingInputError, match="no usable product TRACE_TABLE is left"):
        block_task(session, chain[1])


def test_a_merged_product_has_the_ifus_that_its_block_did_not_lose(
    archive: Archive, add_block: Add, new_product: Any
) -> None:
    flat = add_block("flat")
    arc = add_block("arc", BlockState.WAITING, (("TRACE_TABLE", InputKind.PLANNED, flat),))
    with archive.write() as session:
        leases.claim_work(session, Work(flat), owner="w", lease_seconds=60)
        merged = new_product("/p/TRACE_TABLE", "TRACE_TABLE", None)
        finishing.finish_block(session, Work(flat), BlockResult((merged,), lost=(FAILED,)), owner="w")
    assert [entry.unit for entry in skipped(archive, arc)] == [2]
    with archive.read() as session:
        (candidate,) = planning_products(session, SPANS)
    assert (candidate.units, candidate.lost) == ((1, 2), (2,))


def test_a_lossy_block_stays_a_candidate_of_the_same_identity(archive: Archive, chain: tuple[int, int, int]) -> None:
    with archive.read() as session:
        found = {product.tag: product for product in planning_products(session, SPANS)}
    trace = found["TRACE_TABLE"]
    assert (trace.units, trace.lost) == ((1, 2), (2,))
    assert trace.identity == "TRACE_TABLE@signature of flat"


def test_lists_and_summaries_count_lossy_blocks(archive: Archive, chain: tuple[int, int, int]) -> None:
    night = block(archive, chain[0]).night
    with archive.read() as session:
        (summary,) = nights_between(session, night, night)
        assert partial_blocks(session) == 1
        assert [row.name for row in last_failed(session, 10)] == ["flat"]
        inputs = session.scalars(select(BlockInput.kind)).all()
    assert (summary.done, summary.failed_units, summary.skipped_units, summary.verdict) == (3, 1, 2, "bad")
    assert set(inputs) == {InputKind.PRODUCT}
    again(archive, chain[0])
    with archive.read() as session:
        assert partial_blocks(session) == 0
        assert last_failed(session, 10) == []


def test_the_few_blocks_with_failed_ifus_have_an_index(archive: Archive, chain: tuple[int, int, int]) -> None:
    if archive.engine.dialect.name != "sqlite":
        pytest.skip("PostgreSQL decides by the number of rows")
    condition = (HAS_FAILED_UNITS, Block.state == BlockState.DONE)
    for query in (
        select(func.count()).select_from(Block).where(*condition),
        select(Block).where(*condition).order_by(Block.mjd_mid.desc()).limit(10),
    ):
        with archive.read() as session:
            connection = session.connection()
            compiled = query.compile(connection, compile_kwargs={"literal_binds": True})
            plan = " ".join(row[-1] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}"))
        assert plan == "SEARCH blocks USING INDEX ix_blocks_failed_units (state=?)"
