"""Every migration with rows in every table: up and down again, nothing is lost.

The rows come from the tables as they are at a revision, so a later migration is covered as soon as it exists.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy.dialects import postgresql

from core.archive import schema
from core.archive.sessions import make_engine

N_ROWS = 3  # of each table
REVISIONS = [script.revision for script in ScriptDirectory.from_config(schema._config()).walk_revisions()][::-1]
# Table and column of what a downgrade cannot bring back because the upgrade gave it up; the migration says why.
SETUP_COLUMNS = (
    "ins_mode", "det_read_curid", "det_read_curname", "opti1_name", "blue_filter", "field_mode", "bin_x", "bin_y",
)  # fmt: skip
NOT_RESTORED = frozenset((table, name) for table in ("frames", "blocks", "products") for name in SETUP_COLUMNS)
Rows = dict[str, list[dict[str, Any]]]

# What stands in the documents of a block, so that a migration finds its entries.
DOCUMENTS: dict[str, Any] = {
    "lost_ifus": [{"ifu": 7, "state": "failed", "reason": "no light"}],
    "lost_units": [{"unit": 7, "state": "failed", "reason": "no light"}],
    "plots": [{"name": "trace", "path": "a/b.png"}],
}


@contextmanager
def _connected(url: str) -> Iterator[sa.Connection]:
    engine = make_engine(url, foreign_keys=False).execution_options(archive_write=True)
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


def _migrate(url: str, revision: str, *, down: bool = False) -> None:
    with _connected(url) as connection:
        config = schema._config()
        config.attributes["connection"] = connection
        (command.downgrade if down else command.upgrade)(config, revision)


def _tables(connection: sa.Connection) -> list[sa.Table]:
    """Tables as they are, those that others point to first."""
    metadata = sa.MetaData()
    metadata.reflect(connection)
    return [table for table in metadata.sorted_tables if table.name != "alembic_version"]


def _fill(connection: sa.Connection) -> None:
    """Rows in every table; the first row has nothing where nothing is allowed."""
    for table in _tables(connection):
        checks = [str(check["sqltext"]) for check in sa.inspect(connection).get_check_constraints(table.name)]
        rows = [_row(table, number, checks) for number in range(1, N_ROWS + 1)]
        connection.execute(sa.insert(table), rows)


def _row(table: sa.Table, number: int, checks: list[str]) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for column in table.columns:
        if column.foreign_keys:
            own = next(iter(column.foreign_keys)).column.table is table
            row[column.name] = max(number - 1, 1) if own and number > 1 else None if own else number
        elif number == 1 and column.nullable and not any(column.name in check for check in checks):
            row[column.name] = None
        else:
            row[column.name] = _value(column, number)
    return row


def _value(column: sa.Column[Any], number: int) -> Any:
    kind = column.type
    if column.primary_key and isinstance(kind, sa.Integer):
        return number
    if isinstance(kind, sa.JSON | postgresql.JSONB):
        return DOCUMENTS.get(column.name, {"key": number, "list": [1.5, "two", None]})
    if isinstance(kind, sa.Boolean):
        return bool(number % 2)
    if isinstance(kind, sa.DateTime):
        return datetime(2026, 11, number, 22, 30, 15, 250000, tzinfo=UTC)
    if isinstance(kind, sa.Date):
        return date(2026, 11, 1) + timedelta(days=number)
    if isinstance(kind, sa.Integer):
        return number
    if isinstance(kind, sa.Float | sa.Numeric):
        return 61345.125 + number
    if isinstance(kind, sa.LargeBinary):
        return bytes([number])
    assert isinstance(kind, sa.String), f"no value for {column.table.name}.{column.name} of type {kind!r}"
    return f"{column.name} {number}"[-(kind.length or 99) :]


def _content(connection: sa.Connection) -> Rows:
    """All rows of all tables, by the order of their keys."""
    return {
        table.name: [
            dict(row._mapping) for row in connection.execute(sa.select(table).order_by(*table.primary_key.columns))
        ]
        for table in _tables(connection)
    }


def test_revisions_form_one_line_without_gaps() -> None:
    scripts = ScriptDirectory.from_config(schema._config())
    assert len(scripts.get_heads()) == 1
    line = [scripts.get_revision(revision) for revision in REVISIONS]
    assert [script.down_revision for script in line] == [None, *REVISIONS[:-1]]
    names = sorted(path.name for path in Path(scripts.versions).glob("[!_]*.py"))
    assert [Path(script.path).name for script in line] == names  # nobody is left out
    assert [int(name[:4]) for name in names] == list(range(1, len(names) + 1))


@pytest.mark.parametrize("revision", REVISIONS)
def test_no_row_is_lost_on_the_way_up_and_down(empty_url: str, revision: str) -> None:
    _migrate(empty_url, revision)
    with _connected(empty_url) as connection:
        _fill(connection)
        before = _content(connection)
    assert before
    assert all(len(rows) == N_ROWS for rows in before.values())
    _migrate(empty_url, "head")
    with _connected(empty_url) as connection:
        above = _content(connection)
    _assert_kept(before, above)
    _migrate(empty_url, revision, down=True)
    with _connected(empty_url) as connection:
        after = _content(connection)
    assert _without(after, NOT_RESTORED) == _without(before, NOT_RESTORED)


@pytest.mark.parametrize("revision", REVISIONS)
def test_rows_of_today_survive_every_downgrade(empty_url: str, revision: str) -> None:
    _migrate(empty_url, "head")
    with _connected(empty_url) as connection:
        _fill(connection)
        before = _content(connection)
    _migrate(empty_url, revision, down=True)
    with _connected(empty_url) as connection:
        below = _content(connection)
    _assert_kept(before, below)
    _migrate(empty_url, "head")
    with _connected(empty_url) as connection:
        after = _content(connection)
    _assert_kept(below, after)


def _without(content: Rows, columns: frozenset[tuple[str, str]]) -> Rows:
    return {
        table: [{name: value for name, value in row.items() if (table, name) not in columns} for row in rows]
        for table, rows in content.items()
    }


def _assert_kept(before: Rows, after: Rows) -> None:
    """Of the tables on both sides all rows, and of their columns on both sides all values."""
    for table in before.keys() & after.keys():
        assert len(after[table]) == len(before[table]), table
        for old, new in zip(before[table], after[table], strict=True):
            shared = old.keys() & new.keys()
            assert {name: new[name] for name in shared} == {name: old[name] for name in shared}, table
