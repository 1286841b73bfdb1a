"""Fixtures of the whole suite: an empty archive database, on SQLite and on PostgreSQL."""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from core.archive.schema import upgrade
from core.archive.sessions import Archive


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A PostgreSQL server of our own, started once; skips where its wheel is not installed."""
    pgserver = pytest.importorskip("pgserver")
    # Not below tmp_path: a socket path has at most 107 characters, and the server runs as another user than root.
    folder = tempfile.mkdtemp(prefix="cascade-pg-")
    os.chmod(folder, 0o755)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about runtime directories, from a library of a library
        server = pgserver.get_server(Path(folder) / "data", cleanup_mode="stop")
    url = make_url(server.get_uri()).set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
    admin = create_engine(url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:  # a server that is thrown away need not survive a power cut
        for setting in ("fsync", "full_page_writes", "synchronous_commit"):
            connection.execute(text(f"ALTER SYSTEM SET {setting} = off"))
        connection.execute(text("SELECT pg_reload_conf()"))
    admin.dispose()
    yield url
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file with all tables, to be copied."""
    path = tmp_path_factory.mktemp("sqlite") / "migrated.sqlite"
    upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def postgres_database(postgres_url: str) -> Iterator[Callable[[str | None], str]]:
    """Makes new databases, empty or from a migrated template; answers with their URL."""
    admin = create_engine(postgres_url, isolation_level="AUTOCOMMIT")

    def create(template: str | None) -> str:
        name = f"t{uuid4().hex[:12]}"
        with admin.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}" + (f" TEMPLATE {template}" if template else "")))
        return make_url(postgres_url).set(database=name).render_as_string(hide_password=False)

    yield create
    admin.dispose()


@pytest.fixture(scope="session")
def migrated_postgres(postgres_database: Callable[[str | None], str]) -> str:
    """Name of a PostgreSQL database with all tables, to be used as a template."""
    url = postgres_database(None)
    upgrade(url)
    return str(make_url(url).database)


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of a database without tables."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'empty.sqlite'}"
    return str(request.getfixturevalue("postgres_database")(None))


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of a database with all tables and no rows, fresh for each test."""
    if request.param == "sqlite":
        return f"sqlite:///{shutil.copy(request.getfixturevalue('migrated_sqlite'), tmp_path / 'archive.sqlite')}"
    template = request.getfixturevalue("migrated_postgres")
    return str(request.getfixturevalue("postgres_database")(template))


@pytest.fixture
def archive(database_url: str) -> Iterator[Archive]:
    """An empty archive, once on SQLite and once on PostgreSQL."""
    archive = Archive(database_url)
    yield archive
    archive.dispose()


@pytest.fixture
def sqlite_archive(tmp_path: Path, migrated_sqlite: Path) -> Iterator[Archive]:
    """An empty archive on SQLite, where the database makes no difference."""
    archive = Archive(f"sqlite:///{shutil.copy(migrated_sqlite, tmp_path / 'archive.sqlite')}")
    yield archive
    archive.dispose()
