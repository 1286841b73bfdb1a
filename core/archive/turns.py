"""Who plans: one process at a time, from reading what there is to saving the plan.

A plan that was made from an older view must not be saved over one that was made from a newer view. The write lock of
the archive (`core.archive.sessions`) cannot see to that: it is held only while a plan is saved, since all others wait
for it, and planning takes long. So a planner takes its turn first. The lock is one on a file beside an SQLite database,
or a session's advisory lock of PostgreSQL; both end with the process that holds them.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from core.archive.sessions import Archive, ArchiveUnavailableError, archive_errors
from core.errors import RetriableError

__all__ = ["PlanningBusyError", "PlanningTurn", "planning_turn"]

_PLAN_LOCK = 0x4D555346  # any constant other than that of the write lock: the key on PostgreSQL
_LOOK_SECONDS = 0.1


class PlanningBusyError(RetriableError):
    """Another process plans now."""

    error_type = "planning_busy"


class PlanningTurn:
    """The right to plan and to save; see `planning_turn`."""

    def __init__(self, check: Callable[[], None]) -> None:
        self._check = check

    def check(self) -> None:
        """Call it before each transaction that saves.

        Raises
        ------
        ArchiveUnavailableError
            If the turn is lost, since the database ended the connection that held it; plan again then.
        """
        self._check()


@contextmanager
def planning_turn(archive: Archive, patience: float = 0.0) -> Iterator[PlanningTurn]:
    """Take the turn of planning, and give it back at the end of the block.

    Parameters
    ----------
    archive : Archive
    patience : float
        How long to wait for another process that plans [s].

    Raises
    ------
    PlanningBusyError
        If another process still plans then.
    ArchiveUnavailableError
        If the database does not answer.
    """
    until = time.monotonic() + patience
    with (
        _postgresql_lock(archive) if archive.engine.dialect.name == "postgresql" else _file_lock(archive) as (
            take,
            check,
        )
    ):
        while not take():
            if time.monotonic() >= until:
                raise PlanningBusyError("another process is planning: try again when it is done")
            time.sleep(_LOOK_SECONDS)
        yield PlanningTurn(check)


_Lock = tuple[Callable[[], bool], Callable[[], None]]


@contextmanager
def _file_lock(archive: Archive) -> Iterator[_Lock]:
    path = f"{archive.engine.url.database}-plan"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise ArchiveUnavailableError(f"no lock beside the archive database: {error.strerror}", file=path) from error

    def take() -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            raise ArchiveUnavailableError(f"no lock beside the database: {error.strerror}", file=path) from error
        return True

    try:
        yield take, lambda: None
    finally:
        os.close(descriptor)  # ends the lock


@contextmanager
def _postgresql_lock(archive: Archive) -> Iterator[_Lock]:
    with archive_errors():
        # No transaction is open while it is held: those that stand idle are ended by the server.
        connection = archive.engine.connect().execution_options(isolation_level="AUTOCOMMIT")

    def take() -> bool:
        with archive_errors():
            return bool(connection.scalar(text(f"SELECT pg_try_advisory_lock({_PLAN_LOCK})")))

    def check() -> None:
        with archive_errors():
            connection.execute(text("SELECT 1"))

    try:
        yield take, check
    finally:
        # The end of the session ends the lock too, but when the server gets to it.
        with contextlib.suppress(SQLAlchemyError):
            connection.execute(text(f"SELECT pg_advisory_unlock({_PLAN_LOCK})"))
        connection.invalidate()
        connection.close()
