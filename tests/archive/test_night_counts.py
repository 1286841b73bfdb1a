"""What is kept of a night is what one would count, whoever wrote and however."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import date, timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert, select, update

from core.archive.base import utc_now
from core.archive.models import Block, Frame, QuarantinedFile
from core.archive.night_counts import NightCount, count_nights, recount
from core.archive.pages.nights import list_nights, neighbours, night_numbers
from core.archive.sessions import Archive
from core.archive.states import BlockState, QuarantineReason, QuarantineState
from core.archive.transitions import change_block

FIRST = date(2026, 11, 1)
NAMES = [column.key for column in NightCount.__table__.columns if column.key != "night"]


def kept(archive: Archive) -> dict[date, dict[str, int]]:
    with archive.read() as session:
        return {row.night: {name: getattr(row, name) for name in NAMES} for row in session.scalars(select(NightCount))}


def counted(archive: Archive) -> dict[date, dict[str, int]]:
    with archive.read() as session:
        return count_nights(session)


def night(number: int) -> date:
    return FIRST + timedelta(days=number)


def hold(archive: Archive, name: str, when: date | None) -> None:
    with archive.write() as session:
        session.add(
            QuarantinedFile(
                path=name,
                file_name=name,
                size=1,
                mtime=1.0,
                reason=QuarantineReason.TRUNCATED,
                text="short",
                night=when,
                state=QuarantineState.HELD,
            )
        )


class Writer:
    """Writes as the parts of the house do: objects, statements about many rows, lists of rows, changes of state."""

    def __init__(self, archive: Archive, add_frame: Callable[..., int], add_block: Callable[..., int]) -> None:
        self.archive, self.add_frame, self.add_block, self.number = archive, add_frame, add_block, 0

    def name(self) -> str:
        self.number += 1
        return f"X{self.number}"

    def frame(self, n: int, _: int) -> None:
        self.add_frame(self.name(), night=night(n), date_obs=_moment(self.number))

    def block(self, n: int, k: int) -> None:
        self.add_block(self.name(), list(BlockState)[k % 9], night=night(n))

    def held(self, n: int, k: int) -> None:
        hold(self.archive, self.name(), night(n) if k else None)

    def move_frame(self, n: int, _: int) -> None:
        with self.archive.write() as session:
            row = session.scalars(select(Frame).order_by(Frame.id.desc()).limit(1)).first()
            if row is not None:
                row.night = night(n)

    def move_blocks(self, n: int, k: int) -> None:
        with self.archive.write() as session:
            session.execute(update(Block).where(Block.night == night(n)).values(night=night(k)))

    def copy_frames(self, n: int, _: int) -> None:
        with self.archive.write() as session:
            row = session.scalars(select(Frame).limit(1)).first()
            if row is None:
                return
            columns = {column.key: getattr(row, column.key) for column in Frame.__table__.columns if column.key != "id"}
            new = [{**columns, "night": night(n + more)} for more in range(2)]
            for item in new:
                item["dp_id"] = item["path"] = self.name()
                item["date_obs"] = _moment(self.number)
            session.execute(insert(Frame), new)

    def judge(self, n: int, k: int) -> None:
        values = {"score": (0, 1, None)[k % 3], "grave_outliers": k > 3, "doubtful": k > 4, "failed_unit_mask": k & 1}
        with self.archive.write() as session:
            session.execute(update(Block).where(Block.night == night(n)).values(**values))

    def judge_by_key(self, _: int, k: int) -> None:
        with self.archive.write() as session:
            keys = session.scalars(select(Block.id).limit(3)).all()
            if keys:
                session.execute(update(Block), [{"id": key, "skipped_unit_mask": k} for key in keys])

    def change(self, _: int, k: int) -> None:
        with self.archive.write() as session:
            for key in session.scalars(select(Block.id)).all():
                change_block(session, key, list(BlockState)[k % 9], from_states=list(BlockState), actor="test")

    def release(self, n: int, _: int) -> None:
        with self.archive.write() as session:
            for row in session.scalars(select(QuarantinedFile).where(QuarantinedFile.night == night(n))):
                row.state = QuarantineState.RELEASED

    def remove(self, n: int, _: int) -> None:
        with self.archive.write() as session:
            session.execute(delete(QuarantinedFile).where(QuarantinedFile.night == night(n)))
            for row in session.scalars(select(Block).where(Block.night == night(n))):
                session.delete(row)

    def fail(self, n: int, _: int) -> None:
        with suppress(KeyError), self.archive.write() as session:
            session.execute(delete(Frame).where(Frame.night == night(n)))
            raise KeyError


WORKS = sorted(name for name in vars(Writer) if name not in ("name",) and not name.startswith("_"))


def _moment(number: int) -> Any:
    return utc_now() + timedelta(seconds=number)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=st.lists(st.tuples(st.sampled_from(WORKS), st.integers(0, 2), st.integers(0, 8)), max_size=14))
def test_counts_are_those_of_the_rows_after_any_history(
    history: list[tuple[str, int, int]],
    archive: Archive,
    add_frame: Callable[..., int],
    add_block: Callable[..., int],
) -> None:
    writer = Writer(archive, add_frame, add_block)
    with archive.write() as session:
        for table in (Frame, Block, QuarantinedFile):
            session.execute(delete(table))
    assert kept(archive) == {}
    for work, n, k in history:
        getattr(writer, work)(n, k)
        assert kept(archive) == counted(archive), work


def test_a_wrong_count_is_found_and_mended(archive: Archive, add_frame: Callable[..., int]) -> None:
    add_frame("A", night=night(0))
    hold(archive, "B", night(2))
    with archive.write() as session:
        session.execute(update(NightCount).where(NightCount.night == night(0)).values(frames=7))
        session.execute(delete(NightCount).where(NightCount.night == night(2)))
        session.add(NightCount(night=night(5), **dict.fromkeys(NAMES, 1)))
    with archive.write() as session:
        assert recount(session) == 3
    assert kept(archive) == counted(archive)
    with archive.write() as session:
        assert recount(session) == 0


def test_nights_are_listed_by_their_counts(archive: Archive, add_frame: Callable[..., int]) -> None:
    for number in (0, 3, 4):
        add_frame(f"A{number}", night=night(number), date_obs=_moment(number))
    with archive.read() as session:
        assert night_numbers(session) == (night(0), night(4))
        assert neighbours(session, night(3)) == (night(0), night(4))
        piece = list_nights(session, None, 2)
        assert ([row.night for row in piece.rows], piece.next) == ([night(4), night(3)], night(3))
