"""Backups: one moment of an archive in one file, made while others write, restored into either database."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from core.archive import backup, orders
from core.archive.backup import make_backup, restore_backup
from core.archive.base import Base
from core.archive.events import record_event
from core.archive.models import Block, Event
from core.archive.schema import SchemaVersionError, head_revision, upgrade
from core.archive.sessions import Archive
from core.archive.states import BlockState, InputKind
from core.errors import ParameterError, StateConflictError


def rows_of(archive: Archive) -> dict[str, list[Any]]:
    with archive.read() as session:
        return {
            table.name: [tuple(row) for row in session.execute(select(table).order_by(*table.primary_key.columns))]
            for table in Base.metadata.sorted_tables
        }


@pytest.fixture
def filled(archive: Archive, add_block: Callable[..., int], add_frame: Callable[..., int]) -> Archive:
    """Frames, and blocks that name each other, also later ones."""
    add_frame("MUSE.a", header={"ESO": ["é", 1.5, None]})
    older = add_block("old", BlockState.SUPERSEDED)
    newer = add_block("new", BlockState.READY, (("MASTER_BIAS", InputKind.PLANNED, older),))
    with archive.write() as session:
        session.get_one(Block, older).superseded_by_id = newer
        orders.cancel_block(session, newer, actor="person", reason="test")
    return archive


@pytest.fixture(params=["sqlite", "postgresql"])
def other_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Another database, without tables."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'other.sqlite'}"
    return str(request.getfixturevalue("postgres_database")(None))


def test_every_row_comes_back_in_either_database_and_numbers_go_on(
    filled: Archive, other_url: str, tmp_path: Path
) -> None:
    made = make_backup(filled.database_url, tmp_path / "backup")
    restored = restore_backup(other_url, tmp_path / "backup")
    other = Archive(other_url)
    before = rows_of(filled)
    assert rows_of(other) == before
    assert made == restored
    assert made.revision == head_revision()
    assert made.rows == {name: len(rows) for name, rows in before.items()}
    assert made.rows["blocks"] == 2
    with other.write() as session:
        record_event(session, "plan", "x", actor="test")
    with other.read() as session:
        assert session.scalar(select(func.max(Event.id))) == len(before["events"]) + 1
    with pytest.raises(StateConflictError, match="not empty"):
        restore_backup(other_url, tmp_path / "backup")
    other.dispose()


def test_a_backup_is_of_one_moment_while_others_write(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer adds pairs of rows, one to each of two tables, that are copied one after the other."""
    monkeypatch.setattr(backup, "_ROWS", 5)
    stop = threading.Event()
    first = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            with archive.write() as session:
                for kind in ("a", "b"):
                    record_event(session, kind, str(number), actor="writer")
            number += 1
            if number == 20:
                first.set()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert first.wait(60)
        contents = make_backup(archive.database_url, tmp_path / "backup")
    finally:
        stop.set()
        writer.join()
    with sqlite3.connect(tmp_path / "backup") as saved:
        pairs = saved.execute("SELECT subject, count(*) FROM events GROUP BY subject").fetchall()
        assert saved.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    saved.close()
    assert contents.rows["events"] == 2 * len(pairs) >= 40
    assert {count for _, count in pairs} == {2}


def test_the_file_appears_whole_alone_and_for_its_group_only(sqlite_archive: Archive, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    make_backup(sqlite_archive.database_url, folder / "backup")
    assert [path.name for path in folder.iterdir()] == ["backup"]
    assert (folder / "backup").stat().st_mode & 0o027 == 0


def test_nothing_is_overwritten(sqlite_archive: Archive, tmp_path: Path) -> None:
    (tmp_path / "backup").write_text("precious")
    with pytest.raises(ParameterError, match="exists"):
        make_backup(sqlite_archive.database_url, tmp_path / "backup")
    assert (tmp_path / "backup").read_text() == "precious"


def test_what_fails_leaves_no_file(sqlite_archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> int:
        raise OSError(28, "No space left on device")

    folder = tmp_path / "backups"
    folder.mkdir()
    monkeypatch.setattr(backup, "_copy", fail)
    with pytest.raises(Exception, match="No space left"):
        make_backup(sqlite_archive.database_url, folder / "backup")
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"SIMPLE  =  T" * 1000], ids=["empty", "other"])
def test_another_file_is_refused(empty_url: str, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(ParameterError, match="no backup"):
        restore_backup(empty_url, tmp_path / "file")


def test_a_backup_of_a_later_version_is_refused(sqlite_archive: Archive, tmp_path: Path) -> None:
    make_backup(sqlite_archive.database_url, tmp_path / "backup")
    with sqlite3.connect(tmp_path / "backup") as saved:
        saved.execute("UPDATE alembic_version SET version_num = '9999'")
    saved.close()
    with pytest.raises(SchemaVersionError, match="newer"):
        restore_backup(f"sqlite:///{tmp_path / 'new.sqlite'}", tmp_path / "backup")


def test_a_backup_of_an_earlier_version_is_brought_to_ours_and_stays_as_it_is(
    tmp_path: Path,
) -> None:
    old = f"sqlite:///{tmp_path / 'backup'}"
    upgrade(old, "0012")
    before = (tmp_path / "backup").read_bytes()
    new = f"sqlite:///{tmp_path / 'new.sqlite'}"
    assert restore_backup(new, tmp_path / "backup").revision == "0012"
    assert (tmp_path / "backup").read_bytes() == before
