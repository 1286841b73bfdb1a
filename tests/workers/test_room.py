"""A full disk: work waits for room and goes on by itself, and what fails for want of it has more tries."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import update

import workers.attempt
import workers.dispatch
from core.archive.definitions import register_definitions
from core.archive.leases import ROOM_FACTOR, may_try_again
from core.archive.models import Block
from core.archive.orders import rerun_block
from core.archive.queries import expected_bytes, runnable_work
from core.archive.records import Work
from core.archive.states import BlockState
from core.archive.transitions import queue_work
from core.errors import DISK_FULL, DataError, ProductStoreError, error_kind
from core.instruments.catalogue import qc1_definitions
from core.recipes.results import PartFailure
from core.settings import Settings
from service.status import read_status
from workers.broker import make_app
from workers.child import ChildResult, RecipeChild
from workers.dispatch import Dispatcher
from workers.execute import BlockExecutor
from workers.outcome import Outcome
from workers.planning import Planner
from workers.room import disks, full_disks, lacking_room

MB = 1_000_000


@pytest.fixture
def planned(house: Any) -> Any:
    """The small night, planned and not yet executed."""
    register_definitions(house.archive, qc1_definitions())
    Planner(house.archive, house.settings).plan_changes(wait_for_templates=False)
    return house


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Sets how much is free on all disks [byte]."""

    def set_to(size: int) -> None:
        state = SimpleNamespace(f_bavail=size // 1000, f_frsize=1000, f_blocks=4_000_000)
        monkeypatch.setattr(os, "statvfs", lambda _path: state)

    return set_to


def bias(house: Any) -> Block:
    block: Block = house.blocks()["muse_bias"]
    return block


def queue(house: Any) -> Work:
    work = Work(bias(house).id)
    with house.archive.write() as session:
        assert queue_work(session, work, actor="test")
    return work


def execute(house: Any, work: Work) -> Outcome:
    return BlockExecutor(house.archive, house.settings, threading.Event()).execute(work)


def wait_out_the_pause(house: Any) -> None:
    limit = time.monotonic() + 60
    while True:
        with house.archive.read() as session:
            if runnable_work(session):
                return
        assert time.monotonic() < limit
        time.sleep(0.02)


def test_each_disk_is_looked_at_once_also_before_its_directories_exist(
    tmp_path: Path, free: Callable[[int], None]
) -> None:
    free(150 * MB)
    settings = Settings(data_dir=tmp_path / "not" / "yet", free_mb=100)
    (disk,) = disks(settings)
    assert (disk.what, disk.free, disk.size, disk.holds_database) == ("database, products, logs", 150 * MB, 4e9, True)
    assert full_disks(settings) == ()
    assert lacking_room(settings) == ""
    assert lacking_room(settings, 60 * MB) == (
        f"waits for room on disk: 150 of 4000 MB are free on the disk of {tmp_path / 'not/yet'}, 160 MB are needed"
    )
    remote = Settings(data_dir=tmp_path, database_url="postgresql+psycopg://db/cascade", free_mb=200)
    (disk,) = full_disks(remote)
    assert (disk.what, disk.holds_database) == ("products, logs", False)
    assert full_disks(remote.model_copy(update={"free_mb": 0})) == ()


def test_nothing_is_sent_while_there_is_no_room(
    planned: Any, free: Callable[[int], None], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    sent: list[Work] = []
    monkeypatch.setattr(workers.dispatch, "send_work", lambda _app, work: sent.append(work))
    dispatcher = Dispatcher(planned.archive, planned.settings, make_app(planned.settings))
    for _ in range(3):
        free(12 * MB)
        assert dispatcher.tick().queued == 0
    assert [record.message for record in caplog.records if "room" in record.message] == [lacking_room(planned.settings)]
    assert bias(planned).state is BlockState.READY
    free(10**12)
    assert dispatcher.tick().queued == len(sent) >= 1


def test_a_block_waits_while_there_is_less_room_than_it_needs_and_says_so(
    planned: Any, free: Callable[[int], None]
) -> None:
    assert execute(planned, Work(bias(planned).id)) is Outcome.DONE
    with planned.archive.read() as session:
        size = expected_bytes(session, bias(planned).id)
    assert size == sum(path.stat().st_size for path in planned.settings.product_dir.rglob("MASTER_BIAS-*.fits"))
    with planned.archive.write() as session:
        rerun_block(session, bias(planned).id, actor="astronomer", reason="")
    free(200 * MB + size - 1000)
    assert execute(planned, queue(planned)) is Outcome.SKIPPED
    block = bias(planned)
    assert (block.state, block.tries) == (BlockState.READY, 0)
    assert block.state_reason == lacking_room(planned.settings, size)
    assert block.state_reason.startswith("waits for room on disk: ")
    assert block.not_before is not None
    free(10**12)
    assert execute(planned, queue(planned)) is Outcome.DONE


def test_a_unit_that_failed_for_want_of_room_is_made_up_for_when_there_is_room(
    planned: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = False

    class Full(RecipeChild):
        """As if unit 2 had met a full disk."""

        def wait(self, *args: Any) -> ChildResult:
            result = super().wait(*args)
            if room:
                return result
            first, second = result.run.reduced
            failure = PartFailure(second, DISK_FULL, "cannot write: No space left on device", True)
            return replace(result, run=replace(result.run, reduced=(first,), failures=(failure,)))

    monkeypatch.setattr(workers.attempt, "RecipeChild", Full)
    with planned.archive.write() as session:
        session.execute(update(Block).values(max_tries=1))
    work = Work(bias(planned).id)
    for number in (1, 2):
        wait_out_the_pause(planned)
        assert execute(planned, work) is Outcome.RETRY
        block = bias(planned)
        assert (block.state, block.error_type, block.tries) == (BlockState.READY, DISK_FULL, number)
        assert "No space left on device" in block.state_reason
    room = True
    wait_out_the_pause(planned)
    assert execute(planned, work) is Outcome.DONE
    assert bias(planned).lost_units == []


def test_a_full_disk_where_the_log_is_written_is_no_fault_of_the_block(
    planned: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(workers.attempt.Attempt, "_log", full)
        assert execute(planned, Work(bias(planned).id)) is Outcome.RETRY
    assert bias(planned).error_type == DISK_FULL


def test_the_tries_are_bounded() -> None:
    assert may_try_again(4, 5, "retriable")
    assert not may_try_again(5, 5, "retriable")
    assert may_try_again(5, 5, DISK_FULL)
    assert not may_try_again(5 * ROOM_FACTOR, 5, DISK_FULL)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_known_behind_any_error(number: int) -> None:
    told = ProductStoreError("cannot write")
    told.__cause__ = OSError(number, os.strerror(number))
    assert error_kind(told) == DISK_FULL
    assert error_kind(OSError(errno.EIO, "I/O error")) == "non_retriable"
    assert error_kind(DataError("no light")) == "data"


def test_pages_name_the_disk_and_what_waits_instead_of_silent_daemons(
    planned: Any, free: Callable[[int], None]
) -> None:
    free(12 * MB)
    with planned.archive.read() as session:
        texts = [alarm.text for alarm in read_status(session, planned.settings).alarms]
    told = [text for text in texts if text.startswith("The disk of ")]
    assert len(told) == 1
    assert " is full: 12" in told[0]
    assert "1 block waits for room" in told[0]
    database = disks(planned.settings)[0].holds_database
    assert any("daemon" in text and "The disk" not in text for text in texts) is not database
    free(10**12)
    with planned.archive.read() as session:
        assert not any("disk" in alarm.text for alarm in read_status(session, planned.settings).alarms)
