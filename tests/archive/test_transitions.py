from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from core.archive import finishing, leases, orders, transitions
from core.archive.definitions import register_parameters
from core.archive.leases import LeaseAnswer
from core.archive.models import Block, BlockInput, Event, Product, Qc1Parameter, Qc1Value, Score
from core.archive.queries import block_states, block_task
from core.archive.records import BlockResult, NewQc1Value, Qc1Definition, Work
from core.archive.sessions import Archive
from core.archive.states import BLOCK_CHANGES, BlockState, InputKind, ProductState
from core.errors import MissingInputError, NotFoundError, StateConflictError
from core.qc1.axes import Position

T0 = datetime(2026, 11, 2, 12, tzinfo=UTC)
Add = Callable[..., int]
RON = Qc1Definition("muse_bias", "master_ron", "QC.BIAS.MASTERn.RON", "count", "HC", axes=("unit", "quadrant"))


def after(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def block(archive: Archive, block_id: int) -> Block:
    with archive.read() as session:
        return session.get_one(Block, block_id)


def claim(archive: Archive, block_id: int, owner: str = "w1", now: datetime = T0) -> bool:
    with archive.write() as session:
        return leases.claim_work(session, Work(block_id), owner=owner, lease_seconds=60, now=now)


def finish(archive: Archive, block_id: int, result: BlockResult, owner: str = "w1", now: datetime = T0) -> None:
    with archive.write() as session:
        finishing.finish_block(session, Work(block_id), result, owner=owner, now=now)


def history(archive: Archive, name: str) -> list[tuple[str | None, str | None]]:
    with archive.read() as session:
        rows = session.execute(
            select(Event.from_state, Event.to_state)
            .where(Event.kind == "block", Event.subject == name)
            .order_by(Event.id)
        )
        return [(old, new) for old, new in rows]


def test_only_one_worker_gets_a_block(archive: Archive, add_block: Add) -> None:
    number = add_block("b")
    answers: list[bool] = []
    barrier = threading.Barrier(4)

    def run(owner: str) -> None:
        barrier.wait()
        answers.append(claim(archive, number, owner))

    threads = [threading.Thread(target=run, args=(f"w{i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [False, False, False, True]
    assert block(archive, number).tries == 1
    assert history(archive, "b") == [("ready", "running")]


def test_a_message_that_comes_twice_does_nothing(archive: Archive, add_block: Add, new_product: Any) -> None:
    number = add_block("b")
    assert claim(archive, number)
    finish(archive, number, BlockResult((new_product("/p/1.fits"),)))
    assert not claim(archive, number, "w2")
    assert block(archive, number).state is BlockState.DONE


def test_the_way_over_the_broker_is_in_the_events(archive: Archive, add_block: Add) -> None:
    number = add_block("b")
    with archive.write() as session:
        assert transitions.queue_work(session, Work(number), actor="dispatch", now=T0)
        assert not transitions.queue_work(session, Work(number), actor="dispatch", now=T0)
    assert claim(archive, number, now=after(5))
    finish(archive, number, BlockResult(), now=after(65))
    assert history(archive, "b") == [("ready", "queued"), ("queued", "running"), ("running", "done")]
    row = block(archive, number)
    assert (row.queued_at, row.started_at, row.finished_at, row.duration) == (T0, after(5), after(65), 60.0)
    assert (row.lease_owner, row.lease_until, row.score) == (None, None, None)


def test_products_values_scores_and_state_are_one_transaction(
    archive: Archive, add_block: Add, new_product: Any
) -> None:
    number = add_block("b")
    claim(archive, number)
    result = BlockResult(
        products=(new_product("/p/1.fits"),),
        qc1_values=(NewQc1Value("muse_bias", "nobody_knows", 1.0, 61345.9),),
    )
    with pytest.raises(NotFoundError, match="nobody_knows"):
        finish(archive, number, result)
    with archive.read() as session:
        assert session.scalar(select(func.count(Product.id))) == 0
    assert block(archive, number).state is BlockState.RUNNING


def test_a_result_is_stored_whole(archive: Archive, add_block: Add, new_product: Any) -> None:
    number = add_block("b")
    with archive.write() as session:
        assert register_parameters(session, [RON]) == 1
        assert register_parameters(session, [RON]) == 0
    claim(archive, number)
    values = tuple(
        NewQc1Value("muse_bias", "master_ron", 2.0 + q, 61345.9, "/p/1.fits", Position(unit=1, quadrant=q))
        for q in range(1, 5)
    )
    bad = NewQc1Value("muse_bias", "master_ron", float("nan"), 61345.9)
    finish(archive, number, BlockResult((new_product("/p/1.fits"),), (*values, bad)))
    row = block(archive, number)
    assert (row.state, row.score, row.n_outliers) == (BlockState.DONE, 1, 1)
    with archive.read() as session:
        stored = session.scalars(select(Qc1Value).order_by(Qc1Value.quadrant)).all()
        product = session.scalars(select(Product)).one()
        assert session.scalar(select(func.count(Score.id))) == 8  # by fixed and by statistical limits
    assert [(item.quadrant, item.value, item.mode) for item in stored] == [
        (q, 2.0 + q, "WFM-NOAO-N") for q in range(1, 5)
    ]
    assert {item.product_id for item in stored} == {product.id}
    assert (product.setup.get("blue"), product.file_name) == ("blue", "1.fits")


def test_doing_it_again_replaces_rows_and_supersedes_what_is_no_longer_made(
    archive: Archive, add_block: Add, new_product: Any
) -> None:
    number = add_block("b")
    with archive.write() as session:
        register_parameters(session, [RON])
    value = NewQc1Value("muse_bias", "master_ron", 2.0, 61345.9)
    claim(archive, number)
    finish(archive, number, BlockResult((new_product("/p/1.fits"), new_product("/p/2.fits", unit=2)), (value,)))
    with archive.write() as session:
        assert orders.rerun_block(session, number, actor="astronomer", now=T0) is BlockState.READY
    claim(archive, number)
    finish(archive, number, BlockResult((new_product("/p/1.fits", size=20),), (value,)))
    with archive.read() as session:
        rows = {row.path: row for row in session.scalars(select(Product))}
        assert session.scalar(select(func.count(Qc1Value.id))) == 1
    assert (rows["/p/1.fits"].size, rows["/p/1.fits"].state) == (20, ProductState.PROVISIONAL)
    assert rows["/p/2.fits"].state is ProductState.SUPERSEDED


def test_a_worker_that_lost_its_lease_can_write_nothing(archive: Archive, add_block: Add, new_product: Any) -> None:
    number = add_block("b")
    claim(archive, number, "dead")
    with archive.write() as session:
        assert leases.release_expired_leases(session, actor="dispatch", now=after(59)) == []
        assert leases.release_expired_leases(session, actor="dispatch", now=after(61)) == [Work(number)]
    assert block(archive, number).state is BlockState.READY
    assert claim(archive, number, "alive", now=after(62))
    with archive.write() as session:
        answer = leases.heartbeat(session, Work(number), owner="dead", lease_seconds=60, now=after(63))
        assert answer is LeaseAnswer.LOST
    with pytest.raises(StateConflictError, match="no longer held by dead"):
        finish(archive, number, BlockResult((new_product("/p/1.fits"),)), owner="dead")
    with pytest.raises(StateConflictError), archive.write() as session:
        leases.fail_work(session, Work(number), owner="dead", error_type="x", message="x", retriable=False)
    assert block(archive, number).lease_owner == "alive"


def test_a_heartbeat_prolongs_the_lease_and_shows_progress(archive: Archive, add_block: Add) -> None:
    number = add_block("b")
    claim(archive, number)
    progress = {"01": {"phase": "combine", "fraction": 0.4}}
    with archive.write() as session:
        answer = leases.heartbeat(session, Work(number), owner="w1", lease_seconds=60, progress=progress, now=after(50))
        assert answer is LeaseAnswer.HELD
        assert leases.release_expired_leases(session, actor="dispatch", now=after(100)) == []
    with archive.read() as session:
        assert session.get_one(Block, number).progress == progress


def test_tries_are_used_up_by_silent_workers(archive: Archive, add_block: Add) -> None:
    number = add_block("b", max_tries=2)
    for start in (0, 100):
        assert claim(archive, number, now=after(start))
        with archive.write() as session:
            leases.release_expired_leases(session, actor="dispatch", now=after(start + 61))
    row = block(archive, number)
    assert (row.state, row.error_type, row.tries) == (BlockState.FAILED, "lease_lost", 2)


def test_a_retriable_error_pauses_and_comes_back_until_tries_are_used_up(archive: Archive, add_block: Add) -> None:
    number = add_block("b", max_tries=2)
    for expected in (BlockState.READY, BlockState.FAILED):
        # READY may be claimed without a message, but not before the pause is over: a message may come twice.
        assert claim(archive, number, now=after(29)) is (expected is BlockState.READY)
        assert expected is BlockState.READY or claim(archive, number, now=after(30))
        with archive.write() as session:
            state = leases.fail_work(
                session,
                Work(number),
                owner="w1",
                error_type="product_store",
                message="disk full",
                retriable=True,
                retry_seconds=30,
                now=T0,
            )
        assert state is expected
    row = block(archive, number)
    assert (row.error_type, row.error_message, row.finished_at) == ("product_store", "disk full", T0)


def test_an_error_that_repeats_itself_fails_at_once(archive: Archive, add_block: Add) -> None:
    number = add_block("b")
    claim(archive, number)
    with archive.write() as session:
        state = leases.fail_work(
            session, Work(number), owner="w1", error_type="tracing", message="no slices", retriable=False, now=after(9)
        )
    row = block(archive, number)
    assert (state, row.state_reason, row.duration) == (BlockState.FAILED, "no slices", 9.0)


def test_an_orderly_stop_does_not_cost_a_try(archive: Archive, add_block: Add) -> None:
    number = add_block("b")
    claim(archive, number)
    with archive.write() as session:
        assert leases.release_work(session, Work(number), owner="w1", reason="worker stops", now=T0)
    row = block(archive, number)
    assert (row.state, row.tries, row.lease_owner) == (BlockState.READY, 0, None)


def test_queued_blocks_that_nobody_takes_are_ready_again(archive: Archive, add_block: Add) -> None:
    number = add_block("b")
    with archive.write() as session:
        transitions.queue_work(session, Work(number), actor="dispatch", now=T0)
        assert transitions.requeue_stale(session, older_than=100, actor="dispatch", now=after(99)) == []
        assert transitions.requeue_stale(session, older_than=100, actor="dispatch", now=after(101)) == [Work(number)]
    assert block(archive, number).state is BlockState.READY


def test_finishing_makes_ready_what_waited_for_nothing_else(archive: Archive, add_block: Add, new_product: Any) -> None:
    bias, dark = add_block("bias"), add_block("dark")
    flat = add_block("flat", BlockState.WAITING, (("MASTER_BIAS", InputKind.PLANNED, bias),))
    both = add_block(
        "both",
        BlockState.WAITING,
        (("MASTER_BIAS", InputKind.PLANNED, bias), ("MASTER_DARK", InputKind.PLANNED, dark)),
    )
    with pytest.raises(MissingInputError, match="MASTER_BIAS"), archive.read() as session:
        block_task(session, flat)
    claim(archive, bias)
    finish(archive, bias, BlockResult((new_product("/p/b-01.fits"), new_product("/p/b-02.fits", unit=2))))
    assert block(archive, flat).state is BlockState.READY
    assert block(archive, both).state is BlockState.WAITING
    claim(archive, dark)
    finish(archive, dark, BlockResult((new_product("/p/d.fits", tag="MASTER_DARK", unit=None),)))
    assert block(archive, both).state is BlockState.READY
    with archive.read() as session:
        kinds = set(session.scalars(select(BlockInput.kind)))
        task = block_task(session, both)
    assert kinds == {InputKind.PRODUCT}
    assert [(file.tag, file.path, file.unit) for file in task.calibrations] == [
        ("MASTER_BIAS", "/p/b-01.fits", 1),
        ("MASTER_BIAS", "/p/b-02.fits", 2),
        ("MASTER_DARK", "/p/d.fits", None),
    ]


def test_a_rejected_master_is_not_handed_out(archive: Archive, add_block: Add, new_product: Any) -> None:
    bias = add_block("bias")
    claim(archive, bias)
    finish(archive, bias, BlockResult((new_product("/p/b.fits"),)))
    flat = add_block("flat", BlockState.READY, (("MASTER_BIAS", InputKind.PRODUCT, bias),))
    with archive.write() as session:
        product = session.scalars(select(Product)).one()
        orders.set_product_state(session, product.id, ProductState.REJECTED, actor="astronomer", text="light leak")
    with pytest.raises(MissingInputError, match="no usable product MASTER_BIAS"), archive.read() as session:
        block_task(session, flat)
    with archive.read() as session:
        event = session.scalars(select(Event).where(Event.kind == "product")).one()
    assert (event.from_state, event.to_state, event.text) == ("provisional", "rejected", "light leak")


def test_cancelling_a_waiting_block_is_done_at_once(archive: Archive, add_block: Add) -> None:
    number = add_block("b")
    with archive.write() as session:
        assert orders.cancel_block(session, number, actor="astronomer", now=T0) is BlockState.CANCELLED
    assert not claim(archive, number)
    with pytest.raises(StateConflictError, match="cancelled"), archive.write() as session:
        orders.cancel_block(session, number, actor="astronomer", now=T0)


def test_cancelling_a_running_block_needs_its_worker(archive: Archive, add_block: Add) -> None:
    number = add_block("b")
    claim(archive, number)
    with archive.write() as session:
        assert orders.cancel_block(session, number, actor="astronomer", now=T0) is BlockState.RUNNING
        assert leases.heartbeat(session, Work(number), owner="w1", lease_seconds=60, now=T0) is LeaseAnswer.CANCEL
        assert leases.confirm_cancel(session, Work(number), owner="w1", now=T0)
    row = block(archive, number)
    assert (row.state, row.lease_owner) == (BlockState.CANCELLED, None)
    with archive.write() as session:
        assert orders.rerun_block(session, number, actor="astronomer") is BlockState.READY
    assert claim(archive, number)
    assert not block(archive, number).cancel_requested


def test_a_cancelled_block_whose_worker_dies_is_cancelled_not_repeated(archive: Archive, add_block: Add) -> None:
    number = add_block("b")
    claim(archive, number)
    with archive.write() as session:
        orders.cancel_block(session, number, actor="astronomer", now=T0)
        leases.release_expired_leases(session, actor="dispatch", now=after(61))
    assert block(archive, number).state is BlockState.CANCELLED


@pytest.mark.parametrize("end", ["retriable error", "orderly stop"])
def test_a_cancelled_block_that_ends_otherwise_first_is_not_repeated(
    archive: Archive, add_block: Add, end: str
) -> None:
    number = add_block("b")
    claim(archive, number)
    with archive.write() as session:
        orders.cancel_block(session, number, actor="astronomer", now=T0)
        if end == "orderly stop":
            assert leases.release_work(session, Work(number), owner="w1", reason="worker stops", now=T0)
        else:
            error = {"error_type": "child_died", "message": "killed", "retriable": True}
            assert leases.fail_work(session, Work(number), owner="w1", now=T0, **error) is BlockState.CANCELLED
    row = block(archive, number)
    assert (row.state, row.lease_owner, row.finished_at) == (BlockState.CANCELLED, None, T0)


def test_rerun_refuses_what_is_still_to_be_done_or_lacks_an_input(archive: Archive, add_block: Add) -> None:
    ready = add_block("ready")
    failed = add_block("failed", BlockState.FAILED, (("MASTER_BIAS", InputKind.MISSING, None),))
    waits = add_block("waits", BlockState.FAILED, (("MASTER_BIAS", InputKind.PLANNED, ready),))
    with archive.write() as session:
        with pytest.raises(StateConflictError, match="only one that is done, failed or cancelled"):
            orders.rerun_block(session, ready, actor="astronomer")
        with pytest.raises(StateConflictError, match="lacks an input"):
            orders.rerun_block(session, failed, actor="astronomer")
        assert orders.rerun_block(session, waits, actor="astronomer") is BlockState.WAITING


def test_the_same_work_is_never_done_twice(archive: Archive, add_block: Add) -> None:
    first, second = add_block("first", signature="same"), add_block("second", signature="same")
    claim(archive, first)
    finish(archive, first, BlockResult())
    claim(archive, second)
    with pytest.raises(StateConflictError, match="block first already did the same work"):
        finish(archive, second, BlockResult())


def test_no_way_leads_out_of_the_table_of_changes(archive: Archive, add_block: Add) -> None:
    for old in BlockState:
        for new in BlockState:
            number = add_block(f"{old}-{new}", old)
            with archive.write() as session:
                changed = transitions.change_block(
                    session, number, new, from_states=set(BlockState), actor="test", now=T0, signature=None
                )
            assert changed == (new in BLOCK_CHANGES[old]), (old, new)
            assert block(archive, number).state is (new if changed else old)


def test_unknown_things_are_named(archive: Archive) -> None:
    with archive.write() as session:
        for call in (
            lambda: transitions.queue_work(session, Work(77), actor="x"),
            lambda: finishing.finish_block(session, Work(77), BlockResult(), owner="x"),
            lambda: orders.rerun_block(session, 77, actor="x"),
            lambda: orders.set_priority(session, 77, 1, actor="x"),
        ):
            with pytest.raises(NotFoundError, match="77"):
                call()
        with pytest.raises(NotFoundError, match="product"):
            orders.set_product_state(session, 77, ProductState.CERTIFIED, actor="x")


def test_definitions_are_updated_not_doubled(archive: Archive) -> None:
    with archive.write() as session:
        register_parameters(session, [RON])
        changed = Qc1Definition("muse_bias", "master_ron", RON.keyword, "e-", "KPI", axes=RON.axes)
        assert register_parameters(session, [changed]) == 1
    with archive.read() as session:
        row = session.scalars(select(Qc1Parameter)).one()
    assert (row.unit, row.qc_class, row.axes) == ("e-", "KPI", "unit,quadrant")


def test_block_states_are_counted(archive: Archive, add_block: Add) -> None:
    add_block("a")
    add_block("b")
    add_block("c", BlockState.DONE)
    with archive.read() as session:
        assert block_states(session) == {BlockState.READY: 2, BlockState.DONE: 1}
        assert block_states(session, only_open=True) == {BlockState.READY: 2}
