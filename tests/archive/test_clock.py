"""Times that hosts compare are those of the database, whatever the clock of a host says."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from core.archive import leases, transitions
from core.archive.base import utc_now
from core.archive.clock import clock_offset, database_now
from core.archive.events import beat, record_event
from core.archive.leases import LeaseAnswer
from core.archive.models import Block, Event, WorkerHeartbeat
from core.archive.queries import next_try_time, ready_work
from core.archive.records import Work
from core.archive.sessions import Archive
from core.archive.states import BlockState, WorkerKind
from core.settings import Settings
from service.status import read_status
from tests.workers.ahead import AHEAD, ClockAhead


@pytest.fixture
def ahead(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From the call on this process is one on such a host."""
    return lambda: monkeypatch.setattr("core.archive.base.datetime", ClockAhead)


def test_the_clock_of_the_database_is_read_anew_at_each_question(archive: Archive) -> None:
    before = utc_now()
    with archive.write() as session:
        first = database_now(session)
        second = database_now(session)
    assert timedelta() <= second - first < timedelta(minutes=1)
    assert abs(first - before) < timedelta(minutes=1)


def test_a_host_that_is_ahead_takes_no_lease_away_and_pauses_no_longer(
    archive: Archive, add_block: Callable[..., int], ahead: Callable[[], None]
) -> None:
    work = Work(add_block("held"))
    with archive.write() as session:
        assert leases.claim_work(session, work, owner="true", lease_seconds=60)
    ahead()
    with archive.write() as session:
        assert leases.release_expired_leases(session, actor="ahead") == []
        assert leases.heartbeat(session, work, owner="true", lease_seconds=60) is LeaseAnswer.HELD
        assert timedelta() < session.get_one(Block, work.block_id).lease_until - database_now(session) < AHEAD / 2
        leases.fail_work(session, work, owner="true", error_type="x", message="x", retriable=True, retry_seconds=120)
        assert ready_work(session) == []
        assert timedelta() < next_try_time(session) - database_now(session) < AHEAD / 2


def test_a_host_that_is_ahead_sends_nothing_again_before_its_time(
    archive: Archive, add_block: Callable[..., int], ahead: Callable[[], None]
) -> None:
    work = Work(add_block("sent"))
    with archive.write() as session:
        assert transitions.queue_work(session, work, actor="true")
    ahead()
    with archive.write() as session:
        assert transitions.requeue_stale(session, older_than=300.0, actor="ahead") == []
        assert session.get_one(Block, work.block_id).state is BlockState.QUEUED


def test_rows_and_events_have_the_time_of_the_database(archive: Archive, ahead: Callable[[], None]) -> None:
    ahead()
    with archive.write() as session:
        record_event(session, "plan", "x", actor="ahead")
    with archive.read() as session:
        assert abs(session.scalars(select(Event.time)).one() - database_now(session)) < AHEAD / 2


def test_a_host_that_is_ahead_is_alive_and_its_offset_is_told(
    archive: Archive, tmp_path: Path, ahead: Callable[[], None]
) -> None:
    settings = Settings(data_dir=tmp_path)
    with archive.write() as session:
        for kind in (WorkerKind.INGEST, WorkerKind.DISPATCH):
            beat(session, f"{kind}@true", kind, host="true", pid=1)
    ahead()
    with archive.write() as session:
        beat(session, "execute@ahead", WorkerKind.EXECUTE, host="ahead", pid=2)
        assert clock_offset(session) == pytest.approx(600, abs=30)
    with archive.read() as session:
        offsets = dict(session.execute(select(WorkerHeartbeat.host, WorkerHeartbeat.clock_offset)).all())
        status = read_status(session, settings)
    assert offsets["ahead"] == pytest.approx(600, abs=30)
    assert abs(offsets["true"]) < 30
    assert {daemon.state for daemon in status.daemons} == {"alive"}
    told = [alarm.text for alarm in status.alarms if "clock" in alarm.text]
    assert len(told) == 1
    assert told[0].startswith("The clock of ahead is ")
    assert "ahead of the database's" in told[0]
