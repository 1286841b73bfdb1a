"""Whether anything was written to the archive since a moment: what was read before is still true if not.

The question costs some microseconds on SQLite and one round trip on PostgreSQL; it reads no table.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Any, Final

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

__all__ = ["ChangeWatch", "Stamp"]

Stamp = tuple[int, Any]
"""State of the archive; equal ones of one watch see the same rows."""

_QUESTIONS: Final = {
    # Changes with every commit of another connection, of whatever process.
    "sqlite": "PRAGMA data_version",
    # Which transactions are visible: with every write that begins or ends, of any database of the server.
    "postgresql": "SELECT pg_current_snapshot()::text",
}


class ChangeWatch:
    """A connection of its own that is asked for the state of the archive; threads may share it.

    Parameters
    ----------
    engine : sqlalchemy.Engine
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._question = _QUESTIONS[engine.dialect.name]
        self._lock = threading.Lock()
        self._connection: Any = None
        self._number = 0  # of the connection: what another one said cannot be compared

    @property
    def is_quick(self) -> bool:
        """Whether the answer is at hand, and nobody waits for it."""
        return self._engine.dialect.name == "sqlite"

    def stamp(self) -> Stamp | None:
        """The present state; None if the database does not answer."""
        dbapi = self._engine.dialect.loaded_dbapi
        with self._lock:
            try:
                if self._connection is None:
                    self._connection = self._connect()
                return self._number, self._connection.execute(self._question).fetchone()[0]
            except (SQLAlchemyError, dbapi.Error):
                self._close()
                return None

    def close(self) -> None:
        """Close the connection; the next question opens another."""
        with self._lock:
            self._close()

    def _connect(self) -> Any:
        pooled = self._engine.raw_connection()
        connection: Any = pooled.driver_connection
        pooled.detach()  # kept for long: it must not count as one of the pool
        if self._engine.dialect.name == "postgresql":
            connection.autocommit = True  # each question is a transaction of its own
        self._number += 1
        return connection

    def _close(self) -> None:
        if self._connection is not None:
            with suppress(self._engine.dialect.loaded_dbapi.Error):  # it may be broken, and closed for that
                self._connection.close()
            self._connection = None
