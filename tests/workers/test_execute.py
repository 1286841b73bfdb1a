"""Execution of blocks with real recipes on a small detector: success, and every way it can be broken off."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import undefer

import workers.attempt
from core.archive.base import utc_now
from core.archive.definitions import register_definitions
from core.archive.leases import claim_work, release_expired_leases
from core.archive.models import Block, BlockInput, Event, Product, Qc1Value, Score
from core.archive.orders import cancel_block
from core.archive.queries import runnable_work
from core.archive.records import Work
from core.archive.states import BlockState, InputKind
from core.archive.store import ProductStore
from core.archive.transitions import change_block
from core.errors import ProductStoreError
from core.instruments.catalogue import qc1_definitions
from core.recipes.events import Event as RecipeEvent
from core.recipes.events import RunStarted
from core.recipes.registry import get_recipe
from core.settings import Settings
from workers.child import RecipeChild
from workers.execute import BlockExecutor, release_dead, retry_pause
from workers.interrupts import LeaseLost
from workers.outcome import Outcome
from workers.planning import Planner
from workers.runner import run_until_idle


@pytest.fixture
def planned(house: Any) -> Any:
    """The small night, planned and not yet executed."""
    register_definitions(house.archive, qc1_definitions())
    Planner(house.archive, house.settings).plan_changes(wait_for_templates=False)
    return house


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[RecipeChild]]:
    """The recipe processes that are started."""
    started: list[RecipeChild] = []

    class Watched(RecipeChild):
        def __init__(self, job_file: Path, log_file: Path) -> None:
            super().__init__(job_file, log_file)
            started.append(self)

    monkeypatch.setattr(workers.attempt, "RecipeChild", Watched)
    yield started
    for child in started:
        child.kill()


def bias_id(house: Any) -> int:
    return house.blocks()["muse_bias"].id


def executor(house: Any, **more: Any) -> BlockExecutor:
    return BlockExecutor(house.archive, house.settings, more.pop("stop", threading.Event()), **more)


def freezing(children: list[RecipeChild], then: Callable[[], None]) -> Callable[[str, dict[str, Any]], None]:
    """An event listener that stops the recipe's clock at its first event, so that what follows cannot come too late."""
    done: list[bool] = []

    def listen(_block: str, _event: RecipeEvent) -> None:
        if not done:
            done.append(True)
            os.killpg(children[0].pid, signal.SIGSTOP)
            then()

    return listen


def wait_out_the_pause(house: Any) -> None:
    """Until the block that failed may be tried again: settings of the tests make that 0.05 s."""
    limit = time.monotonic() + 10
    while True:
        with house.archive.read() as session:
            if runnable_work(session):
                return
        assert time.monotonic() < limit
        time.sleep(0.02)


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_a_night_runs_to_the_end_and_leaves_products_qc1_scores_plots_and_logs(house: Any) -> None:
    events: list[RecipeEvent] = []
    summary = run_until_idle(house.archive, house.settings, on_event=lambda _, event: events.append(event))
    assert list(summary.outcomes.values()) == [Outcome.DONE, Outcome.DONE]
    blocks = house.blocks()
    assert {recipe: block.state for recipe, block in blocks.items()} == {
        "muse_bias": BlockState.DONE,
        "muse_dark": BlockState.DONE,
    }
    products = house.rows(select(Product).options(undefer(Product.header)).order_by(Product.tag, Product.unit))
    assert [(p.tag, p.unit) for p in products] == [
        ("MASTER_BIAS", 1),
        ("MASTER_BIAS", 2),
        ("MASTER_DARK", 1),
        ("MASTER_DARK", 2),
    ]
    for product in products:
        assert Path(product.path).stat().st_size == product.size
        assert product.header["PRO.CATG"] == product.tag
    # 4 quadrants x 2 IFUs of read-out noise, each between 1 and 5 count as on the real detectors
    noise = house.rows(
        select(Qc1Value.value).join(Product, Product.id == Qc1Value.product_id).where(Qc1Value.quadrant.is_not(None))
    )
    assert len(noise) >= 8
    assert house.scalar(select(func.count()).select_from(Score).where(Score.score == 0)) > 8
    dark = blocks["muse_dark"]
    assert dark.score is not None
    for recipe, block in blocks.items():
        assert 10 < block.peak_mb <= get_recipe(recipe).memory.total(1), recipe
    used = house.rows(select(BlockInput).where(BlockInput.block_id == dark.id, BlockInput.role == "MASTER_BIAS"))
    assert [(entry.kind, entry.source_block_id) for entry in used] == [(InputKind.PRODUCT, blocks["muse_bias"].id)]
    with house.archive.read() as session:
        plots = session.get(type(dark), dark.id).plots
    assert {plot["name"] for plot in plots} == {"dark0-01", "dark0-02", "dark1"}
    assert all(Path(plot["path"]).read_bytes().startswith(b"\x89PNG") for plot in plots)
    log = Path(dark.log_path).read_text()
    assert "try 1 of block" in log
    assert "saved MASTER_DARK: MASTER_DARK-01.fits" in log
    assert {"part_progress", "part_done"} <= {event.event for event in events}
    # nothing is left over: no work directory, no receipt
    assert not list((house.settings.product_dir / ".work").iterdir())
    assert not list(house.settings.product_dir.rglob("receipt-*"))
    # and nothing is done twice
    assert run_until_idle(house.archive, house.settings).outcomes == {}


