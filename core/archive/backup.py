"""Backups: the rows of an archive as they are at one moment, in one SQLite file, whatever database they come from.

A backup is itself an archive of the schema that it was made with. So it can be read by the same code, brought to a
newer schema, and restored into SQLite or PostgreSQL; daemons may be at work while it is made.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from alembic.runtime.migration import MigrationContext
from alembic.util.exc import CommandError
from sqlalchemy import Column, Connection, Engine, Table, bindparam, func, insert, select, text, update
from sqlalchemy.exc import DatabaseError

from core.archive.base import Base
from core.archive.schema import SchemaVersionError, current_revision, head_revision, upgrade
from core.archive.sessions import ArchiveUnavailableError, archive_errors, make_engine
from core.errors import ParameterError, ProductStoreError, StateConflictError
from core.sqliteurl import sqlite_url

__all__ = ["BackupContents", "make_backup", "restore_backup"]

_ROWS: Final = 1000  # that are in memory at once
_MODE: Final = 0o640


@dataclass(frozen=True)
class BackupContents:
    """What a backup holds: the version of its schema, and the number of rows of each table."""

    revision: str
    rows: Mapping[str, int]


def make_backup(database_url: str, path: Path) -> BackupContents:
    """Write all rows of an archive, as they are at one moment, into a new file.

    The file appears under its name when it is whole and on the disk.

    Raises
    ------
    ParameterError
        If the file exists already.
    SchemaVersionError
        If the database is not of the schema of this code.
    ProductStoreError
        If the file cannot be written.
    ArchiveUnavailableError
        If the database does not answer.
    """
    if path.exists():
        raise ParameterError("the file exists: a backup overwrites nothing, name another", file=path)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, _MODE))
        contents = _write(database_url, part)
        _to_disk(part)
        os.link(part, path)  # unlike a rename, it replaces nothing that has come meanwhile
        _to_disk(path.parent)
    except FileExistsError as error:
        raise ParameterError("the file exists: a backup overwrites nothing, name another", file=path) from error
    except OSError as error:
        raise ProductStoreError(f"the backup cannot be written: {error.strerror}", file=path) from error
    finally:
        for ending in ("", "-wal", "-shm", "-journal"):
            part.with_name(part.name + ending).unlink(missing_ok=True)
    return contents


def restore_backup(database_url: str, path: Path) -> BackupContents:
    """Fill an archive without rows from a backup, in one transaction; a backup of an older schema is brought to ours.

    Returns
    -------
    BackupContents
        What the archive holds now; the revision is that which the backup has.

    Raises
    ------
    ParameterError
        If the file is no backup.
    StateConflictError
        If the archive has rows.
    SchemaVersionError
        If the backup is of a newer version of the project.
    ArchiveUnavailableError
        If the database does not answer.
    """
    with _present_schema(path) as (source_url, revision):
        upgrade(database_url)
        with (
            _engine(make_engine(source_url)) as source,
            _engine(make_engine(database_url).execution_options(archive_write=True)) as target,
            archive_errors(),
            source.connect() as read,
            target.begin() as write,
        ):
            filled = [table.name for table in _tables() if _count(write, table)]
            if filled:
                raise StateConflictError(
                    f"the archive is not empty (it has {', '.join(filled)}): a backup is restored into a new one only, "
                    "before daemons are started"
                )
            rows = _copy_all(read, write)
            _number_on(write)
    return BackupContents(revision, rows)


def _write(database_url: str, part: Path) -> BackupContents:
    url = sqlite_url(part.absolute())
    upgrade(url)
    with (
        _engine(make_engine(database_url)) as source,
        _engine(make_engine(url)) as target,
        archive_errors(),
        _snapshot(source) as read,
    ):
        revision = MigrationContext.configure(read).get_current_revision()
        if revision is None or revision != head_revision():
            raise SchemaVersionError(
                f"the archive database has schema version {revision or 'none'}, this program needs {head_revision()}"
            )
        with target.begin() as write:
            rows = _copy_all(read, write)
        with closing(target.raw_connection()) as raw:  # one file, without a log beside it
            raw.cursor().execute("PRAGMA journal_mode = DELETE")
    return BackupContents(revision, rows)


@contextmanager
def _snapshot(engine: Engine) -> Iterator[Connection]:
    """A connection that sees the rows of one moment; nobody waits for it."""
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":  # a read transaction of SQLite is one anyway
            connection = connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        yield connection


@contextmanager
def _present_schema(path: Path) -> Iterator[tuple[str, str]]:
    """URL of a copy of the backup that has the schema of this code, and the revision that the backup has."""
    if not path.is_file():
        raise ParameterError("there is no such file", file=path)
    with tempfile.TemporaryDirectory(prefix="cascade-restore-") as folder:
        url = sqlite_url(Path(folder) / "backup.sqlite")
        try:
            shutil.copyfile(path, Path(folder) / "backup.sqlite")
            revision = current_revision(url)
            if revision is None:
                raise ParameterError("the file is no backup of an archive", file=path)
            upgrade(url)
        except OSError as error:
            raise ProductStoreError(f"the backup cannot be read: {error.strerror}", file=path) from error
        except (DatabaseError, ArchiveUnavailableError) as error:
            raise ParameterError("the file is no backup of an archive, or damaged", file=path) from error
        except CommandError as error:
            raise SchemaVersionError(
                f"the backup is of a newer version of the project (schema {revision}); this one knows up to "
                f"{head_revision()}"
            ) from error
        yield url, revision


def _tables() -> list[Table]:
    """All tables, those that others refer to first."""
    return Base.metadata.sorted_tables


def _count(connection: Connection, table: Table) -> int:
    return connection.execute(select(func.count()).select_from(table)).scalar_one()


def _copy_all(read: Connection, write: Connection) -> dict[str, int]:
    return {table.name: _copy(read, write, table) for table in _tables()}


def _copy(read: Connection, write: Connection, table: Table) -> int:
    """Copy a table; what refers to rows of the same table is filled in when all of them are there."""
    own = [column for column in table.columns if any(key.column.table is table for key in column.foreign_keys)]
    query = select(table).order_by(*table.primary_key.columns).execution_options(yield_per=_ROWS)
    count = 0
    for rows in read.execute(query).mappings().partitions():
        values = [{**row, **{column.name: None for column in own}} for row in rows]
        write.execute(insert(table), values)
        count += len(rows)
    for column in own:
        _refer(read, write, table, column)
    return count


def _refer(read: Connection, write: Connection, table: Table, column: Column[Any]) -> None:
    (key,) = table.primary_key.columns
    fill = update(table).where(key == bindparam("row")).values({column: bindparam("other")})
    query = select(key.label("row"), column.label("other")).where(column.is_not(None))
    for rows in read.execute(query.execution_options(yield_per=_ROWS)).mappings().partitions():
        write.execute(fill, [dict(row) for row in rows])


def _number_on(connection: Connection) -> None:
    """Let PostgreSQL number further rows after those that came with their numbers; SQLite does so by itself."""
    if connection.dialect.name != "postgresql":
        return
    for table in _tables():
        column = table.autoincrement_column
        if column is not None:
            last = f"(SELECT coalesce(max({column.name}), 0) + 1 FROM {table.name})"
            sequence = f"pg_get_serial_sequence('{table.name}', '{column.name}')"
            connection.execute(text(f"SELECT setval({sequence}, {last}, false) WHERE {sequence} IS NOT NULL"))


@contextmanager
def _engine(engine: Engine) -> Iterator[Engine]:
    try:
        yield engine
    finally:
        engine.dispose()


def _to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
