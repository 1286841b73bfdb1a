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
from core.archive.base import utc_now
from core.archive.events import beat, record_event
from core.archive.leases import claim_block
from core.archive.models import Event, WorkerHeartbeat
from core.archive.states import BlockState, WorkerKind
from core.archive.watch import PLANNER
from core.errors import ParameterError
from core.settings import Settings
from workers.broker import EXECUTE_TASK, make_app, send_block
from workers.dispatch import Dispatcher
from workers.execute import BlockExecutor, Outcome
from workers.housekeeping import Cleaned, Housekeeping
from workers.supervisor import DAEMONS, Supervisor
from workers.worker import make_worker_app


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Block numbers that were sent to the broker."""
    numbers: list[int] = []
    monkeypatch.setattr(workers.dispatch, "send_block", lambda app, number: numbers.append(number))
    return numbers


def dispatcher(house: Any) -> Dispatcher:
    return Dispatcher(house.archive, house.settings, make_app(house.settings))


def messages(settings: Settings) -> list[dict[str, Any]]:
    folder = settings.broker_dir / "messages"
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*.msg"))]


def test_a_message_is_a_block_number_and_nothing_else(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    app = make_app(settings)
    send_block(app, 42)
    (message,) = messages(settings)
    assert message["headers"]["task"] == EXECUTE_TASK
    assert message["headers"]["argsrepr"] == "[42]"
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


def test_a_round_plans_and_queues_what_is_ready(house: Any, sent: list[int]) -> None:
    rounds = dispatcher(house)
    time.sleep(0.15)  # the template is complete as soon as nothing came in for template_seconds
    tick = rounds.tick()
    assert tick.planned is not None
    blocks = house.blocks()
    assert sent == [blocks["muse_bias"].id]
    assert (blocks["muse_bias"].state, blocks["muse_dark"].state) == (BlockState.QUEUED, BlockState.WAITING)
    assert rounds.tick().queued == 0


def test_a_lost_message_is_sent_again(make_house: Callable[..., Any], sent: list[int]) -> None:
    house = make_house(resend_seconds=0.2)
    house.ingest()
    rounds = dispatcher(house)
    rounds.tick()
    assert len(sent) == 1
    time.sleep(0.3)
    tick = rounds.tick()
    assert (tick.resent, tick.queued) == (1, 1)
    assert sent == [sent[0]] * 2


def test_the_block_of_a_silent_worker_is_sent_again(house: Any, sent: list[int]) -> None:
    rounds = dispatcher(house)
    rounds.tick()
    with house.archive.write() as session:
        assert claim_block(session, sent[0], owner="dead", lease_seconds=0.01)
    time.sleep(0.05)
    tick = rounds.tick()
    assert (tick.released, tick.queued) == (1, 1)


def test_the_queue_is_kept_short_so_that_urgent_blocks_come_first(
    make_house: Callable[..., Any], sent: list[int]
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
    calls: list[int] = []

    def away(app: object, number: int) -> None:
        calls.append(number)
        if len(calls) == 1:
            raise ConnectionRefusedError("no broker")
        stop.set()

    monkeypatch.setattr(workers.dispatch, "send_block", away)
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
        def execute(self, block_id: int) -> Outcome:
            return Outcome.SKIPPED if block_id == 7 else Outcome.DONE

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
    assert keeper.run_if_due() == Cleaned(work_directories=1, orphans=1, events=1)
    assert alive.exists()
    assert not dead.exists()
    assert not orphan.exists()
    # the last plan is where the next one starts from
    with house.archive.read() as session:
        assert session.scalar(select(func.count()).select_from(Event)) == 2
        assert session.scalars(select(WorkerHeartbeat.name)).all() == ["w1"]
    assert keeper.run_if_due() is None


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
    assert any(text.startswith("a ended with code -9, starts again in") for text in told)
    assert told[-2:] == ["a stopped", "b stopped"]


def test_a_daemon_that_dies_at_once_is_started_less_and_less_often() -> None:
    _, stop, thread, told = supervised({"broken": ("-c", "raise SystemExit(3)")})
    until(lambda: sum("ended with code 3" in text for text in told) >= 2)
    stop.set()
    thread.join(timeout=90)
    pauses = [text.rpartition(" in ")[2] for text in told if "ended" in text]
    assert pauses[:2] == ["2 s", "4 s"]


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
