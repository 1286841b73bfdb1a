"""Intermediates expire, stay what they were, and are made again before they are used."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import delete, func, select, update

from core.archive import expiry, finishing, leases, orders, remaking
from core.archive.candidates import planning_products
from core.archive.definitions import register_definitions
from core.archive.models import Block, BlockInput, Event, Frame, Product, Qc1Value, Score
from core.archive.queries import block_task, ready_work
from core.archive.records import BlockResult, NewQc1Value, Work
from core.archive.sessions import Archive
from core.archive.states import BlockState, FrameState, InputKind, ProductState
from core.archive.upkeep import known_files
from core.cascade.model import Quality
from core.errors import StateConflictError
from core.instruments.catalogue import intermediates, qc1_definitions

Add = Callable[..., int]
TAG = "PIXTABLE_STD"
KINDS = {"muse_scibasic": (TAG,)}
SPANS = {TAG: (61300.0, 61400.0)}


@pytest.fixture
def run(archive: Archive, new_product: Any) -> Callable[..., None]:
    """Executes a block that is READY: a file of each of two IFUs, with a content and a QC1 value; some may be lost."""
    register_definitions(archive, qc1_definitions())

    def execute(number: int, tag: str = TAG, content: str = "same", units: tuple[int, ...] = (1, 2)) -> None:
        products = tuple(
            new_product(f"/p/2026-11-01/{number}/{tag}-{unit}.fits", tag, unit, datamd5=f"{content} {unit}", size=7)
            for unit in units
        )
        values = tuple(
            NewQc1Value("muse_scibasic", "lambda_shift", 0.1 * product.unit, 61345.9, product.path)
            for product in products
            if tag == TAG
        )
        with archive.write() as session:
            assert leases.claim_work(session, Work(number), owner="w", lease_seconds=60)
            finishing.finish_block(session, Work(number), BlockResult(products, values), owner="w", certify=True)

    return execute


def block(archive: Archive, number: int) -> Block:
    with archive.read() as session:
        return session.get_one(Block, number)


def states(archive: Archive, *numbers: int) -> list[BlockState]:
    return [block(archive, number).state for number in numbers]


def expire(archive: Archive, *, days: float = 0.0) -> list[str]:
    """What housekeeping does; answers the files that it removes."""
    with archive.write() as session:
        now = archive.now()
        before = now - timedelta(days=days)
        numbers = expiry.products_to_expire(session, KINDS, before, 100)
        numbers = expiry.expire_products(session, numbers, KINDS, before, actor="keeper", now=now)
        return expiry.expired_files(session, numbers)


def expired(archive: Archive) -> list[datetime | None]:
    with archive.read() as session:
        return list(session.scalars(select(Product.expired_at).order_by(Product.id)))


@pytest.fixture
def made(archive: Archive, add_block: Add, add_frame: Add, run: Callable[..., None]) -> int:
    """A block that is done, of a raw frame that is there, with a pixel table of each of two IFUs."""
    number = add_block("std", recipe="muse_scibasic", tag="STD", n_raw=1)
    frame = add_frame("MUSE.STD", tag="STD")
    with archive.write() as session:
        session.add(BlockInput(block_id=number, role="STD", kind=InputKind.RAW, frame_id=frame))
    run(number)
    return number


@pytest.fixture
def taker(add_block: Add, made: int) -> Callable[..., int]:
    """Adds a block that takes the pixel tables."""

    def add(name: str = "response", state: BlockState = BlockState.READY, kind: InputKind = InputKind.PRODUCT) -> int:
        return add_block(name, state, ((TAG, kind, made),), recipe="muse_standard", tag=TAG)

    return add


def opened(archive: Archive, *numbers: int) -> None:
    """What a plan does with the blocks that it has written."""
    with archive.write() as session:
        remaking.await_expired(session, numbers, actor="planner")


def test_the_pixel_tables_of_exposures_are_declared_as_intermediates() -> None:
    tables = {f"PIXTABLE_{tag}" for tag in ("OBJECT", "STD", "SKY", "ASTROMETRY", "REDUCED")}
    assert set(intermediates()["muse_scibasic"]) == tables


def test_old_intermediates_expire_and_nothing_else(archive: Archive, made: int, add_block: Add, run: Any) -> None:
    bias = add_block("bias")
    run(bias, "MASTER_BIAS")
    assert expire(archive, days=14.0) == []
    with archive.write() as session:
        session.execute(update(Product).values(created_at=archive.now() - timedelta(days=15)))
    assert expire(archive, days=14.0) == [f"/p/2026-11-01/{made}/{TAG}-{unit}.fits" for unit in (1, 2)]
    assert [when is not None for when in expired(archive)] == [True, True, False, False]
    assert expire(archive, days=14.0) == []
    with archive.read() as session:
        texts = session.scalars(select(Event.text).where(Event.subject == "std", Event.actor == "keeper")).all()
        files = {path: path for path in map(str, session.scalars(select(Product.path)))}
        known = known_files(session, block(archive, made).night, [*map(_path, files)])
    assert texts == [f"files of intermediates expired: {TAG} (2)"]
    assert {path.name for path in known} == {"MASTER_BIAS-1.fits", "MASTER_BIAS-2.fits"}  # the others are orphans now


def _path(text: str) -> Any:
    from pathlib import PurePath

    return PurePath(text)


@pytest.mark.parametrize("state", [BlockState.WAITING, BlockState.READY, BlockState.QUEUED, BlockState.RUNNING])
def test_what_an_open_block_takes_is_kept(archive: Archive, taker: Any, state: BlockState) -> None:
    taker(state=state)
    assert expire(archive) == []


@pytest.mark.parametrize("state", [BlockState.DONE, BlockState.INCOMPLETE, BlockState.FAILED, BlockState.SUPERSEDED])
def test_what_only_other_blocks_take_is_not(archive: Archive, taker: Any, state: BlockState) -> None:
    taker(state=state)
    assert len(expire(archive)) == 2


def test_what_could_not_be_made_again_is_kept(archive: Archive, made: int) -> None:
    with archive.write() as session:
        session.execute(update(Frame).values(state=FrameState.MISSING))
    assert expire(archive) == []
    with archive.write() as session:  # of a block that was replaced nothing is ever made again
        session.execute(update(Block).values(state=BlockState.SUPERSEDED))
    assert len(expire(archive)) == 2


def test_what_a_running_block_has_is_kept(archive: Archive, made: int) -> None:
    with archive.write() as session:
        orders.rerun_block(session, made, actor="astronomer")
    assert expire(archive) == []


def test_what_expired_is_a_candidate_as_before(archive: Archive, made: int) -> None:
    def candidate() -> Any:
        with archive.read() as session:
            (found,) = planning_products(session, SPANS)
        return found

    with archive.write() as session:
        orders.judge_block(session, made, ProductState.CERTIFIED, actor="astronomer", comment="good")
    before = candidate()
    assert (before.expired, before.to_come, before.quality) == ("", False, Quality.CERTIFIED)
    expire(archive)
    after = candidate()
    assert (after.identity, after.quality, after.units, after.lost) == (
        before.identity, before.quality, before.units, before.lost,
    )  # fmt: skip
    assert (after.expired, after.to_come) == (f"{archive.now():%Y-%m-%d}", True)
    with archive.write() as session:
        remaking.make_again(session, made, actor="astronomer")
    assert candidate() == after  # also while it is made again


def test_a_block_waits_until_what_it_takes_is_made_again(archive: Archive, made: int, taker: Any, run: Any) -> None:
    expire(archive)
    response = taker(name="response")
    with archive.write() as session:
        session.get_one(Block, response).priority = 5
    opened(archive, response)
    assert states(archive, made, response) == [BlockState.READY, BlockState.WAITING]
    source, row = block(archive, made), block(archive, response)
    assert (source.remaking, source.priority) == (True, 5)
    assert row.state_reason == f"waits for std: its {TAG} expired on {archive.now():%Y-%m-%d} and is made again"
    assert source.state_reason == "made again, since block response needs what has expired"
    opened(archive, response)  # the next plan: nothing more happens
    assert states(archive, made, response) == [BlockState.READY, BlockState.WAITING]
    run(made)
    assert states(archive, made, response) == [BlockState.DONE, BlockState.READY]
    with archive.read() as session:
        assert [file.tag for file in block_task(session, response).calibrations] == [TAG, TAG]
        assert [work.block_id for work in ready_work(session)] == [response]
    assert expired(archive) == [None, None]
    assert not block(archive, made).remaking


def test_who_needs_it_while_its_block_is_run_again_waits_as_well(
    archive: Archive, made: int, taker: Any, run: Any
) -> None:
    expire(archive)
    response = taker(state=BlockState.DONE)
    with archive.write() as session:
        orders.rerun_block(session, made, actor="astronomer")
        assert orders.rerun_block(session, response, actor="astronomer") is BlockState.WAITING
    run(made, content="another")
    assert states(archive, made, response) == [BlockState.DONE, BlockState.READY]
    assert expired(archive) == [None, None]


def test_the_few_that_are_kept_have_an_index(archive: Archive, made: int) -> None:
    if archive.engine.dialect.name != "sqlite":
        pytest.skip("PostgreSQL decides by the number of rows")
    with archive.read() as session:
        query = expiry._old(KINDS, archive.now()).limit(9)
        connection = session.connection()
        compiled = query.compile(connection, compile_kwargs={"literal_binds": True})
        plan = [row[-1] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}")]
    assert plan[0] == "SEARCH products USING INDEX ix_products_kept (tag=? AND created_at<?)"


def test_a_file_without_its_row_is_taken_by_nobody(archive: Archive, made: int, taker: Any) -> None:
    response = taker()
    with archive.write() as session:
        session.execute(update(Product).where(Product.unit == 2).values(expired_at=archive.now()))
    with archive.read() as session:
        task = block_task(session, response)
    assert [file.unit for file in task.calibrations] == [1]
    assert task.lacking[0].message.endswith("is withdrawn, or expired")


def test_made_again_with_the_same_content_it_is_what_it_was(
    archive: Archive, made: int, run: Any, new_product: Any
) -> None:
    with archive.write() as session:
        orders.judge_block(session, made, ProductState.CERTIFIED, actor="astronomer", comment="good")
        # A hidden value has no score.
        session.execute(update(Qc1Value).where(Qc1Value.value < 0.15).values(hidden=True))
        session.execute(delete(Score).where(Score.value < 0.15))
        session.execute(update(Product).values(created_at=archive.now() - timedelta(days=15)))

    def rows() -> list[Any]:
        with archive.read() as session:
            products = select(Product.id, Product.path, Product.state, Product.judge, Product.datamd5)
            values = select(Qc1Value.id, Qc1Value.value, Qc1Value.hidden, Qc1Value.product_id)
            scores = select(Score.id, Score.value, Score.score, Score.created_at)
            return [session.execute(query.order_by("id")).all() for query in (products, values, scores)]

    before = rows()
    expire(archive)
    with archive.write() as session:
        assert remaking.make_again(session, made, actor="astronomer") is BlockState.READY
        assert remaking.make_again(session, made, actor="another") is BlockState.READY  # it is under way
    run(made)
    assert rows() == before
    assert expired(archive) == [None, None]
    assert expire(archive, days=1.0) == []  # it is as young as its file
    with archive.read() as session:
        texts = session.scalars(select(Event.text).where(Event.subject == "std", Event.to_state == "done")).all()
    assert texts[-1] == "made again, with the same content"


def test_made_again_with_other_content_it_is_what_it_is_now(archive: Archive, made: int, run: Any) -> None:
    with archive.write() as session:
        orders.judge_block(session, made, ProductState.CERTIFIED, actor="astronomer", comment="good")
    expire(archive)
    with archive.write() as session:
        remaking.make_again(session, made, actor="astronomer")
    run(made, content="another")
    with archive.read() as session:
        products = session.scalars(select(Product)).all()
        assert session.scalar(select(func.count()).select_from(Qc1Value)) == 2
    assert [(row.state, row.judge, row.expired_at) for row in products] == 2 * [(ProductState.PROVISIONAL, None, None)]


def fail(archive: Archive, number: int) -> None:
    with archive.write() as session:
        assert leases.claim_work(session, Work(number), owner="w", lease_seconds=60)
        leases.fail_work(session, Work(number), owner="w", error_type="data", message="all dark", retriable=False)


def lose(archive: Archive, number: int) -> None:
    with archive.write() as session:
        session.get_one(Block, number).max_tries = 1
        assert leases.claim_work(session, Work(number), owner="w", lease_seconds=-1)
        leases.release_expired_leases(session, actor="dispatch")


def cancel(archive: Archive, number: int) -> None:
    with archive.write() as session:
        assert orders.cancel_block(session, number, actor="astronomer") is BlockState.DONE


@pytest.mark.parametrize(
    ("end", "kind", "why"),
    [(fail, "data", "all dark"), (lose, "lease_lost", "is silent"), (cancel, "cancelled", "cancelled by astronomer")],
)
def test_a_block_that_cannot_make_it_again_stays_done_and_says_so(
    archive: Archive, made: int, taker: Any, end: Any, kind: str, why: str, run: Any
) -> None:
    expire(archive)
    response = taker()
    opened(archive, response)
    end(archive, made)
    row = block(archive, made)
    assert (row.state, row.remaking, row.error_type) == (BlockState.DONE, False, kind)
    assert row.error_message is not None
    assert row.error_message.startswith("what has expired could not be made again: ")
    assert why in row.error_message
    assert states(archive, response) == [BlockState.WAITING]  # until the next plan, which this event brings about
    with archive.read() as session:
        assert session.scalar(select(func.count()).where(Event.kind == "doubt", Event.subject == "std")) == 1
        (candidate,) = planning_products(session, SPANS)
    assert (candidate.to_come, candidate.unmade) == (False, row.error_message)
    opened(archive, response)
    assert states(archive, made) == [BlockState.DONE]  # not again by itself
    with archive.write() as session:
        remaking.make_again(session, made, actor="astronomer")
    assert block(archive, made).error_message is None
    run(made)
    assert states(archive, made, response) == [BlockState.DONE, BlockState.READY]


def test_what_is_left_of_a_block_that_fails_to_make_it_all_again_is_taken(
    archive: Archive, made: int, taker: Any, run: Any
) -> None:
    expire(archive)
    response = taker()
    opened(archive, response)
    run(made, units=(1,))
    assert [when is None for when in expired(archive)] == [True, False]
    assert block(archive, made).error_message == "what has expired could not be made again: IFU 2 failed"
    assert states(archive, made, response) == [BlockState.DONE, BlockState.READY]
    opened(archive, response)
    assert states(archive, made, response) == [BlockState.DONE, BlockState.READY]
    with archive.read() as session:
        (candidate,) = planning_products(session, SPANS)
        assert [entry.unit for entry in block_task(session, response).lacking] == [2]
    assert not candidate.to_come


def test_what_is_made_again_may_need_what_has_expired_itself(
    archive: Archive, made: int, add_block: Add, run: Any
) -> None:
    sky = add_block("sky", BlockState.READY, ((TAG, InputKind.PRODUCT, made),), recipe="muse_scibasic", tag="SKY")
    run(sky, "PIXTABLE_SKY")
    last = add_block("last", BlockState.DONE, (("PIXTABLE_SKY", InputKind.PRODUCT, sky),))
    with archive.write() as session:
        session.execute(update(Product).values(expired_at=archive.now()))
        assert orders.rerun_block(session, last, actor="astronomer") is BlockState.WAITING
    assert states(archive, made, sky, last) == [BlockState.READY, BlockState.WAITING, BlockState.WAITING]
    run(made)
    assert states(archive, made, sky, last) == [BlockState.DONE, BlockState.READY, BlockState.WAITING]
    run(sky, "PIXTABLE_SKY")
    assert states(archive, made, sky, last) == [BlockState.DONE, BlockState.DONE, BlockState.READY]


def test_without_its_raw_frame_nothing_is_made_again(archive: Archive, made: int, taker: Any) -> None:
    expire(archive)
    response = taker()
    with archive.write() as session:
        session.execute(update(Frame).values(state=FrameState.MISSING))
    opened(archive, response)
    assert states(archive, made, response) == [BlockState.DONE, BlockState.WAITING]
    assert block(archive, made).error_message == (
        "what has expired cannot be made again: the raw frame MUSE.STD is not there any more"
    )
    with archive.write() as session:  # nothing is done since the plan was made that it could take
        finishing.settle_inputs(session, source_block_id=made, actor="planner")
    assert states(archive, response) == [BlockState.WAITING]
    for order in (remaking.make_again, orders.rerun_block):
        number = made if order is remaking.make_again else taker("done", BlockState.DONE)
        with archive.write() as session, pytest.raises(StateConflictError, match=r"the raw frame MUSE\.STD"):
            order(session, number, actor="astronomer")


@pytest.mark.parametrize("kind", [InputKind.PRODUCT, InputKind.PLANNED])
def test_only_what_has_expired_is_made_again(archive: Archive, made: int, taker: Any, kind: InputKind) -> None:
    response = taker(kind=kind)
    opened(archive, response)
    assert states(archive, made, response) == [BlockState.DONE, BlockState.READY]
    with archive.write() as session, pytest.raises(StateConflictError, match="nothing that block std made has expired"):
        remaking.make_again(session, made, actor="astronomer")


def test_a_block_that_was_replaced_makes_nothing_again(archive: Archive, made: int) -> None:
    expire(archive)
    with archive.write() as session:
        session.execute(update(Block).values(state=BlockState.SUPERSEDED))
    with archive.write() as session, pytest.raises(StateConflictError, match="is superseded"):
        remaking.make_again(session, made, actor="astronomer")
