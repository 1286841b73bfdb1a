"""The schema of the archive database: bring it to the newest version, and say which version it has."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from core.archive.sessions import archive_errors, make_engine
from core.errors import NonRetriableError

__all__ = ["SchemaVersionError", "check_schema", "current_revision", "head_revision", "upgrade"]


class SchemaVersionError(NonRetriableError):
    """The database has another schema version than the installed code."""

    error_type = "schema_version"
    http_status = 503


def upgrade(database_url: str, revision: str = "head") -> None:
    """Migrate a database (create it, if empty) to a revision; safe when several processes do it at once.

    Parameters
    ----------
    database_url : str
        See `core.archive.sessions.make_engine`.
    revision : str
        Target; ``head`` is the newest.

    Raises
    ------
    ArchiveUnavailableError
        If the database does not answer.
    """
    engine = make_engine(database_url, foreign_keys=False).execution_options(archive_write=True)
    try:
        with archive_errors(), engine.begin() as connection:
            config = _config()
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
    finally:
        engine.dispose()


def current_revision(database_url: str) -> str | None:
    """Revision that a database has; None if it was never migrated."""
    engine = make_engine(database_url)
    try:
        with archive_errors(), engine.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision()
    finally:
        engine.dispose()


def head_revision() -> str:
    """Revision that the installed code needs."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    if head is None:
        raise SchemaVersionError("the installed package has no migrations")
    return head


def check_schema(database_url: str, *, cure: str = "cascade db upgrade") -> None:
    """Refuse a database of another version.

    Parameters
    ----------
    database_url : str
    cure : str
        The command that upgrades this database.

    Raises
    ------
    SchemaVersionError
        With that command.
    """
    current, head = current_revision(database_url), head_revision()
    if current != head:
        raise SchemaVersionError(
            f"the archive database has schema version {current or 'none'}, this program needs {head}: run `{cure}`"
        )


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_migrations()).replace("%", "%%"))
    return config


def _migrations() -> Path:
    """Directory of the migrations: inside this package when installed (``setup.py``), in a checkout beside ``core``."""
    installed = Path(__file__).with_name("_migrations")
    return installed if installed.is_dir() else Path(__file__).parents[2] / "migrations"
