"""The dispatcher: ``python -m workers.dispatch``.

It judges again what is due, plans what came in, queues what is ready, takes back what got lost.

It holds no state of its own that matters: killed at any moment, the next one goes on from the database.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
import threading
import time
from dataclasses import dataclass, field

from celery import Celery
from kombu.exceptions import OperationalError as BrokerError

from core.archive.definitions import register_definitions
from core.archive.events import beat, worker_stopped
from core.archive.leases import release_expired_leases
from core.archive.planning import SavedPlan
from core.archive.queries import queued_count, ready_work, waits_for_long
from core.archive.records import Work
from core.archive.sessions import Archive, ArchiveUnavailableError
from core.archive.states import WorkerKind
from core.archive.transitions import queue_work, requeue_stale, unqueue_work
from core.errors import MuseError
from core.instruments.catalogue import qc1_definitions
from core.settings import Settings
from workers.broker import make_app, send_work, waiting_messages
from workers.execute import release_dead, worker_name
from workers.housekeeping import Housekeeping
from workers.judging import judge_some_due
from workers.planning import Planner
from workers.process import read_settings, run_daemon
from workers.room import lacking_room

__all__ = ["Dispatcher", "Tick", "main"]

_LOG = logging.getLogger(__name__)
_STOP_SECONDS = 10.0  # housekeeping looks whether to stop before each night


@dataclass(frozen=True)
class Tick:
    """What one round did."""

    planned: SavedPlan | None
    released: int
    resent: int
    queued: int


@dataclass
class Dispatcher:
    """Moves blocks and their parts to the broker.

    Attributes
    ----------
    archive, settings
    app : celery.Celery
    """

    archive: Archive
    settings: Settings
    app: Celery
    name: str = field(default_factory=lambda: worker_name("dispatch"))

    def __post_init__(self) -> None:
        self.planner = Planner(self.archive, self.settings)
        self._queue_again = 0.0
        self._doing = "looks for work"
        self._waits = False  # for room on disk

    def tick(self) -> Tick:
        """One round: judge what is due again, plan, take back, queue."""
        judge_some_due(self.archive, self.settings, self.name)
        planned = self.planner.plan_changes()
        dead = release_dead(self.archive, self.name)
        with self.archive.write() as session:
            released = release_expired_leases(session, actor=self.name)
        return Tick(planned, len(dead) + len(released), len(self._take_back()), self._queue())

    def _take_back(self) -> list[Work]:
        """What is queued but has no message any more becomes ready again; what only waits its turn is left alone."""
        with self.archive.read() as session:
            if not waits_for_long(session, self.settings.resend_seconds):
                return []
        try:
            messages = waiting_messages(self.app)
        except (BrokerError, OSError) as error:
            _LOG.error("the broker does not answer, nothing is sent again: %s", error)
            return []
        with self.archive.write() as session:
            return requeue_stale(session, older_than=self.settings.resend_seconds, messages=messages, actor=self.name)

    def _queue(self) -> int:
        """Queue ready blocks and parts, the most urgent first, up to the depth of the queue."""
        if time.monotonic() < self._queue_again:
            return 0
        lacking = lacking_room(self.settings)
        if bool(lacking) != self._waits:
            self._waits = bool(lacking)
            _LOG.warning("%s", lacking or "there is room on disk again")
            self._doing = lacking or "looks for work"
        if lacking:
            return 0  # it would fail where it is written; here it keeps its tries
        with self.archive.read() as session:
            ready = ready_work(session, limit=max(self.settings.queue_depth - queued_count(session), 0))
        count = 0
        for work in ready:
            with self.archive.write() as session:
                taken = queue_work(session, work, actor=self.name)
            if not taken:
                continue
            try:
                # A message that is lost between the two is sent again after `resend_seconds`.
                send_work(self.app, work)
            except (BrokerError, OSError) as error:
                _LOG.error("the broker does not answer, work stays in the database: %s", error)
                with self.archive.write() as session:
                    unqueue_work(session, work, actor=self.name, reason="the broker does not answer")
                self._queue_again = time.monotonic() + self.settings.heartbeat_seconds
                break
            count += 1
        return count

    def run(self, stop: threading.Event) -> None:
        """Rounds until told to stop. What fails in one round is logged and tried again in the next."""
        threads = [
            threading.Thread(target=work, args=(stop,), name=name, daemon=True)
            for name, work in (
                ("heartbeat", self._beat_for_ever),
                ("housekeeping", Housekeeping(self.archive, self.settings).run),
            )
        ]
        for thread in threads:
            thread.start()
        while not stop.is_set():
            try:
                tick = self.tick()
                if tick.planned is not None or tick.queued:
                    words = _words(tick)
                    _LOG.info("%s", words)
                    self._doing = f"{self.archive.now():%H:%M:%S} {words}"
            except ArchiveUnavailableError as error:
                _LOG.warning("%s", error)
            except MuseError as error:
                _LOG.error("%s", error)
            except Exception:
                _LOG.exception("unexpected error; the next round tries again")
            stop.wait(self.settings.dispatch_seconds)
        for thread in threads:
            thread.join(_STOP_SECONDS)
        try:
            with self.archive.write() as session:
                worker_stopped(session, self.name)
        except ArchiveUnavailableError as error:
            _LOG.warning("the end of the dispatcher is not noted: %s", error)

    def _beat_for_ever(self, stop: threading.Event) -> None:
        """Say that the dispatcher lives, also while it makes the first plan of ten years."""
        while True:
            try:
                with self.archive.write() as session:
                    beat(
                        session,
                        self.name,
                        WorkerKind.DISPATCH,
                        host=socket.gethostname(),
                        pid=os.getpid(),
                        doing=self._doing,
                    )
            except Exception as error:
                _LOG.warning("no heartbeat: %s", error)
            if stop.wait(min(self.settings.heartbeat_seconds, 5.0)):
                return


def _words(tick: Tick) -> str:
    parts = []
    if tick.planned is not None:
        plan = tick.planned
        parts.append(f"planned: {len(plan.created)} new, {len(plan.changed)} changed, {len(plan.superseded)} replaced")
    if tick.queued:
        parts.append(f"queued {tick.queued}")
    return "; ".join(parts)


def main() -> int:
    """Run the dispatcher until SIGTERM or SIGINT."""
    settings = read_settings("dispatch")

    def work(stop: threading.Event) -> None:
        archive = Archive(settings.database_url)
        register_definitions(archive, qc1_definitions())
        try:
            Dispatcher(archive, settings, make_app(settings)).run(stop)
        finally:
            archive.dispose()

    return run_daemon("dispatch", settings, work)


if __name__ == "__main__":
    sys.exit(main())
