"""Blocks of before are judged by the migration as new ones are by the rule."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from core.archive import scoring
from core.archive.sessions import make_engine
from core.qc1.axes import Position
from core.qc1.score import Value, Verdict
from tests.archive.test_migration_setups import migrate
from tests.archive.test_migrations import _row, _tables

NOW = datetime(2026, 11, 1, 22, tzinfo=UTC)
CLASSES = ("KPI", "HC", "OTHER")
N_BLOCKS = 28  # as many as the days that the helper makes dates of


def verdicts_of(block: int) -> list[tuple[int, Position, str, int | None]]:
    """Parameter, place, rule and score: few or many values, none or some at the border, by one rule or two."""
    chance = random.Random(block)
    found: list[tuple[int, Position, str, int | None]] = []
    for parameter in range(1, len(CLASSES) + 1):
        number = chance.choice([1, 20, 49, 50, 51, 100, 140, 150])
        outliers = chance.choice([0, 0, 1, 2, number // 50, number // 20, number])
        for place in range(number):
            position = Position(unit=place % 24 + 1, slice=None if number < 25 else place)
            found.append((parameter, position, "limits", int(place < outliers)))
            if block % 2:
                found.append((parameter, position, "history", chance.choice([None, 0])))
    return found


def ruled(block: int) -> bool:
    verdicts = [
        Verdict(Value(str(parameter), "", position, 0.0), score, None, None, rule, "")
        for parameter, position, rule, score in verdicts_of(block)
    ]
    measured = [
        scoring._Measured(int(verdict.measured.parameter), CLASSES[int(verdict.measured.parameter) - 1], None, 0.0,
                          verdict.measured)
        for verdict in verdicts
    ]  # fmt: skip
    return scoring._grave(verdicts, measured)


def test_old_blocks_are_judged_as_new_ones(empty_url: str) -> None:
    migrate(empty_url, "0013")
    engine = make_engine(empty_url, foreign_keys=False).execution_options(archive_write=True)
    with engine.begin() as connection:
        tables = {table.name: table for table in _tables(connection)}

        def insert(name: str, number: int, **values: Any) -> None:
            connection.execute(sa.insert(tables[name]), _row(tables[name], number, []) | values)

        for number, qc_class in enumerate(CLASSES, 1):
            insert("qc1_parameters", number, qc_class=qc_class)
        rows = []
        for block in range(1, N_BLOCKS + 1):
            found = verdicts_of(block)
            worst = max(score for *_, score in found if score is not None)
            insert("blocks", block, score=worst, state="done")
            rows += [
                {"block_id": block, "parameter_id": parameter, **position._asdict(), "rule": rule, "score": score,
                 "created_at": NOW, "rules_version": "1"}
                for parameter, position, rule, score in found
            ]  # fmt: skip
        connection.execute(sa.insert(tables["scores"]), rows)
    engine.dispose()
    migrate(empty_url, "0014")
    engine = make_engine(empty_url)
    with engine.connect() as connection:
        rows = connection.execute(sa.text("SELECT id, grave_outliers FROM blocks")).all()
    engine.dispose()
    expected = {block: ruled(block) for block in range(1, N_BLOCKS + 1)}
    assert {block: bool(value) for block, value in rows} == expected
    assert {True, False} == set(expected.values())
