"""What is kept of a parameter in a block is what its values and scores say, whoever wrote and however."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from statistics import median
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert, select, update

from core.archive.models import Qc1Parameter, Qc1Value, Score
from core.archive.qc1_summaries import Qc1Summary, summarise
from core.archive.sessions import Archive
from core.qc1.axes import Position

NAMES = [column.key for column in Qc1Summary.__table__.columns]
PARAMETERS = (1, 2)
BLOCKS = 3


def kept(archive: Archive) -> dict[tuple[int, int], dict[str, Any]]:
    with archive.read() as session:
        rows = [{name: getattr(row, name) for name in NAMES} for row in session.scalars(select(Qc1Summary))]
    return {(row.pop("block_id"), row.pop("parameter_id")): row for row in rows}


def counted(archive: Archive) -> dict[tuple[int, int], dict[str, Any]]:
    """The same in plain words."""
    with archive.read() as session:
        values, scores = session.scalars(select(Qc1Value)).all(), session.scalars(select(Score)).all()
    found = {}
    for key in {(row.block_id, row.parameter_id) for row in values if not row.hidden}:
        mine = [row for row in values if (row.block_id, row.parameter_id) == key and not row.hidden]
        rules: dict[str, list[Score]] = defaultdict(list)
        for row in scores:
            if (row.block_id, row.parameter_id) == key and row.score is not None:
                rules[row.rule].append(row)
        lows = [min(known) for rows in rules.values() if (known := [row.low for row in rows if row.low is not None])]
        highs = [max(known) for rows in rules.values() if (known := [row.high for row in rows if row.high is not None])]
        flagged = {place(row) for rows in rules.values() for row in rows if row.score == 1}
        found[key] = {
            "mjd_obs": max(row.mjd_obs for row in mine),
            "number": len(mine),
            "median": median(row.value for row in mine),
            "low": min(row.value for row in mine),
            "high": max(row.value for row in mine),
            "scored": max(map(len, rules.values()), default=0),
            "outliers": len(flagged),
            "limit_low": max(lows, default=None),
            "limit_high": min(highs, default=None),
        }
    return found


def place(row: Any) -> tuple[int | None, ...]:
    return tuple(getattr(row, name) for name in Position._fields)


class Writer:
    """Writes as the parts of the house do: lists of rows, statements about many, objects."""

    def __init__(self, archive: Archive, blocks: list[int]) -> None:
        self.archive, self.blocks = archive, blocks

    def values(self, n: int, k: int) -> None:
        rows = [
            {"parameter_id": 1 + unit % 2, "block_id": self.blocks[n], "mjd_obs": 61345.0 + k, "value": unit * k / 7,
             "unit": unit, "hidden": False}
            for unit in range(1, 2 + k)
        ]  # fmt: skip
        with self.archive.write() as session:
            session.execute(insert(Qc1Value), rows)

    def scores(self, n: int, k: int) -> None:
        rows = [
            {"parameter_id": 1 + unit % 2, "block_id": self.blocks[n], "unit": unit, "rule": f"rule {k % 2}",
             "low": None if k == 3 else -1.0 * k, "high": None if k == 5 else 1.0 + k - unit / 9,
             "score": (0, 1, None)[(unit + k) % 3]}
            for unit in range(1, 2 + k)
        ]  # fmt: skip
        with self.archive.write() as session:
            session.execute(insert(Score), rows)

    def hide(self, n: int, k: int) -> None:
        with self.archive.write() as session:
            for row in session.scalars(select(Qc1Value).where(Qc1Value.block_id == self.blocks[n])).all()[:k]:
                row.hidden = not row.hidden

    def move(self, n: int, k: int) -> None:
        to = self.blocks[k % BLOCKS]
        with self.archive.write() as session:
            session.execute(update(Qc1Value).where(Qc1Value.block_id == self.blocks[n]).values(block_id=to))

    def judge(self, n: int, k: int) -> None:
        with self.archive.write() as session:
            session.execute(update(Score).where(Score.block_id == self.blocks[n], Score.unit == k).values(score=1))

    def forget(self, n: int, _: int) -> None:
        with self.archive.write() as session:
            session.execute(delete(Score).where(Score.block_id == self.blocks[n]))
            session.execute(delete(Qc1Value).where(Qc1Value.block_id == self.blocks[n]))

    def fail(self, n: int, _: int) -> None:
        with suppress(KeyError), self.archive.write() as session:
            session.execute(delete(Qc1Value).where(Qc1Value.block_id == self.blocks[n]))
            raise KeyError


WORKS = sorted(name for name in vars(Writer) if not name.startswith("_"))


@pytest.fixture
def writer(archive: Archive, add_block: Callable[..., int]) -> Writer:
    columns = {"keyword": "K", "qc_class": "KPI", "value_type": "float", "axes": "unit"}
    with archive.write() as session:
        rows = [{"id": n, "table_name": "t", "column_name": f"c{n}", **columns} for n in PARAMETERS]
        session.execute(insert(Qc1Parameter), rows)
    return Writer(archive, [add_block(f"B{number}") for number in range(BLOCKS)])


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=st.lists(st.tuples(st.sampled_from(WORKS), st.integers(0, 2), st.integers(0, 8)), max_size=12))
def test_summaries_are_those_of_the_rows_after_any_history(history: list[tuple[str, int, int]], writer: Writer) -> None:
    archive = writer.archive
    for number in range(BLOCKS):
        writer.forget(number, 0)
    assert kept(archive) == {}
    for work, n, k in history:
        getattr(writer, work)(n, k)
        assert kept(archive) == counted(archive), work


def test_a_wrong_summary_is_found_and_mended(writer: Writer) -> None:
    archive = writer.archive
    for number in range(BLOCKS):
        writer.values(number, 4)
    writer.scores(0, 4)
    with archive.write() as session:
        session.execute(update(Qc1Summary).where(Qc1Summary.block_id == writer.blocks[0]).values(median=7.0))
        session.execute(delete(Qc1Summary).where(Qc1Summary.block_id == writer.blocks[1]))
    with archive.write() as session:
        assert summarise(session) == 2
    assert kept(archive) == counted(archive)
    with archive.write() as session:
        assert summarise(session) == 0
