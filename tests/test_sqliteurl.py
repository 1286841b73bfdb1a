from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from core.archive.sessions import make_engine
from core.sqliteurl import sqlite_path, sqlite_url

NAME = st.binary(min_size=1, max_size=30).filter(
    lambda name: not {0, ord("/")} & set(name) and name not in (b".", b"..")
)


@given(NAME)
def test_any_path_comes_back_from_its_url(name: bytes) -> None:
    path = Path("/data") / os.fsdecode(name) / "cascade.sqlite"
    assert sqlite_path(sqlite_url(path)) == path
    assert sqlite_url(path).isascii()


@pytest.mark.parametrize(
    "name",
    ["what?", "50%", "%41", "a#b", "a b", "a:b", "x@y", "'\"", "a;b", "Šířka", os.fsdecode(b"\xff\xfe"), "line\nbreak"],
)
def test_a_database_is_made_where_its_url_says(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    engine = make_engine(sqlite_url(folder / "x.sqlite"))
    with engine.connect() as connection:
        connection.execute(text("CREATE TABLE stars (id INTEGER)"))
    engine.dispose()
    assert "x.sqlite" in {path.name for path in folder.iterdir()}
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("url", ["postgresql://host/database", "sqlite://", "sqlite:///:memory:"])
def test_other_databases_have_no_path(url: str) -> None:
    assert sqlite_path(url) is None


def test_a_path_that_a_person_wrote_is_taken_as_it_is() -> None:
    assert sqlite_path("sqlite:////data/my archive/x.sqlite") == Path("/data/my archive/x.sqlite")
    assert sqlite_path("sqlite+pysqlite:///x.sqlite?timeout=5") == Path("x.sqlite")
