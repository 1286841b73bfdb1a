"""``cascade backup`` and ``cascade restore``."""

from __future__ import annotations

from pathlib import Path

from core.archive.backup import BackupContents, make_backup, restore_backup
from core.cascade.words import count_words
from service.cli.common import check_archive, console, database_words, print_json, settings_of
from service.commands import command_line

__all__ = ["run_backup", "run_restore"]


def run_backup(file: Path, data_dir: Path | None, *, as_json: bool) -> int:
    """Write a backup of the archive database, and say what is in it."""
    settings = settings_of(data_dir)
    check_archive(settings)
    contents = make_backup(settings.database_url, file)
    if as_json:
        _print_json(file, database_words(settings), contents)
        return 0
    _print(f"{database_words(settings)} → {file}", contents)
    beside = ", ".join(str(path) for path in (settings.product_dir, settings.static_dir, *settings.archive_dirs))
    console.print(f"The database only: products, static calibrations and raw files lie in {beside}.", soft_wrap=True)
    return 0


def run_restore(file: Path, data_dir: Path | None, *, as_json: bool) -> int:
    """Fill a new archive from a backup."""
    settings = settings_of(data_dir)
    settings.make_directories()
    contents = restore_backup(settings.database_url, file)
    if as_json:
        _print_json(file, database_words(settings), contents)
        return 0
    _print(f"{file} → {database_words(settings)}", contents)
    console.print(f"Start the daemons: {command_line(settings, 'cascade up')}", soft_wrap=True)
    return 0


def _print(title: str, contents: BackupContents) -> None:
    rows = ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in contents.rows.items() if count)
    total = count_words(sum(contents.rows.values()), "row")
    console.print(f"{title}: schema {contents.revision}, {total} ({rows or 'an empty archive'})", soft_wrap=True)


def _print_json(file: Path, database: str, contents: BackupContents) -> None:
    print_json({"file": file, "database": database, "schema": contents.revision, "rows": dict(contents.rows)})
