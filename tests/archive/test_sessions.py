from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import StatementError

from core.archive.definitions import register_parameters
from core.archive.events import beat, record_event, worker_stopped
from core.archive.models import Event, WorkerHeartbeat, unit_mask, units_of_mask
from core.archive.records import Qc1Definition
from core.archive.schema import check_schema, upgrade
from core.archive.sessions import Archive, ArchiveUnavailableError, make_engine
from core.archive.states import WorkerKind
from core.errors import ParameterError


def test_times_come_back_in_ut_whatever_zone_they_had(archive: Archive) -> None:
    chile = datetime(2026, 11, 1, 21, 30, tzinfo=timezone(timedelta(hours=-3)))
    with archive.write() as session:
        record_event(session, "frame", "x", actor="test", now=chile)
    with archive.read() as session:
        stored = session.scalars(select(Event.time)).one()
    assert stored == chile
    assert stored.tzinfo is UTC
    assert stored.hour == 0


def test_a_time_without_zone_is_refused(archive: Archive) -> None:
    with pytest.raises(StatementError, match="without time zone"), archive.write() as session:
        record_event(session, "frame", "x", actor="test", now=datetime(2026, 11, 1))


def test_an_error_undoes_the_whole_transaction(archive: Archive) -> None:
    def stop_halfway() -> None:
        with archive.write() as session:
            record_event(session, "frame", "x", actor="test")
            session.flush()
            raise RuntimeError("halfway")

    with pytest.raises(RuntimeError, match="halfway"):
        stop_halfway()
    with archive.read() as session:
        assert session.scalars(select(Event)).all() == []


def test_two_writers_that_read_first_do_not_lose_a_change(archive: Archive) -> None:
    with archive.write() as session:
        beat(session, "counter", WorkerKind.INGEST, host="h", pid=0)

    def count() -> None:
        for _ in range(20):
            with archive.write() as session:
                session.scalars(select(WorkerHeartbeat)).one().pid += 1

    with ThreadPoolExecutor(3) as pool:
        for work in [pool.submit(count) for _ in range(3)]:
            work.result()
    with archive.read() as session:
        assert session.scalars(select(WorkerHeartbeat.pid)).one() == 60


def test_daemons_that_start_together_do_not_trip_over_each_other(archive: Archive) -> None:
    definition = Qc1Definition("muse_bias", "ron", "QC.BIAS.RON", "count", "HC", "float", ("unit",), "read-out noise")
    together = threading.Barrier(4)

    def start(number: int) -> int:
        with archive.read() as session:  # a connection is at hand: what follows is not spread by connecting
            session.execute(text("SELECT 1"))
        together.wait()
        with archive.write() as session:
            beat(session, "w", WorkerKind.EXECUTE, host="h", pid=number)
            return register_parameters(session, [definition])

    with ThreadPoolExecutor(4) as pool:
        changes = list(pool.map(start, range(4)))
    assert sorted(changes) == [0, 0, 0, 1]


def test_a_reader_is_not_held_up_by_a_writer(archive: Archive) -> None:
    with archive.write() as writer:
        record_event(writer, "frame", "x", actor="test")
        writer.flush()
        with archive.read() as reader:
            assert reader.scalars(select(Event)).all() == []


def test_a_database_that_does_not_answer_is_a_retriable_error() -> None:
    archive = Archive("postgresql://127.0.0.1:9/nothing")
    with pytest.raises(ArchiveUnavailableError) as caught, archive.read() as session:
        session.execute(text("SELECT 1"))
    assert caught.value.retriable
    archive.dispose()


@pytest.mark.parametrize("act", [upgrade, check_schema])
def test_the_schema_of_a_database_that_does_not_answer(act: Callable[[str], None]) -> None:
    with pytest.raises(ArchiveUnavailableError, match="does not answer"):
        act("postgresql://127.0.0.1:9/nothing")


@pytest.mark.parametrize("url", ["mysql://user:secret@host/name", "rubbish:secret"])
def test_urls_of_other_databases_are_refused_with_what_is_accepted(url: str) -> None:
    with pytest.raises(ParameterError, match="postgresql://") as caught:
        Archive(url)
    assert "secret" not in str(caught.value)


def test_a_transaction_that_the_server_ended_is_a_retriable_error(
    postgres_database: Callable[[str | None], str],
) -> None:
    archive = Archive(postgres_database(None))

    def stand_still() -> None:
        with archive.read() as session:
            session.execute(text("SET idle_in_transaction_session_timeout = '100ms'"))
            time.sleep(0.5)  # as a process that was stopped
            session.execute(text("SELECT 1"))

    with pytest.raises(ArchiveUnavailableError):
        stand_still()
    with archive.read() as session:
        assert session.scalar(text("SELECT 1")) == 1
    archive.dispose()


def test_too_many_sessions_at_once_are_a_retriable_error(
    sqlite_archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_archive.engine.pool, "_timeout", 0.05)
    with ExitStack() as stack:
        for _ in range(15):
            stack.enter_context(sqlite_archive.engine.connect())
        with pytest.raises(ArchiveUnavailableError, match="no free connection"), sqlite_archive.read() as session:
            session.execute(text("SELECT 1"))


def test_sqlite_enforces_foreign_keys(sqlite_archive: Archive) -> None:
    with sqlite_archive.read() as session:
        assert session.execute(text("PRAGMA foreign_keys")).scalar() == 1
        assert session.execute(text("PRAGMA journal_mode")).scalar() == "wal"


def test_the_signs_of_life_of_a_daemon(archive: Archive) -> None:
    start = datetime(2026, 11, 1, 22, tzinfo=UTC)
    for seconds, pid in ((0, 10), (15, 10), (30, 11)):
        with archive.write() as session:
            now = start + timedelta(seconds=seconds)
            beat(session, "w", WorkerKind.EXECUTE, host="h", pid=pid, doing=f"block {seconds}", now=now)
    with archive.write() as session:
        row = session.scalars(select(WorkerHeartbeat)).one()
        assert (row.started_at, row.doing) == (start + timedelta(seconds=30), "block 30")
        worker_stopped(session, "w", now=start + timedelta(seconds=40))
    with archive.read() as session:
        row = session.scalars(select(WorkerHeartbeat)).one()
    assert (row.stopped_at, row.doing) == (start + timedelta(seconds=40), "")


def test_ifu_masks() -> None:
    assert units_of_mask(unit_mask([24, 1, 7])) == (1, 7, 24)
    assert units_of_mask(0) == ()
    assert unit_mask(range(1, 25)) == 2**24 - 1


def test_a_new_database_may_be_opened_by_many_at_once(tmp_path: Path) -> None:
    errors: list[BaseException] = []
    for number in range(60):
        url = f"sqlite:///{tmp_path / f'{number}.sqlite'}"
        together = threading.Barrier(6)

        def begin(url: str = url, together: threading.Barrier = together) -> None:
            engine = make_engine(url).execution_options(archive_write=True)
            together.wait()
            try:
                with engine.begin() as connection:
                    connection.exec_driver_sql("CREATE TABLE IF NOT EXISTS t (a INTEGER)")
            except BaseException as error:
                errors.append(error)
            engine.dispose()

        threads = [threading.Thread(target=begin) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert errors == []
