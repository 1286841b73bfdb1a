"""Blocks whose parts are leased one by one: every way a part can end, and the same file whatever dies."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import undefer

import workers.attempt
from core.archive.definitions import register_definitions
from core.archive.leases import running_leases
from core.archive.models import Block, BlockPart, Event, Product, Qc1Parameter, Qc1Value
from core.archive.orders import cancel_block, rerun_block
from core.archive.parts import FINISH
from core.archive.queries import runnable_work
from core.archive.records import Work
from core.archive.sessions import Archive
from core.archive.states import BlockState
from core.fitsfile.scan import scan_fits
from core.instruments.catalogue import qc1_definitions
from core.recipes.engine import run_recipe
from core.recipes.events import Event as RecipeEvent
from core.recipes.events import PartProgress
from core.recipes.frames import Frame, FrameSet
from core.recipes.registry import get_recipe
from core.settings import Settings
from tests.workers.toys import add_toy_block, installed
from workers.execute import BlockExecutor
from workers.housekeeping import Housekeeping
from workers.outcome import Outcome

ROOT = Path(__file__).parents[2]
DATES = ("DATE", "CHECKSUM", "DATASUM")
GIVE_UP = 1200.0  # [s]; only a fault takes so long, on whatever machine


class House:
    """An installation with one block that is done in parts."""

    def __init__(self, folder: Path, archive: Archive, recipe: str = "slab_cube", **params: Any) -> None:
        self.archive = archive
        self.settings = Settings(
            data_dir=folder, database_url=archive.database_url, heartbeat_seconds=0.2, lease_seconds=5.0,
            retry_seconds=0.05,
        )  # fmt: skip
        self.settings.make_directories()
        register_definitions(archive, qc1_definitions())
        self.block_id = add_toy_block(archive, folder, recipe, **params)
        self.executor = BlockExecutor(archive, self.settings, threading.Event())

    def block(self) -> Block:
        with self.archive.read() as session:
            query = select(Block).where(Block.id == self.block_id).options(undefer(Block.plots))
            return session.scalars(query).one()

    def parts(self) -> dict[str, BlockPart]:
        with self.archive.read() as session:
            rows = session.scalars(select(BlockPart).order_by(BlockPart.position).options(undefer(BlockPart.progress)))
            return {row.key: row for row in rows}

    def run_out(self) -> list[Outcome]:
        """Everything that can be done, one after the other; outcomes."""
        outcomes, until = [], time.monotonic() + GIVE_UP
        while self.block().state in (BlockState.READY, BlockState.QUEUED, BlockState.RUNNING):
            assert time.monotonic() < until
            with self.archive.read() as session:
                todo = runnable_work(session)
            if todo:
                outcomes.append(self.executor.execute(todo[0][0]))
            else:
                time.sleep(0.02)
        return outcomes

    @property
    def work(self) -> list[Path]:
        return list((self.settings.product_dir / ".work").glob("*"))


@pytest.fixture(autouse=True)
def toys() -> Iterator[None]:
    with installed():
        yield


@pytest.fixture
def make(tmp_path: Path, sqlite_archive: Archive) -> Callable[..., House]:
    return lambda recipe="slab_cube", **params: House(tmp_path, sqlite_archive, recipe, **params)


def content(path: Path) -> tuple[list[bytes], list[list[tuple[str, Any]]]]:
    """Data units, and cards that are no dates and no sums over them."""
    scan = scan_fits(path)
    data = path.read_bytes()
    units = [data[hdu.data_offset : hdu.data_offset + hdu.data_bytes] for hdu in scan.hdus]
    cards = [[(c.keyword, c.value) for c in hdu.header.cards if c.keyword not in DATES] for hdu in scan.hdus]
    return units, cards


def test_a_block_of_slabs_goes_from_raw_to_done(make: Callable[..., House]) -> None:
    house = make(slabs=3)
    events: list[RecipeEvent] = []
    house.executor.on_event = lambda _, event: events.append(event)
    assert house.run_out() == [Outcome.DIVIDED, *[Outcome.PART_DONE] * 3, Outcome.DONE]
    block, parts = house.block(), house.parts()
    assert (block.state, block.lease_owner, block.work_name) == (BlockState.DONE, None, None)
    assert list(parts) == ["slab-001", "slab-002", "slab-003", FINISH]
    assert [part.label for part in parts.values()] == [
        "4750-4850 Angstrom", "4850-4950 Angstrom", "4950-5050 Angstrom", "last step",
    ]  # fmt: skip
    assert {part.state for part in parts.values()} == {BlockState.DONE}
    assert {event.part.number for event in events if isinstance(event, PartProgress)} == {1, 2, 3}
    assert parts["slab-002"].progress == {"slab-002": {"phase": "done", "fraction": 1.0}}
    # measured, and no more than the recipe is declared to need
    assert block.peak_mb == max(part.peak_mb for part in parts.values() if part.peak_mb)
    assert 10 < block.peak_mb < 600
    with house.archive.read() as session:
        (product,) = session.scalars(select(Product))
        value, parameter = session.execute(
            select(Qc1Value.value, Qc1Parameter.keyword).join(Qc1Parameter, Qc1Parameter.id == Qc1Value.parameter_id)
        ).one()
        moves = session.execute(
            select(Event.subject, Event.from_state, Event.to_state).where(Event.kind == "part").order_by(Event.id)
        ).all()
    assert (product.tag, product.unit) == ("TOY_CUBE", None)
    assert parameter == "QC.GEO.TOYSUM"  # it stands in the primary header of a product of no unit
    assert value == pytest.approx(100 * 3 * 2 * 48, rel=0.02)  # 100 counts a voxel, noise of 10
    assert moves[-3:] == [
        ("slab_cube-block finish", "waiting", "ready"),
        ("slab_cube-block finish", "ready", "running"),
        ("slab_cube-block finish", "running", "done"),
    ]
    assert [plot["name"] for plot in block.plots] == ["cube"]
    log = Path(block.log_path).read_text()
    assert "prepared: 3 parts are to be done" in log
    assert "a try of slab-002 of block slab_cube-block" in log
    assert house.work == []


def test_the_whole_makes_the_same_cube_as_slabs(make: Callable[..., House], tmp_path: Path) -> None:
    house = make("whole_cube", slabs=3)
    assert house.run_out() == [Outcome.DONE]
    whole = next(house.settings.product_dir.glob("20*/**/TOY_CUBE.fits"))
    assert house.block().peak_mb is not None
    house.block_id = add_toy_block(house.archive, tmp_path, "slab_cube", slabs=3)
    house.run_out()
    divided = next(path for path in house.settings.product_dir.glob("20*/**/TOY_CUBE.fits") if path != whole)
    assert content(divided)[0] == content(whole)[0]


def test_a_slab_that_always_fails_ends_in_failed_with_its_reason(make: Callable[..., House]) -> None:
    house = make(slabs=3, fail=2)
    assert house.run_out() == [Outcome.DIVIDED, Outcome.PART_DONE, Outcome.FAILED]
    block, parts = house.block(), house.parts()
    assert (block.state, block.error_type) == (BlockState.FAILED, "data")
    assert block.error_message == "4850-4950 Angstrom failed: no light in this slab"
    assert {key: part.state.value for key, part in parts.items()} == {
        "slab-001": "done", "slab-002": "failed", "slab-003": "cancelled", FINISH: "cancelled",
    }  # fmt: skip
    assert house.work == []
    with house.archive.write() as session:  # a person has another go, with other parameters
        rerun_block(session, house.block_id, actor="astronomer", parameters={"slabs": 2})
    house.run_out()
    assert house.block().state is BlockState.DONE
    assert list(house.parts()) == ["slab-001", "slab-002", FINISH]


def test_a_recipe_that_survives_it_is_finished_without_the_slab(make: Callable[..., House]) -> None:
    house = make("slab_lossy", slabs=3, fail=2)
    assert house.run_out() == [Outcome.DIVIDED, Outcome.PART_DONE, Outcome.FAILED, Outcome.PART_DONE, Outcome.DONE]
    with house.archive.read() as session:
        texts = session.scalars(select(Event.text).where(Event.to_state == "done", Event.kind == "block")).all()
    assert texts == ["4850-4950 Angstrom failed: no light in this slab"]


def test_a_slab_that_fails_from_outside_is_tried_again(make: Callable[..., House]) -> None:
    house = make(slabs=2, flaky=1)
    assert Outcome.RETRY in house.run_out()
    assert house.block().state is BlockState.DONE
    assert [part.tries for part in house.parts().values()] == [2, 1, 1]


def test_cancelling_takes_the_parts_away_from_their_workers(make: Callable[..., House]) -> None:
    house = make(slabs=2, pause=2 * GIVE_UP)
    assert house.executor.execute(Work(house.block_id)) is Outcome.DIVIDED

    def cancel(_block: str, event: RecipeEvent) -> None:
        if isinstance(event, PartProgress):
            with house.archive.write() as session:
                if session.get_one(Block, house.block_id).state is BlockState.RUNNING:
                    assert cancel_block(session, house.block_id, actor="astronomer") is BlockState.CANCELLED

    house.executor.on_event = cancel
    start = time.monotonic()
    assert house.executor.execute(Work(house.block_id, "slab-001")) is Outcome.LOST
    assert time.monotonic() - start < GIVE_UP
    assert house.block().state is BlockState.CANCELLED
    assert {part.state for part in house.parts().values()} == {BlockState.CANCELLED}
    assert house.work == []
    assert house.executor.execute(Work(house.block_id, "slab-002")) is Outcome.SKIPPED


def test_housekeeping_leaves_the_shared_directory_of_an_open_block(make: Callable[..., House]) -> None:
    house = make(slabs=1)
    house.executor.execute(Work(house.block_id))
    (folder,) = house.work
    for path in (*folder.rglob("*"), folder):
        os.utime(path, (0, 0))
    Housekeeping(house.archive, house.settings).clean()
    assert house.work == [folder]
    with house.archive.write() as session:
        cancel_block(session, house.block_id, actor="astronomer")
    Housekeeping(house.archive, house.settings).clean()
    assert house.work == []


@pytest.mark.parametrize("place", ["finish_block", "place"])
def test_a_finish_that_dies_on_its_way_is_done_again(
    make: Callable[..., House], monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    house = make(slabs=2)

    def die(*_: object, **__: object) -> None:
        raise workers.attempt.ChildError("the machine went off")

    with monkeypatch.context() as patch:
        patch.setattr(workers.attempt, place, die)
        while house.parts().get(FINISH) is None or house.parts()[FINISH].tries == 0:
            with house.archive.read() as session:
                house.executor.execute(runnable_work(session)[0][0])
    assert house.parts()[FINISH].state is BlockState.READY
    house.run_out()
    assert house.block().state is BlockState.DONE


def test_the_lease_is_kept_while_a_large_file_is_placed(
    make: Callable[..., House], monkeypatch: pytest.MonkeyPatch
) -> None:
    house = make("whole_cube", slabs=1)
    prolonged: list[bool] = []
    sync = os.fsync

    def lease() -> datetime | None:
        with house.archive.read() as session:
            return session.get_one(Block, house.block_id).lease_until

    def slow(number: int) -> None:
        first, until = lease(), time.monotonic() + GIVE_UP
        while not prolonged and time.monotonic() < until:
            now = lease()
            if first is None or now is None:
                break
            if now > first:
                prolonged.append(True)
            time.sleep(0.05)
        sync(number)

    with monkeypatch.context() as patch:
        patch.setattr("core.archive.store.os.fsync", slow)
        assert house.executor.execute(Work(house.block_id)) is Outcome.DONE
    assert prolonged


def test_a_part_whose_block_has_ended_since_it_was_claimed_is_lost_quietly(
    make: Callable[..., House], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    house = make(slabs=2)
    assert house.executor.execute(Work(house.block_id)) is Outcome.DIVIDED
    begin = workers.attempt.Attempt._begin_log

    def ended_meanwhile(attempt: workers.attempt.Attempt) -> None:
        begin(attempt)
        with house.archive.write() as session:
            cancel_block(session, house.block_id, actor="astronomer")
        house.executor.store.discard_work(house.work[0])  # as the worker of another part does it

    monkeypatch.setattr(workers.attempt.Attempt, "_begin_log", ended_meanwhile)
    assert house.executor.execute(Work(house.block_id, "slab-001")) is Outcome.LOST
    assert house.block().state is BlockState.CANCELLED
    assert house.work == []
    assert "unexpected error" not in caplog.text


def test_a_work_directory_that_is_gone_is_named(make: Callable[..., House]) -> None:
    house = make(slabs=1, max_tries=1)
    assert house.executor.execute(Work(house.block_id)) is Outcome.DIVIDED
    house.executor.store.discard_work(house.work[0])
    assert house.executor.execute(Work(house.block_id, "slab-001")) is Outcome.FAILED
    block = house.block()
    assert block.state is BlockState.FAILED
    assert block.error_type == "product_store"
    assert "the work directory of the block is gone" in str(block.error_message)


def test_work_that_needs_more_memory_than_is_free_waits(make: Callable[..., House]) -> None:
    house = make(slabs=1)
    house.executor.settings = house.settings.model_copy(update={"resend_seconds": 0.1})
    with house.executor.budget.room(house.executor.budget.total_mb, "another", threading.Event(), 1.0) as fits:
        assert fits
        assert house.executor.execute(Work(house.block_id)) is Outcome.SKIPPED
    assert house.block().tries == 0
    assert house.executor.execute(Work(house.block_id)) is Outcome.DIVIDED


@pytest.mark.parametrize(
    ("database_url", "slab_count"),
    [("sqlite", 20), ("postgresql", 6)],
    indirect=["database_url"],
    ids=["sqlite", "postgresql"],
)
def test_slabs_and_three_workers_that_are_killed_make_the_file_of_one_left_alone(
    tmp_path: Path, archive: Archive, slab_count: int
) -> None:
    house = House(tmp_path, archive, slabs=slab_count, max_tries=50)
    alone = tmp_path / "alone"
    alone.mkdir()
    recipe = get_recipe("slab_cube")
    frames = FrameSet((Frame(tmp_path / "slab_cube.fits", "TOY"),))
    result = run_recipe(recipe, frames, recipe.Params.parse({"slabs": slab_count}), alone)
    expected = content(result.products[0].path)
    # One is killed while the block is prepared, one each time that four slabs more are done, one in the last step.
    kills = Kills([None, *range(0, slab_count, 4), slab_count])
    crew = Workers(house, 3)
    try:
        until = time.monotonic() + GIVE_UP
        while house.block().state is not BlockState.DONE:
            assert time.monotonic() < until, house.parts()
            assert house.block().state in (BlockState.READY, BlockState.RUNNING), house.block().error_message
            if kills.due(house.parts()):
                kills.done(crew.kill_a_holder())
            crew.keep()
            time.sleep(0.05)
    finally:
        crew.close()
    assert kills.count >= kills.planned - 2  # a short step may end unseen
    assert house.block().tries + sum(part.tries - 1 for part in house.parts().values()) > kills.count / 2
    assert content(next(house.settings.product_dir.glob("20*/**/TOY_CUBE.fits"))) == expected


class Kills:
    """How far the block is when a worker is killed: numbers of slabs that are done; None before there are any."""

    def __init__(self, moments: list[int | None]) -> None:
        self._moments = moments
        self.planned, self.count = len(moments), 0

    def due(self, parts: dict[str, BlockPart]) -> bool:
        """Whether a worker is to be killed now; moments that have passed without are given up."""
        slabs = [part for part in parts.values() if part.key != FINISH]
        if slabs and self._moments[:1] == [None]:
            del self._moments[0]
        if not self._moments:
            return False
        moment, done = self._moments[0], sum(part.state is BlockState.DONE for part in slabs)
        return not slabs if moment is None else bool(slabs) and done >= moment

    def done(self, killed: bool) -> None:
        """One was killed, or there was none at work."""
        if killed:
            self.count += 1
            del self._moments[0]


class Workers:
    """Processes that work on the block of a house."""

    def __init__(self, house: House, number: int) -> None:
        self._settings, self._archive = house.settings, house.archive
        self._seed, self._order = 0, random.Random(8)
        self._processes = [self._start() for _ in range(number)]

    def _start(self) -> subprocess.Popen[bytes]:
        self._seed += 1
        environment = {
            **os.environ,
            "CASCADE_DATA_DIR": str(self._settings.data_dir),
            "CASCADE_DATABASE_URL": self._settings.database_url,
            "CASCADE_HEARTBEAT_SECONDS": "1",
            "CASCADE_LEASE_SECONDS": "10",
            "CASCADE_RETRY_SECONDS": "0.05",
        }
        command = [sys.executable, "-m", "tests.workers.part_worker", str(self._seed)]
        return subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL)

    def kill_a_holder(self) -> bool:
        """Kill one that has something in work, whatever it does; False if none has."""
        with self._archive.read() as session:
            holders = {int(owner.split(":")[1]) for _, owner in running_leases(session)}
        busy = [one for one in self._processes if one.pid in holders and one.poll() is None]
        if not busy:
            return False
        victim = self._order.choice(busy)
        victim.send_signal(signal.SIGKILL)
        victim.wait()
        return True

    def keep(self) -> None:
        """Start those again that were killed."""
        self._processes = [one if one.poll() in (None, 0) else self._start() for one in self._processes]

    def close(self) -> None:
        for one in self._processes:
            one.kill()
            one.wait()
