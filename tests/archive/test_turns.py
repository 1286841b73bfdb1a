"""One process plans at a time."""

from __future__ import annotations

import threading
import time

import pytest
from sqlalchemy import text

from core.archive.sessions import Archive, ArchiveUnavailableError
from core.archive.turns import PlanningBusyError, planning_turn


def test_one_plans_at_a_time_and_nobody_waits_for_it_to_write(archive: Archive) -> None:
    other = Archive(archive.database_url)
    with planning_turn(archive) as turn:
        turn.check()
        with pytest.raises(PlanningBusyError), planning_turn(other):
            pytest.fail("two plan at once")
        with other.write() as session:
            session.execute(text("SELECT 1"))
    with planning_turn(other):
        pass
    other.dispose()


def test_a_turn_ends_with_an_error_too(archive: Archive) -> None:
    with pytest.raises(ZeroDivisionError), planning_turn(archive):
        raise ZeroDivisionError
    with planning_turn(archive):
        pass


def test_the_patient_get_their_turn(archive: Archive) -> None:
    other = Archive(archive.database_url)
    order: list[str] = []

    def wait() -> None:
        with planning_turn(other, patience=600.0):
            order.append("second")

    with planning_turn(archive):
        thread = threading.Thread(target=wait)
        thread.start()
        time.sleep(0.3)
        order.append("first")
    thread.join()
    other.dispose()
    assert order == ["first", "second"]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_turn_that_the_server_ended_is_noticed(archive: Archive) -> None:
    other = Archive(archive.database_url)
    kill = text(
        "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    with planning_turn(archive) as turn:
        with other.write() as session:
            session.execute(kill)  # waits until they are gone
        with pytest.raises(ArchiveUnavailableError):
            turn.check()
    with planning_turn(other):
        pass
    other.dispose()