@pytest.mark.parametrize(("order", "expected"), [("steal", Outcome.LOST), ("cancel", Outcome.CANCELLED)])
def test_a_worker_that_holds_its_block_no_longer_places_no_further_file(
    planned: Any, monkeypatch: pytest.MonkeyPatch, order: str, expected: Outcome
) -> None:
    number = bias_id(planned)
    place, placed = ProductStore.place, list[str]()

    def watched(self: ProductStore, temporary: Path, **where: Any) -> Any:
        if not placed:
            with planned.archive.write() as session:
                if order == "cancel":
                    cancel_block(session, number, actor="astronomer")
                else:  # as if the disk had stood still for longer than the lease
                    release_expired_leases(session, actor="dispatch", now=utc_now() + timedelta(hours=1))
                    assert claim_work(session, Work(number), owner="another", lease_seconds=60)
        placed.append(temporary.name)
        return place(self, temporary, **where)

    monkeypatch.setattr(ProductStore, "place", watched)
    assert executor(planned).execute(Work(number)) is expected
    assert placed == ["MASTER_BIAS-01.fits"]


def test_the_lease_is_prolonged_with_each_file_that_is_placed_or_adopted(
    planned: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = bias_id(planned)
    left: list[float] = []

    def nearly_over() -> None:
        with planned.archive.write() as session:
            block = session.get_one(Block, number)
            left.append((block.lease_until - utc_now()).total_seconds())
            block.lease_until = utc_now()

    def slow(method: Any) -> Any:
        def call(self: ProductStore, *arguments: Any, **where: Any) -> Any:
            nearly_over()
            return method(self, *arguments, **where)

        return call

    monkeypatch.setattr(ProductStore, "place", slow(ProductStore.place))
    monkeypatch.setattr(ProductStore, "verify", slow(ProductStore.verify))
    with monkeypatch.context() as patch:

        def away(*_: Any, **__: Any) -> None:
            raise ProductStoreError("gone")

        patch.setattr(workers.attempt, "finish_block", away)
        assert executor(planned).execute(Work(number)) is Outcome.RETRY
    placed = len(left)
    assert placed > 2
    with planned.archive.write() as session:
        session.get_one(Block, number).not_before = None
    assert executor(planned).execute(Work(number)) is Outcome.DONE
    assert len(left) == placed + 2
    assert min(left) > planned.settings.lease_seconds / 2


def test_pauses_between_tries_grow_up_to_an_hour() -> None:
    settings = Settings(retry_seconds=20.0)
    assert [retry_pause(settings, tries) for tries in (1, 2, 3, 5, 100_000)] == [20.0, 80.0, 320.0, 3600.0, 3600.0]
    assert retry_pause(Settings(retry_seconds=5000.0), 3) == 5000.0


def test_a_doubled_message_does_nothing(planned: Any) -> None:
    number = bias_id(planned)
    assert executor(planned).execute(Work(number)) is Outcome.DONE
    assert executor(planned).execute(Work(number)) is Outcome.SKIPPED
    assert planned.blocks()["muse_bias"].tries == 1


def test_products_of_a_try_that_died_before_the_commit_are_adopted(
    planned: Any, children: list[RecipeChild], monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object, **__: object) -> None:
        raise LeaseLost("the machine went off")

    with monkeypatch.context() as patch:
        patch.setattr(workers.attempt, "finish_block", die)
        assert executor(planned).execute(Work(bias_id(planned))) is Outcome.LOST
    files = {p: p.stat().st_ino for p in planned.settings.product_dir.rglob("MASTER_BIAS*.fits")}
    assert len(files) == 2
    assert planned.scalar(select(func.count()).select_from(Product)) == 0
    with planned.archive.write() as session:
        change_block(
            session,
            bias_id(planned),
            BlockState.READY,
            from_states={BlockState.RUNNING},
            actor="test",
            lease_owner=None,
        )
    assert executor(planned).execute(Work(bias_id(planned))) is Outcome.DONE
    assert len(children) == 1  # the recipe ran once
    assert {p: p.stat().st_ino for p in files} == files
    block = planned.blocks()["muse_bias"]
    assert "the 2 products of an earlier try are complete: adopted" in Path(block.log_path).read_text()
    assert planned.scalar(select(func.count()).select_from(Product)) == 2


def test_a_damaged_product_of_an_earlier_try_is_not_adopted(
    planned: Any, children: list[RecipeChild], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(workers.attempt, "finish_block", _raise(ProductStoreError("no space left on device")))
        assert executor(planned).execute(Work(bias_id(planned))) is Outcome.RETRY
    victim = next(planned.settings.product_dir.rglob("MASTER_BIAS-01.fits"))
    with victim.open("rb+") as stream:
        stream.seek(-100, os.SEEK_END)
        stream.write(b"\x55")
    wait_out_the_pause(planned)
    assert executor(planned).execute(Work(bias_id(planned))) is Outcome.DONE
    assert len(children) == 2


def _raise(error: BaseException) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


def test_cancelling_ends_the_recipe_and_its_processes(planned: Any, children: list[RecipeChild]) -> None:
    number = bias_id(planned)

    def cancel() -> None:
        with planned.archive.write() as session:
            assert cancel_block(session, number, actor="astronomer") is BlockState.RUNNING

    outcome = executor(planned, on_event=freezing(children, cancel)).execute(Work(number))
    assert outcome is Outcome.CANCELLED
    assert planned.blocks()["muse_bias"].state is BlockState.CANCELLED
    assert gone(children[0].pid)
    assert not list(planned.settings.product_dir.rglob("*.fits"))


def test_a_worker_that_ends_gives_its_block_back(planned: Any, children: list[RecipeChild]) -> None:
    stop = threading.Event()
    outcome = executor(planned, stop=stop, on_event=freezing(children, stop.set)).execute(Work(bias_id(planned)))
    assert outcome is Outcome.RELEASED
    block = planned.blocks()["muse_bias"]
    assert (block.state, block.tries) == (BlockState.READY, 0)
    assert gone(children[0].pid)


def test_a_worker_that_lost_its_lease_writes_nothing(planned: Any, children: list[RecipeChild]) -> None:
    number = bias_id(planned)

    def steal() -> None:
        with planned.archive.write() as session:
            block = session.get(type(planned.blocks()["muse_bias"]), number)
            block.lease_owner = "somebody else"

    outcome = executor(planned, on_event=freezing(children, steal)).execute(Work(number))
    assert outcome is Outcome.LOST
    block = planned.blocks()["muse_bias"]
    assert (block.state, block.lease_owner) == (BlockState.RUNNING, "somebody else")
    assert planned.scalar(select(func.count()).select_from(Product)) == 0


def test_a_recipe_that_takes_too_long_is_stopped_and_tried_again_and_then_failed(
    make_house: Callable[..., Any], children: list[RecipeChild]
) -> None:
    house = make_house(recipe_seconds=0.2, max_tries=2)
    house.ingest()
    summary = run_until_idle(house.archive, house.settings)
    block = house.blocks()["muse_bias"]
    assert summary.outcomes[block.name] is Outcome.FAILED
    assert (block.state, block.tries, block.error_type) == (BlockState.FAILED, 2, "recipe_timeout")
    assert block.error_message == "stopped after 0.2 s"
    assert all(gone(child.pid) for child in children)


def test_a_killed_recipe_is_tried_again(planned: Any, children: list[RecipeChild]) -> None:
    def kill(_block: str, event: RecipeEvent) -> None:
        if isinstance(event, RunStarted) and len(children) == 1:
            os.killpg(children[0].pid, signal.SIGKILL)

    number = bias_id(planned)
    assert executor(planned, on_event=kill).execute(Work(number)) is Outcome.RETRY
    block = planned.blocks()["muse_bias"]
    assert block.error_type == "child_died"
    assert "SIGKILL" in block.error_message
    wait_out_the_pause(planned)
    assert executor(planned, on_event=kill).execute(Work(number)) is Outcome.DONE
    assert planned.blocks()["muse_bias"].error_message is None


def test_broken_raw_frames_fail_the_block_which_says_so(planned: Any) -> None:
    victims = sorted(planned.raw.iterdir())[1:5]  # the biases; one alone would be left out by the recipe
    for victim in victims:
        with victim.open("rb+") as stream:
            stream.truncate(victim.stat().st_size // 2)  # in the data of the first of two IFUs
    number = bias_id(planned)
    assert executor(planned).execute(Work(number)) is Outcome.FAILED
    block = planned.blocks()["muse_bias"]
    assert block.state is BlockState.FAILED
    assert "IFU 1" in block.error_message
    assert "IFU 2" in block.error_message
    assert victims[0].name in block.error_message
    assert planned.scalar(select(func.count()).select_from(Product)) == 0
    # what waited for it is told
    Planner(planned.archive, planned.settings).plan_changes(wait_for_templates=False)
    dark = planned.blocks()["muse_dark"]
    assert dark.state is BlockState.INCOMPLETE
    assert "failed" in dark.state_reason


def test_an_unexpected_error_is_a_failure_with_its_name(planned: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers.attempt, "place", _raise(ZeroDivisionError("oh")))
    assert executor(planned).execute(Work(bias_id(planned))) is Outcome.FAILED
    block = planned.blocks()["muse_bias"]
    assert (block.error_type, block.error_message) == ("non_retriable", "ZeroDivisionError: oh")


def test_the_silence_of_a_dead_worker_returns_its_block(make_house: Callable[..., Any]) -> None:
    house = make_house(lease_seconds=0.3, heartbeat_seconds=0.1)
    house.ingest()
    Planner(house.archive, house.settings).plan_changes(wait_for_templates=False)
    with house.archive.write() as session:
        assert claim_work(session, Work(bias_id(house)), owner="dead", lease_seconds=0.01)
    threading.Event().wait(0.05)
    with house.archive.write() as session:
        assert release_expired_leases(session, actor="test") == [Work(bias_id(house))]
    with house.archive.read() as session:
        assert bias_id(house) in [work.block_id for work, _ in runnable_work(session)]
    texts = house.rows(select(Event.text).where(Event.to_state == "ready"))
    assert any("worker dead is silent" in text for text in texts)


def test_the_block_of_a_worker_that_was_killed_on_this_machine_is_back_at_once(planned: Any) -> None:
    number = bias_id(planned)
    dead = subprocess.Popen([sys.executable, "-c", "pass"])
    dead.wait()
    host = socket.gethostname()
    for owner, back in (
        (f"execute@{host}:{os.getpid()}:7f", []),  # it lives
        (f"execute@elsewhere:{dead.pid}:7f", []),  # nobody can say
        (f"execute@{host}:{dead.pid}:7f", [Work(number)]),
    ):
        with planned.archive.write() as session:
            if planned.blocks()["muse_bias"].state is BlockState.READY:
                assert claim_work(session, Work(number), owner=owner, lease_seconds=60)
            else:
                session.get(type(planned.blocks()["muse_bias"]), number).lease_owner = owner
        assert release_dead(planned.archive, "test") == back
    assert planned.blocks()["muse_bias"].state is BlockState.READY


def test_a_keyboard_interrupt_gives_the_block_back(planned: Any, children: list[RecipeChild]) -> None:
    def press(_block: str, _event: RecipeEvent) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        executor(planned, on_event=press).execute(Work(bias_id(planned)))
    block = planned.blocks()["muse_bias"]
    assert (block.state, block.tries) == (BlockState.READY, 0)
    assert gone(children[0].pid)
