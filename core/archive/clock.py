"""The clock of the archive: that of its database, since the clocks of hosts differ.

Leases, pauses between tries, signs of life and ages are compared with times that other hosts wrote. So every such time
comes from here: SQLite asks the machine that all processes share, PostgreSQL that of the server. The clock of a host
itself (`utc_now`) is for what only its own people read, and for measuring how wrong it is (`clock_offset`).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from core.archive.base import UtcDateTime, utc_now

__all__ = ["DatabaseClock", "clock_offset", "database_now"]


class DatabaseClock(FunctionElement[datetime]):
    """The present moment in SQL; also the default of columns that say when a row was made."""

    name = "database_clock"
    type = UtcDateTime()
    inherit_cache = True


@compiles(DatabaseClock, "postgresql")
def _postgresql(_element: DatabaseClock, _compiler: SQLCompiler, **_options: Any) -> str:
    return "clock_timestamp()"  # now() would be the beginning of the transaction, which may have waited for the lock


@compiles(DatabaseClock, "sqlite")
def _sqlite(_element: DatabaseClock, _compiler: SQLCompiler, **_options: Any) -> str:
    return "strftime('%Y-%m-%d %H:%M:%f000', 'now')"  # as `UtcDateTime` is stored; milliseconds are all it knows


def database_now(session: Session) -> datetime:
    """The present moment in UT by the clock of the database."""
    return session.execute(select(DatabaseClock())).scalar_one()


def clock_offset(session: Session) -> float:
    """By how much the clock of this host is ahead of that of the database [s], to half the time of the question."""
    before = utc_now()
    moment = database_now(session)
    after = utc_now()
    return ((before - moment) + (after - moment)).total_seconds() / 2
