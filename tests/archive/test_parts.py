"""The life of the parts of a block in the archive, on both databases."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from core.archive import finishing, leases, orders, parts, queries, transitions
from core.archive.models import Block, BlockPart, Event
from core.archive.records import BlockResult, NewPart, Work
from core.archive.sessions import Archive
from core.archive.states import PART_CHANGES, BlockState
from core.errors import NotFoundError, StateConflictError

Add = Callable[..., int]
T0 = datetime(2026, 11, 2, 4, tzinfo=UTC)
LIMITS: dict[str, Any] = {"owner": "w", "lease_seconds": 60, "now": T0}
WHY: dict[str, Any] = {"owner": "w", "error_type": "data", "message": "dark", "now": T0}


def divided(archive: Archive, add_block: Add, survives: bool = False, number: int = 2) -> int:
    """A block that is prepared and has some slabs."""
    block_id = add_block("cube", max_tries=2)
    with archive.write() as session:
        assert leases.claim_work(session, Work(block_id), **LIMITS)
        parts.divide_block(
            session,
            block_id,
            [NewPart(f"slab-{k:03d}", f"slab {k}") for k in range(1, number + 1)],
            owner="w",
            work_name="cube.1234",
            survives_loss=survives,
            peak_mb=100.0,
            now=T0,
        )
    return block_id


def states(archive: Archive) -> list[str]:
    """State of the block, of its slabs, of the last step."""
    with archive.read() as session:
        rows = session.scalars(select(BlockPart.state).order_by(BlockPart.position)).all()
        return [session.scalars(select(Block.state)).one().value, *(state.value for state in rows)]


def do(archive: Archive, work: Work, **values: Any) -> None:
    with archive.write() as session:
        assert leases.claim_work(session, work, **LIMITS)
        parts.end_part(session, work, owner="w", now=T0 + timedelta(seconds=9), **values)


def lose(archive: Archive, work: Work) -> None:
    with archive.write() as session:
        assert leases.claim_work(session, work, **LIMITS)
        leases.fail_work(session, work, retriable=False, **WHY)


def test_a_divided_block_runs_without_a_lease_of_its_own(archive: Archive, add_block: Add) -> None:
    block_id = divided(archive, add_block)
    assert states(archive) == ["running", "ready", "ready", "waiting"]
    with archive.write() as session:
        assert leases.running_leases(session) == []
        assert leases.release_expired_leases(session, actor="dispatch", now=T0 + timedelta(days=1)) == []
        assert queries.ready_work(session) == [Work(block_id, "slab-001"), Work(block_id, "slab-002")]
        assert queries.shared_work_names(session) == {"cube.1234"}
        assert not leases.claim_work(session, Work(block_id, parts.FINISH), **LIMITS)


def test_the_last_step_is_ready_in_the_transaction_of_the_last_part(archive: Archive, add_block: Add) -> None:
    block_id = divided(archive, add_block)
    do(archive, Work(block_id, "slab-002"), peak_mb=300.0)
    assert states(archive) == ["running", "ready", "done", "waiting"]
    do(archive, Work(block_id, "slab-001"), peak_mb=200.0)
    assert states(archive) == ["running", "done", "done", "ready"]
    last = Work(block_id, parts.FINISH)
    with archive.write() as session:
        assert leases.claim_work(session, last, **LIMITS)
        finishing.finish_block(session, last, BlockResult(peak_mb=50.0), owner="w", now=T0)
    assert states(archive) == ["done", "done", "done", "done"]
    with archive.read() as session:
        block = session.get_one(Block, block_id)
        assert (block.peak_mb, block.work_name) == (300.0, None)  # the largest of all
        events = session.scalars(
            select(Event.subject).where(Event.kind == "part", Event.to_state == "done").order_by(Event.id)
        ).all()
    assert events == ["cube slab-002", "cube slab-001", "cube finish"]


def test_a_part_that_is_lost_fails_the_block_unless_the_recipe_survives_it(archive: Archive, add_block: Add) -> None:
    block_id = divided(archive, add_block)
    lose(archive, Work(block_id, "slab-001"))
    assert states(archive) == ["failed", "failed", "cancelled", "cancelled"]
    with archive.read() as session:
        block = session.get_one(Block, block_id)
        assert (block.error_type, block.error_message) == ("data", "slab 1 failed: dark")
        assert block.work_name is None


def test_a_recipe_that_survives_it_goes_on_until_no_part_is_left(archive: Archive, add_block: Add) -> None:
    block_id = divided(archive, add_block, survives=True)
    lose(archive, Work(block_id, "slab-001"))
    assert states(archive) == ["running", "failed", "ready", "waiting"]
    with archive.read() as session:
        assert [part.key for part in queries.lost_parts(session, block_id)] == ["slab-001"]
    lose(archive, Work(block_id, "slab-002"))
    assert states(archive) == ["failed", "failed", "failed", "cancelled"]


def test_a_silent_worker_loses_its_part_and_after_all_tries_the_block(archive: Archive, add_block: Add) -> None:
    block_id = divided(archive, add_block)
    work = Work(block_id, "slab-001")
    for expected in ("ready", "failed"):
        with archive.write() as session:
            assert leases.claim_work(session, work, **LIMITS)
            late = T0 + timedelta(seconds=61)
            assert leases.release_expired_leases(session, actor="dispatch", now=late) == [work]
        assert states(archive)[1] == expected
    assert states(archive)[0] == "failed"
    with archive.read() as session:
        assert session.get_one(Block, block_id).error_type == "lease_lost"


def test_a_part_goes_through_the_broker_like_a_block(archive: Archive, add_block: Add) -> None:
    block_id = divided(archive, add_block)
    work = Work(block_id, "slab-001")
    with archive.write() as session:
        assert transitions.queue_work(session, work, actor="dispatch", now=T0)
        assert queries.queued_count(session) == 1
        late = T0 + timedelta(seconds=101)
        assert transitions.requeue_stale(session, older_than=100, actor="dispatch", now=late) == [work]
        assert leases.claim_work(session, work, **LIMITS)
        assert leases.fail_work(session, work, retriable=True, retry_seconds=30, **WHY) is BlockState.READY
        assert queries.next_try_time(session) == T0 + timedelta(seconds=30)
        assert queries.work_tries(session, work) == 1
        assert queries.ready_work(session, now=T0) == [Work(block_id, "slab-002")]


def test_a_cancelled_block_takes_its_parts_along(archive: Archive, add_block: Add) -> None:
    block_id = divided(archive, add_block)
    work = Work(block_id, "slab-001")
    with archive.write() as session:
        leases.claim_work(session, work, **LIMITS)
        assert orders.cancel_block(session, block_id, actor="astronomer", now=T0) is BlockState.CANCELLED
        answer = leases.heartbeat(session, work, owner="w", lease_seconds=60, now=T0)
        assert answer is leases.LeaseAnswer.LOST
        with pytest.raises(StateConflictError, match="block cube, slab-001, is no longer held by w"):
            parts.end_part(session, work, owner="w", now=T0)
    assert states(archive) == ["cancelled", "cancelled", "cancelled", "cancelled"]


def test_a_block_that_is_done_again_forgets_its_parts(archive: Archive, add_block: Add) -> None:
    block_id = divided(archive, add_block)
    lose(archive, Work(block_id, "slab-001"))
    with archive.write() as session:
        orders.rerun_block(session, block_id, actor="astronomer", now=T0)
        assert leases.claim_work(session, Work(block_id), **LIMITS)
        assert not leases.claim_work(session, Work(block_id, "slab-002"), **LIMITS)  # an old message
    assert states(archive) == ["running"]


def test_no_way_leads_out_of_the_table_of_changes(archive: Archive, add_block: Add) -> None:
    block_id = divided(archive, add_block, number=1)
    for old, targets in PART_CHANGES.items():
        for new in PART_CHANGES:
            with archive.write() as session:
                session.scalars(select(BlockPart).where(BlockPart.key == "slab-001")).one().state = old
                session.flush()
                changed = transitions.change_work(
                    session, Work(block_id, "slab-001"), new, from_states=set(BlockState), actor="test"
                )
            assert changed == (new in targets), (old, new)


def test_a_part_that_is_not_there_is_named(archive: Archive, add_block: Add) -> None:
    block_id = divided(archive, add_block)
    with archive.write() as session, pytest.raises(NotFoundError, match=f"number {block_id} with a part slab-009"):
        transitions.queue_work(session, Work(block_id, "slab-009"), actor="x")
