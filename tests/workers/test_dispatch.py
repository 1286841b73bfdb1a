"""The dispatcher's rounds, the messages, the supervisor and housekeeping."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

import workers.dispatch
import workers.housekeeping
from core.archive.base import utc_now
from core.archive.events import beat, record_event
from core.archive.leases import claim_work
from core.archive.models import Block, Event, Product, WorkerHeartbeat
from core.archive.news import PLANNER
from core.archive.orders import cancel_block, rerun_block
from core.archive.records import Work
from core.archive.schema import upgrade
from core.archive.sessions import Archive
from core.archive.states import BlockState, WorkerKind
from core.archive.store import ProductStore
from core.archive.upkeep import remove_old_events
from core.errors import ParameterError
from core.settings import Settings
from workers.broker import EXECUTE_TASK, make_app, send_work
from workers.dispatch import Dispatcher
from workers.execute import BlockExecutor
from workers.housekeeping import Cleaned, Housekeeping
from workers.outcome import Outcome
from workers.planning import Planner
from workers.runner import run_until_idle
from workers.supervisor import DAEMONS, Supervisor
from workers.worker import make_worker_app


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[Work]:
    """What was sent to the broker."""
    numbers: list[Work] = []
    monkeypatch.setattr(workers.dispatch, "send_work", lambda app, work: numbers.append(work))
    return numbers


def dispatcher(house: Any) -> Dispatcher:
    return Dispatcher(house.archive, house.settings, make_app(house.settings))


def messages(settings: Settings) -> list[dict[str, Any]]:
    folder = settings.broker_dir / "messages"
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*.msg"))]


def test_a_message_is_a_block_number_and_the_key_of_a_part_and_nothing_else(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    app = make_app(settings)
    send_work(app, Work(42))
    send_work(app, Work(42, "slab-003"))
    sent = messages(settings)
    assert {message["headers"]["task"] for message in sent} == {EXECUTE_TASK}
    assert {message["headers"]["argsrepr"] for message in sent} == {"[42, '']", "[42, 'slab-003']"}
    assert app.conf.task_acks_late
    assert app.conf.worker_prefetch_multiplier == 1
    app.close()


def test_redis_is_a_setting(tmp_path: Path) -> None:
    app = make_app(Settings(data_dir=tmp_path, broker_url="redis://localhost:6379/3"))
    assert app.conf.broker_transport_options["visibility_timeout"] >= 6 * 3600
    app.close()


def test_other_brokers_are_refused_with_what_is_accepted(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="filesystem:// or redis://"):
        make_app(Settings(data_dir=tmp_path, broker_url="amqp://localhost"))


def test_a_round_plans_and_queues_what_is_ready(house: Any, sent: list[Work]) -> None:
    rounds = dispatcher(house)
    time.sleep(0.15)  # the template is complete as soon as nothing came in for template_seconds
    tick = rounds.tick()
    assert tick.planned is not None
    blocks = house.blocks()
    assert sent == [Work(blocks["muse_bias"].id)]
    assert (blocks["muse_bias"].state, blocks["muse_dark"].state) == (BlockState.QUEUED, BlockState.WAITING)
    assert rounds.tick().queued == 0


def test_a_lost_message_is_sent_again(make_house: Callable[..., Any], sent: list[Work]) -> None:
    house = make_house(resend_seconds=0.2)
    house.ingest()
    rounds = dispatcher(house)
    rounds.tick()
    assert len(sent) == 1
    time.sleep(0.3)
    tick = rounds.tick()
    assert (tick.resent, tick.queued) == (1, 1)
    assert sent == [sent[0]] * 2


def test_what_waits_its_turn_is_not_sent_again_before_its_message_is_gone(make_house: Callable[..., Any]) -> None:
    """Each block of a night is sent once, however long it waits behind others; whose message is lost, once more."""
    house = make_house(resend_seconds=1e-6)
    house.ingest()
    rounds = dispatcher(house)
    ticks = [rounds.tick()]
    with house.archive.write() as session:  # as if the night had many blocks that are ready
        for block in session.scalars(select(Block).where(Block.state == BlockState.WAITING)):
            block.state = BlockState.READY
    ticks += [rounds.tick() for _ in range(5)]
    blocks = len(house.blocks())
    assert blocks > 1
    assert sum(tick.queued for tick in ticks) == len(messages(house.settings)) == blocks
    assert sum(tick.resent for tick in ticks) == 0
    first, *_ = sorted((house.settings.broker_dir / "messages").glob("*.msg"))
    first.unlink()
    again = rounds.tick()
    assert (again.resent, again.queued, len(messages(house.settings))) == (1, 1, blocks)


def test_the_block_of_a_silent_worker_is_sent_again(house: Any, sent: list[Work]) -> None:
    rounds = dispatcher(house)
    rounds.tick()
    with house.archive.write() as session:
        assert claim_work(session, sent[0], owner="dead", lease_seconds=0.01)
    time.sleep(0.05)
    tick = rounds.tick()
    assert (tick.released, tick.queued) == (1, 1)


def test_the_queue_is_kept_short_so_that_urgent_blocks_come_first(
    make_house: Callable[..., Any], sent: list[Work]
) -> None:
    house = make_house(queue_depth=1)
    house.ingest()
    rounds = dispatcher(house)
    rounds.tick()
    with house.archive.write() as session:
        block = session.get(type(house.blocks()["muse_dark"]), house.blocks()["muse_dark"].id)
        block.state, block.priority = BlockState.READY, 10
    assert rounds.tick().queued == 0
    assert len(sent) == 1


def test_the_dispatcher_survives_a_broker_that_is_away(house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Work] = []

    def away(app: object, number: int) -> None:
        calls.append(number)
        if len(calls) == 1:
            raise ConnectionRefusedError("no broker")
        stop.set()

    monkeypatch.setattr(workers.dispatch, "send_work", away)
    stop = threading.Event()
    thread = threading.Thread(target=dispatcher(house).run, args=(stop,))
    thread.start()
    thread.join(timeout=60)
    assert not thread.is_alive()
    # the block was not left to wait for a message that was never sent: `resend_seconds` are minutes
    assert calls == [calls[0]] * 2
    with house.archive.read() as session:
        (beat,) = session.scalars(select(WorkerHeartbeat))
    assert beat.kind.value == "dispatch"
    assert beat.stopped_at is not None


def test_the_task_answers_with_the_outcome(house: Any) -> None:
    class Executor(BlockExecutor):
        def execute(self, work: Work) -> Outcome:
            return Outcome.SKIPPED if work == Work(7) else Outcome.DONE

    app = make_worker_app(house.settings, Executor(house.archive, house.settings, threading.Event()))
    assert app.tasks[EXECUTE_TASK](7) == "skipped"
    assert app.tasks[EXECUTE_TASK](8) == "done"
    app.close()


def test_housekeeping_removes_what_crashes_leave_behind(make_house: Callable[..., Any]) -> None:
    house = make_house(recipe_seconds=1.0, lease_seconds=1.0, heartbeat_seconds=0.1, event_days=30.0)
    products = house.settings.product_dir
    dead = products / ".work" / "block.1234"
    alive = products / ".work" / "block.5678"
    orphan = products / "2026-11-01" / "block" / "MASTER_BIAS-01.fits"
    for path in (dead / "job.json", alive / "job.json", orphan):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    old = time.time() - 3600
    for path in (dead / "job.json", dead, orphan):
        os.utime(path, (old, old))
    with house.archive.write() as session:
        for days, kind in ((40, "block"), (40, "plan"), (1, "block")):
            record_event(session, kind, "x", actor=PLANNER, now=utc_now() - timedelta(days=days))
        for days in (40, 1):
            seen = utc_now() - timedelta(days=days)
            beat(session, f"w{days}", WorkerKind.EXECUTE, host="h", pid=days, now=seen)
    keeper = Housekeeping(house.archive, house.settings)
    assert keeper.clean() == Cleaned(work_directories=1, orphans=1, events=1)
    assert alive.exists()
    assert not dead.exists()
    assert not orphan.exists()
    # the last plan is where the next one starts from
    with house.archive.read() as session:
        assert session.scalar(select(func.count()).select_from(Event)) == 2
        assert session.scalars(select(WorkerHeartbeat.name)).all() == ["w1"]
    assert keeper.clean() == Cleaned()


@pytest.fixture
def finished(make_house: Callable[..., Any]) -> Any:
    """A night that is reduced, of which all files are old."""
    house = make_house()
    house.ingest()
    run_until_idle(house.archive, house.settings)
    for path in house.settings.product_dir.rglob("*"):
        os.utime(path, (1e9, 1e9))
    return house


def files(house: Any) -> set[str]:
    return {path.name for path in house.settings.product_dir.rglob("*") if path.is_file()}


def test_housekeeping_keeps_what_is_known_also_where_the_store_was_moved(finished: Any) -> None:
    before = files(finished)
    assert {name.rpartition(".")[2] for name in before} == {"fits", "png"}
    assert Housekeeping(finished.archive, finished.settings).clean() == Cleaned()
    moved = finished.settings.data_dir / "moved"
    finished.settings.product_dir.rename(moved)
    elsewhere = finished.settings.model_copy(update={"product_dir": moved})
    assert Housekeeping(finished.archive, elsewhere).clean() == Cleaned()
    assert {path.name for path in moved.rglob("*") if path.is_file()} == before


def test_housekeeping_keeps_what_an_open_block_may_adopt(finished: Any) -> None:
    bias = finished.blocks()["muse_bias"]
    placed = ProductStore(finished.settings.product_dir).directory(bias.night, bias.name) / "MASTER_BIAS-09.fits"
    placed.write_text("of a try that died before it was committed")
    os.utime(placed, (1e9, 1e9))
    with finished.archive.write() as session:
        rerun_block(session, bias.id, actor="astronomer")
    assert Housekeeping(finished.archive, finished.settings).clean() == Cleaned()
    with finished.archive.write() as session:
        cancel_block(session, bias.id, actor="astronomer")
    assert Housekeeping(finished.archive, finished.settings).clean() == Cleaned(orphans=1)
    assert not placed.exists()


def test_a_file_that_becomes_known_while_housekeeping_looks_is_kept(
    finished: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    placed = next(finished.settings.product_dir.rglob("*.fits"))
    with finished.archive.write() as session:
        product = session.scalars(select(Product).where(Product.path == str(placed))).one()
        product.path, product.night = "/elsewhere/x.fits", product.night - timedelta(days=9)
    look = workers.housekeeping.known_files
    answers: list[Work] = []

    def late(session: Any, night: Any, found: Any) -> Any:
        answers.append(len(found))
        if len(answers) == 2:  # committed between the look and the removal
            row = session.scalars(select(Product).where(Product.path == "/elsewhere/x.fits")).one()
            row.path = str(placed)
            session.flush()
        return look(session, night, found)

    monkeypatch.setattr(workers.housekeeping, "known_files", late)
    assert Housekeeping(finished.archive, finished.settings).clean() == Cleaned()
    assert answers[1] == 1
    assert placed.exists()


def test_housekeeping_does_not_hold_up_the_dispatcher_and_ends_with_it(
    house: Any, sent: list[Work], monkeypatch: pytest.MonkeyPatch
) -> None:
    for day in range(1, 31):
        (house.settings.product_dir / f"2026-10-{day:02d}").mkdir(parents=True)
    looked: list[str] = []
    ready = threading.Event()

    def slow(self: ProductStore, folder: Path, older_than: float) -> list[Path]:
        looked.append(threading.current_thread().name)
        assert ready.wait(60)
        return []

    monkeypatch.setattr(ProductStore, "old_files", slow)
    stop = threading.Event()
    thread = threading.Thread(target=dispatcher(house).run, args=(stop,))
    thread.start()
    until(lambda: bool(looked) and bool(sent))  # a block is queued while housekeeping stands
    stop.set()
    ready.set()
    thread.join(timeout=60)
    assert not thread.is_alive()
    assert looked == ["housekeeping"]  # it did not go on to the next night
    assert not any(item.name == "housekeeping" for item in threading.enumerate())


def test_the_dispatcher_says_that_it_lives_while_it_plans(
    make_house: Callable[..., Any], sent: list[Work], monkeypatch: pytest.MonkeyPatch
) -> None:
    house = make_house(heartbeat_seconds=0.1)
    planning, go_on, stop = threading.Event(), threading.Event(), threading.Event()

    def slow(self: Planner) -> None:
        planning.set()
        assert go_on.wait(60)

    monkeypatch.setattr(Planner, "plan_changes", slow)
    thread = threading.Thread(target=dispatcher(house).run, args=(stop,))
    thread.start()
    assert planning.wait(60)
    began = utc_now()
    until(lambda: (house.scalar(select(func.max(WorkerHeartbeat.last_seen))) or began) > began)
    stop.set()
    go_on.set()
    thread.join(timeout=60)
    assert house.scalar(select(WorkerHeartbeat.stopped_at)) is not None


def test_housekeeping_that_fails_is_tried_again(house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.housekeeping._AGAIN_SECONDS", 0.01)
    stop = threading.Event()
    tries: list[Work] = []

    def failing(self: Housekeeping, stop: threading.Event) -> Cleaned:
        tries.append(1)
        if len(tries) < 3:
            raise PermissionError("not ours")
        stop.set()
        return Cleaned()

    monkeypatch.setattr(Housekeeping, "clean", failing)
    Housekeeping(house.archive, house.settings).run(stop)
    assert len(tries) == 3


def test_old_events_go_in_portions(house: Any) -> None:
    with house.archive.write() as session:
        for _ in range(5):
            record_event(session, "block", "x", actor="test", now=utc_now() - timedelta(days=40))
    counts = []
    for _ in range(3):
        with house.archive.write() as session:
            counts.append(remove_old_events(session, utc_now() - timedelta(days=30), limit=3))
    assert counts == [3, 2, 0]


def logger_process(folder: Path, text: str) -> subprocess.Popen[bytes]:
    """A daemon that says something, and then waits until it is killed."""
    code = (
        "import logging, time; from core.settings import Settings; from workers.process import "
        f"configure_daemon_logging; configure_daemon_logging('worker', Settings()); logging.warning({text!r}); "
        "time.sleep(600)"
    )
    environment = {**os.environ, "CASCADE_DATA_DIR": str(folder)}
    root = Path(__file__).parents[2]
    return subprocess.Popen([sys.executable, "-c", code], env=environment, cwd=root, stderr=subprocess.DEVNULL)


def test_logs_have_a_name_for_each_living_daemon_and_starts_make_no_more(tmp_path: Path) -> None:
    logs = tmp_path / "logs"

    def said(name: str, text: str) -> Callable[[], bool]:
        return lambda: (logs / name).is_file() and text in (logs / name).read_text()

    first = logger_process(tmp_path, "one")
    until(said("worker.log", "one"))
    second = logger_process(tmp_path, "two")
    until(said("worker-2.log", "two"))
    first.kill()
    first.wait()
    third = logger_process(tmp_path, "three")
    until(said("worker.log", "three"))
    assert sorted(path.name for path in logs.glob("*.log*")) == ["worker-2.log", "worker.log"]
    # Long after: the log of a daemon that lives stays, however quiet it is
    (logs / "worker-4711.log").write_text("of an earlier version")
    (logs / "ingest-2.log.1").write_text("young")
    for name in ("worker.log", "worker-2.log", "worker-4711.log"):
        os.utime(logs / name, (1e9, 1e9))
    settings = Settings(data_dir=tmp_path)
    upgrade(settings.database_url)
    archive = Archive(settings.database_url)
    keeper = Housekeeping(archive, settings)
    assert keeper.clean() == Cleaned(logs=1)
    for process in (second, third):
        process.kill()
        process.wait()
    assert keeper.clean() == Cleaned(logs=1)
    assert sorted(path.name for path in logs.glob("*.log*")) == ["ingest-2.log.1", "worker.log"]
    archive.dispose()


SLEEPER = ("-c", "import time; time.sleep(600)")


def supervised(commands: dict[str, tuple[str, ...]]) -> tuple[Supervisor, threading.Event, threading.Thread, list[str]]:
    told: list[str] = []
    supervisor = Supervisor(commands, {"CASCADE_TEST": "1"}, lambda name, text: told.append(f"{name} {text}"))
    stop = threading.Event()
    thread = threading.Thread(target=supervisor.run, args=(stop, 0.02), daemon=True)
    thread.start()
    return supervisor, stop, thread, told


def until(condition: Callable[[], bool]) -> None:
    limit = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.02)


def test_the_supervisor_starts_again_what_dies_and_stops_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.supervisor._FIRST_PAUSE", 0.05)
    supervisor, stop, thread, told = supervised({"a": SLEEPER, "b": SLEEPER})
    until(lambda: set(supervisor.pids) == {"a", "b"})
    first = supervisor.pids["a"]
    os.kill(first, signal.SIGKILL)
    until(lambda: supervisor.starts("a") == 2)
    until(lambda: "a" in supervisor.pids)
    assert supervisor.pids["a"] != first
    assert supervisor.starts("b") == 1
    running = dict(supervisor.pids)
    stop.set()
    thread.join(timeout=90)
    assert not thread.is_alive()
    assert supervisor.pids == {}
    for number in running.values():
        with pytest.raises(ProcessLookupError):
            os.kill(number, 0)
    assert any(text.startswith("a was ended by SIGKILL, starts again in") for text in told)
    assert told[-2:] == ["a stopped", "b stopped"]


def test_a_daemon_that_dies_at_once_is_started_less_and_less_often() -> None:
    _, stop, thread, told = supervised({"broken": ("-c", "raise SystemExit(3)")})
    until(lambda: sum("ended with code 3" in text for text in told) >= 2)
    stop.set()
    thread.join(timeout=90)
    pauses = [text.rpartition(" in ")[2] for text in told if "ended" in text]
    assert pauses[:2] == ["2 s", "4 s"]


def test_the_last_words_of_a_daemon_that_cannot_start_are_told_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    _, stop, thread, told = supervised({"broken": ("-c", "raise RuntimeError('no such detector')")})
    until(lambda: any("ended with code 1" in text for text in told))
    stop.set()
    thread.join(timeout=90)
    (ended,) = [text for text in told if "ended" in text][:1]
    assert ended.endswith("\n    RuntimeError: no such detector")
    assert any("no such detector" in record.getMessage() and record.levelname == "ERROR" for record in caplog.records)


@pytest.mark.parametrize("name", sorted(DAEMONS))
def test_what_lies_in_the_working_directory_is_not_taken_for_our_modules(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("core", "workers", "service", "json"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("raise RuntimeError('not ours')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    monkeypatch.setenv("CASCADE_MAX_TRIES", "many")  # so that it ends at once, by its own word
    _, stop, thread, told = supervised({name: DAEMONS[name]})
    until(lambda: any("ended with code" in text for text in told))
    stop.set()
    thread.join(timeout=90)
    assert any(f"{name}: CASCADE_MAX_TRIES is not accepted" in text for text in told), told


def test_the_daemons_of_a_killed_supervisor_do_not_outlive_it(tmp_path: Path) -> None:
    script = (
        "import threading\nfrom workers.supervisor import Supervisor\n"
        f"Supervisor({{'a': {SLEEPER!r}}}, {{}}, lambda n, t: print(t, flush=True)).run(threading.Event())"
    )
    import subprocess

    root = Path(__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        text=True,
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
    ) as process:
        line = process.stdout.readline()
        number = int(line.rsplit(" ", 1)[1])
        time.sleep(0.5)
        assert Path(f"/proc/{number}").exists()
        process.kill()
    until(lambda: not Path(f"/proc/{number}").exists() or "Z" in Path(f"/proc/{number}/stat").read_text().split()[2])


def test_daemons_log_in_ut(tmp_path: Path) -> None:
    code = "import logging; from core.settings import Settings; from workers.process import configure_daemon_logging; "
    code += "configure_daemon_logging('d', Settings()); logging.warning('here')"
    environment = {**os.environ, "TZ": "America/Santiago", "CASCADE_DATA_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, cwd=Path(__file__).parents[2])
    line = (tmp_path / "logs" / "d.log").read_text()
    written = datetime.strptime(line[:19], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    assert abs((utc_now() - written).total_seconds()) < 1800  # the zone is hours away


def test_the_daemons_can_be_imported_by_their_commands() -> None:
    import importlib

    for arguments in DAEMONS.values():
        assert arguments[0] == "-m"
        assert callable(importlib.import_module(arguments[1]).main)
