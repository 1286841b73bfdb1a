"""Engines and sessions of the archive database.

`Archive` hands out short read sessions and write transactions. A write transaction takes the write lock of the
archive at its start, on SQLite and PostgreSQL alike, so that "read, decide, write" cannot lose a race; readers
never wait (WAL, snapshots).
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session

from core.archive.clock import database_now
from core.archive.night_counts import watch_nights
from core.archive.qc1_summaries import watch_summaries
from core.errors import ParameterError, RetriableError
from core.sqliteurl import sqlite_path

__all__ = ["Archive", "ArchiveUnavailableError", "archive_errors", "make_engine"]

_CACHE_MB: Final = 64  # what a connection keeps in memory of an SQLite file: enough for a large transaction
_BUSY_SECONDS = 30
_STALLED_SECONDS = 120  # after so long without a word, PostgreSQL ends a transaction (of a stopped process)
_WRITE_LOCK = 0x4D555345  # any constant: the key of the write lock on PostgreSQL


class ArchiveUnavailableError(RetriableError):
    """The archive database does not answer, or is locked for too long."""

    error_type = "archive_unavailable"


def make_engine(database_url: str, *, foreign_keys: bool = True, cache_mb: int = _CACHE_MB) -> Engine:
    """Create an engine for SQLite or PostgreSQL.

    Parameters
    ----------
    database_url : str
        ``sqlite:///path`` or ``postgresql://...`` (the psycopg 3 driver is used).
    foreign_keys : bool
        Enforce foreign keys on SQLite; migrations that rebuild tables switch it off.
    cache_mb : int
        What each connection keeps of an SQLite file in memory [MiB].

    Raises
    ------
    ParameterError
        If it is the URL of neither.
    """
    try:
        url = make_url(database_url)
    except ArgumentError:
        url = URL.create("not a URL")  # what was given may hold a password
    if url.drivername in ("postgresql", "postgres"):
        url = url.set(drivername="postgresql+psycopg")
    if url.drivername == "postgresql+psycopg":
        return _postgresql_engine(url)
    if url.get_backend_name() == "sqlite":
        path = sqlite_path(database_url)
        # SQLAlchemy 2.0 and 2.1 disagree about quoted characters of a path.
        return _sqlite_engine(url if path is None else url.set(database=str(path)), foreign_keys, cache_mb)
    raise ParameterError(
        f"database_url is not accepted ({url.drivername}): it takes sqlite:////directory/file or "
        "postgresql://user:password@host/database",
        parameter="database_url",
    )


def _postgresql_engine(url: URL) -> Engine:
    limits = f"-c lock_timeout={_BUSY_SECONDS}s -c idle_in_transaction_session_timeout={_STALLED_SECONDS}s"
    engine = create_engine(url, pool_pre_ping=True, connect_args={"options": limits})

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        if connection.get_execution_options().get("archive_write", False):
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITE_LOCK})")

    return engine


def _sqlite_engine(url: URL, foreign_keys: bool, cache_mb: int) -> Engine:
    if url.database and url.database != ":memory:":
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, connect_args={"timeout": _BUSY_SECONDS})

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver shall not begin transactions by itself
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {_BUSY_SECONDS * 1000}")
        _set_wal(cursor)
        cursor.execute("PRAGMA synchronous = NORMAL")
        cursor.execute(f"PRAGMA foreign_keys = {'ON' if foreign_keys else 'OFF'}")
        cursor.execute(f"PRAGMA cache_size = {-1024 * cache_mb}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("archive_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _set_wal(cursor: Any) -> None:
    """Write-ahead log; of two processes that open a new database at once, SQLite refuses one instead of waiting."""
    until = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(0.02)
        else:
            return


class Archive:
    """The archive database.

    Parameters
    ----------
    database_url : str
        See `make_engine`. The schema must exist (`core.archive.schema.upgrade`).
    cache_mb : int
        See `make_engine`; who has many connections and only reads takes little, the system keeps the file as well.

    Examples
    --------
    >>> archive = Archive("sqlite:////data/cascade.sqlite")     # doctest: +SKIP
    >>> with archive.read() as session:                         # doctest: +SKIP
    ...     nights = queries.nights_summary(session)
    >>> with archive.write() as session:                        # doctest: +SKIP
    ...     orders.cancel_block(session, block_id, actor="astronomer")
    """

    def __init__(self, database_url: str, *, cache_mb: int = _CACHE_MB) -> None:
        self.database_url = database_url
        self.engine = make_engine(database_url, cache_mb=cache_mb)
        self._write_engine = self.engine.execution_options(archive_write=True)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session for reading; nothing is committed. Objects stay usable after its end.

        Raises
        ------
        ArchiveUnavailableError
            If the database does not answer.
        """
        with archive_errors(), Session(self.engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """One transaction: committed at the end of the block, rolled back when an exception leaves it.

        What pages read in sums (`core.archive.night_counts`, `core.archive.qc1_summaries`) is made true in it.

        Raises
        ------
        ArchiveUnavailableError
            If the database does not answer.
        """
        with archive_errors(), Session(self._write_engine, expire_on_commit=False) as session, session.begin():
            watches = (watch_nights(session), watch_summaries(session))
            yield session
            for watch in watches:
                watch.settle()

    def now(self) -> datetime:
        """The present moment by the clock of the database."""
        with self.read() as session:
            return database_now(session)

    def dispose(self) -> None:
        """Close all connections (also needed first thing in a forked child)."""
        self.engine.dispose()


@contextmanager
def archive_errors() -> Iterator[None]:
    """Turn what a database says that cannot be reached or is too busy into `ArchiveUnavailableError`."""
    try:
        yield
    except PoolTimeoutError as error:
        raise ArchiveUnavailableError("the archive database has no free connection; try again later") from error
    except DBAPIError as error:
        # A server that ends a connection may give a reason of another kind, e.g. that a transaction was idle.
        if isinstance(error, OperationalError | InterfaceError) or error.connection_invalidated:
            raise ArchiveUnavailableError(f"the archive database does not answer: {error.orig}") from error
        raise
