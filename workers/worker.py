"""The worker: takes block numbers from the broker and executes the blocks. ``python -m workers.worker``.

A Celery worker with one task and a pool of threads; each thread waits for the child process of its block. On SIGTERM
the running blocks are given back and the worker ends within seconds.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
from types import FrameType
from typing import Any

from celery import Celery, signals

from core.archive.definitions import register_definitions
from core.archive.events import beat, worker_stopped
from core.archive.records import Work
from core.archive.schema import check_schema
from core.archive.sessions import Archive, ArchiveUnavailableError
from core.archive.states import WorkerKind
from core.errors import MuseError, NotFoundError
from core.instruments.catalogue import qc1_definitions
from core.settings import Settings
from workers.broker import EXECUTE_TASK, QUEUE, make_app
from workers.execute import BlockExecutor, worker_name
from workers.process import configure_daemon_logging, read_settings

__all__ = ["main", "make_worker_app"]

_LOG = logging.getLogger(__name__)
_TOLD_EARLY = threading.Event()  # told to stop before Celery listens


def make_worker_app(settings: Settings, executor: BlockExecutor) -> Celery:
    """The Celery application with the task registered."""
    app = make_app(settings)

    @app.task(name=EXECUTE_TASK)
    def execute_block(block_id: int, part: str = "") -> str:
        """Execute one block or part; its state says how that ended, so the message is always used up."""
        try:
            return executor.execute(Work(int(block_id), part)).value
        except NotFoundError as error:  # an old message
            _LOG.warning("%s", error)
            return "not_found"
        except ArchiveUnavailableError as error:
            # It stays QUEUED or its lease runs out; the dispatcher sends it again.
            _LOG.error("block %s %s: %s", block_id, part, error)
            return "archive_unavailable"

    return app


class _Heartbeat(threading.Thread):
    """Says that the worker lives."""

    def __init__(self, archive: Archive, settings: Settings, stop: threading.Event) -> None:
        super().__init__(name="worker-heartbeat", daemon=True)
        self._archive, self._settings, self._stop_event = archive, settings, stop
        self._name = worker_name("execute")

    def run(self) -> None:
        many = self._settings.worker_concurrency
        while True:
            try:
                with self._archive.write() as session:
                    beat(
                        session,
                        self._name,
                        WorkerKind.EXECUTE,
                        host=socket.gethostname(),
                        pid=os.getpid(),
                        doing=f"up to {many} blocks at once" if many > 1 else "one block at a time",
                    )
            except Exception as error:
                _LOG.warning("no heartbeat: %s", error)
            if self._stop_event.wait(min(self._settings.heartbeat_seconds, 5.0)):
                break
        try:
            with self._archive.write() as session:
                worker_stopped(session, self._name)
        except ArchiveUnavailableError as error:
            _LOG.warning("the end of the worker is not noted: %s", error)


def _end_at_once(number: int, _frame: FrameType | None) -> None:
    _LOG.info("worker: told to stop by %s while it starts", signal.Signals(number).name)
    _TOLD_EARLY.set()
    raise SystemExit(0)


def main() -> int:
    """Run the worker until SIGTERM or SIGINT."""
    settings = read_settings("worker")
    configure_daemon_logging("worker", settings)
    stop = threading.Event()
    # Until Celery has handlers of its own: the heartbeat says that the worker lives, so it must be one that can be told
    # to stop.
    signal.signal(signal.SIGTERM, _end_at_once)
    try:
        check_schema(settings.database_url)
        archive = Archive(settings.database_url)
        register_definitions(archive, qc1_definitions())
        app = make_worker_app(settings, BlockExecutor(archive, settings, stop))
    except MuseError as error:
        _LOG.error("worker: %s", error)
        return 1
    except Exception:  # a defect: the log must have it, too
        _LOG.exception("worker: ended by an error")
        return 1

    @signals.worker_shutting_down.connect(weak=False)
    def _shutting_down(**_: Any) -> None:
        _LOG.info("worker: told to stop")
        stop.set()

    @signals.worker_ready.connect(weak=False)
    def _ready(**_: Any) -> None:
        # Raised where exceptions are not let through (a callback, an import that may fail), the end was lost.
        if _TOLD_EARLY.is_set():
            os.kill(os.getpid(), signal.SIGTERM)

    heartbeat = _Heartbeat(archive, settings, stop)
    heartbeat.start()
    _LOG.info("worker: started, %d blocks at once", settings.worker_concurrency)
    try:
        app.worker_main(
            [
                "worker",
                "--pool=threads",
                f"--concurrency={settings.worker_concurrency}",
                f"--hostname=cascade-{os.getpid()}@%h",
                f"--queues={QUEUE}",
                "--without-gossip",
                "--without-mingle",
                "--without-heartbeat",
                "--loglevel=WARNING",
            ]
        )
    finally:
        told = stop.is_set() or _TOLD_EARLY.is_set()
        stop.set()
        heartbeat.join(timeout=10)
        archive.dispose()
    if not told:
        _LOG.error("worker: ended without being told to stop; the lines above say why")
        return 1
    _LOG.info("worker: stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
