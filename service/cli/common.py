"""What the commands share: the installation, the terminal, nights."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

from rich.console import Console

from core.archive.definitions import register_definitions
from core.archive.schema import check_schema, upgrade
from core.archive.sessions import Archive
from core.errors import NotFoundError, ParameterError
from core.instruments.catalogue import qc1_definitions
from core.settings import Settings, join_paths, unknown_variables
from core.sqliteurl import sqlite_path
from service.commands import command_line
from workers.process import UMASK

__all__ = [
    "check_archive",
    "console",
    "database_words",
    "environment_of",
    "is_new",
    "make_installation",
    "open_installation",
    "parse_nights",
    "print_json",
    "settings_of",
    "state_text",
    "unit_list",
]

console = Console(highlight=False)
_STYLES = {
    "done": "green",
    "good": "green",
    "alive": "green",
    "failed": "bold red",
    "outlier": "bold red",
    "dead": "bold red",
    "incomplete": "yellow",
    "running": "blue",
    "partial": "bold red",
    "retry": "yellow",
}


def settings_of(data_dir: Path | None, archive_dirs: Sequence[Path] = ()) -> Settings:
    """Settings of the environment with what the command line says; tells variables that are none.

    Raises
    ------
    ParameterError
        If the data directory is a file.
    """
    given: dict[str, object] = {}
    if data_dir is not None:
        given["data_dir"] = data_dir
    if archive_dirs:
        given["archive_dirs"] = tuple(path.expanduser().absolute() for path in archive_dirs)
    settings = Settings(**given)  # type: ignore[arg-type]
    for sentence in unknown_variables(os.environ):
        print(f"cascade: {sentence}", file=sys.stderr)
    os.umask(UMASK)
    if settings.data_dir.is_file():
        raise ParameterError("the data directory is a file: name a directory with --data-dir", file=settings.data_dir)
    return settings


def is_new(settings: Settings) -> bool:
    """Whether the archive is an SQLite file that does not exist."""
    path = sqlite_path(settings.database_url)
    return path is not None and not path.is_file()


def database_words(settings: Settings) -> str:
    """The database as people may see it: its file, or its URL without user and password."""
    path = sqlite_path(settings.database_url)
    return settings.database_url.rpartition("@")[2] if path is None else str(path)


def check_archive(settings: Settings) -> None:
    """Refuse to work on an archive that does not exist.

    Raises
    ------
    NotFoundError
        Saying how to name or to begin one.
    SchemaVersionError
        If the database is of another version.
    """
    if is_new(settings):
        raise NotFoundError(
            f"there is no archive in {settings.data_dir}: name its directory with --data-dir (the demonstration's is "
            f"cascade-demo), or begin one: {command_line(settings, 'cascade init')}",
            database=sqlite_path(settings.database_url),
        )
    check_schema(settings.database_url, cure=command_line(settings, "cascade db upgrade"))


@contextmanager
def make_installation(settings: Settings) -> Iterator[Archive]:
    """Directories, a database of the present schema, and the archive on it."""
    settings.make_directories()
    upgrade(settings.database_url)
    with _archive(settings) as archive:
        yield archive


@contextmanager
def open_installation(settings: Settings) -> Iterator[Archive]:
    """The archive of an installation that exists.

    Raises
    ------
    NotFoundError
        See `check_archive`.
    SchemaVersionError
        If the database is of another version.
    """
    check_archive(settings)
    settings.make_directories()
    with _archive(settings) as archive:
        yield archive


@contextmanager
def _archive(settings: Settings) -> Iterator[Archive]:
    archive = Archive(settings.database_url)
    try:
        register_definitions(archive, qc1_definitions())
        yield archive
    finally:
        archive.dispose()


def print_json(data: Any) -> None:
    """Print plain values as JSON, as all commands do with ``--json``."""
    print(json.dumps(data, indent=2, default=str))


def environment_of(settings: Settings) -> Mapping[str, str]:
    """The settings as environment variables, for daemons."""
    return {
        "CASCADE_DATA_DIR": str(settings.data_dir),
        "CASCADE_ARCHIVE_DIRS": join_paths(settings.archive_dirs),
        "CASCADE_DATABASE_URL": settings.database_url,
        "CASCADE_BROKER_URL": settings.broker_url,
        "CASCADE_PRODUCT_DIR": str(settings.product_dir),
        "CASCADE_LOG_DIR": str(settings.log_dir),
        "CASCADE_STATIC_DIR": str(settings.static_dir),
        "CASCADE_WITH_RECIPES": ",".join(settings.with_recipes),
        "CASCADE_WITH_INPUTS": ",".join(settings.with_inputs),
        "CASCADE_OLDER_ONLY": str(settings.older_only).lower(),
        "CASCADE_POLICY": settings.policy,
    }


def parse_nights(texts: Sequence[str]) -> list[date]:
    """Dates of nights.

    Raises
    ------
    ParameterError
        If one is no date.
    """
    nights = []
    for text in texts:
        try:
            nights.append(date.fromisoformat(text))
        except ValueError as error:
            raise ParameterError(f"{text!r} is not a night like 2026-11-01", parameter="night") from error
    return nights


def unit_list(text: str) -> tuple[int, ...]:
    """Unit numbers of a list like ``1,2`` or ``1-24``.

    Raises
    ------
    ParameterError
        If it is none.
    """
    from service.selection import numbers_of_text

    numbers = numbers_of_text(text, "units", 24)
    if not numbers:
        raise ParameterError("the list of units is empty; give one like 1,2", parameter="units")
    return numbers


def state_text(word: str) -> str:
    """A state in its colour, for rich."""
    style = _STYLES.get(word)
    return f"[{style}]{word}[/]" if style else word
