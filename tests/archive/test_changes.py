"""The watch sees every commit, of whatever connection, and nothing else."""

from __future__ import annotations

from collections.abc import Callable

from core.archive.changes import ChangeWatch
from core.archive.sessions import Archive


def test_a_commit_is_seen_and_reading_is_not(archive: Archive, add_frame: Callable[..., int]) -> None:
    watch = ChangeWatch(archive.engine)
    first = watch.stamp()
    assert first is not None
    with archive.read() as session:
        session.connection()
    assert watch.stamp() == first
    add_frame("A")
    second = watch.stamp()
    assert second != first
    assert watch.stamp() == second
    watch.close()


def test_what_is_rolled_back_cannot_hide_a_commit(archive: Archive, add_frame: Callable[..., int]) -> None:
    watch, other = ChangeWatch(archive.engine), Archive(archive.database_url)
    first = watch.stamp()
    try:
        with other.write() as session:
            session.connection().exec_driver_sql("DELETE FROM events")
            raise KeyError
    except KeyError:
        pass
    after = watch.stamp()
    add_frame("A")
    assert watch.stamp() not in (first, after)
    watch.close()
    other.dispose()


def test_stamps_of_another_connection_are_never_equal(archive: Archive) -> None:
    watch = ChangeWatch(archive.engine)
    first = watch.stamp()
    watch.close()
    assert watch.stamp() != first
    watch.close()


def test_a_database_that_is_gone_has_no_stamp() -> None:
    archive = Archive("postgresql://nobody@127.0.0.1:1/none?connect_timeout=2")
    assert ChangeWatch(archive.engine).stamp() is None
    archive.dispose()
