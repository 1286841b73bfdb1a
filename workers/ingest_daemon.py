"""The ingest daemon: rounds of ingest, woken by the file system and by a periodic rescan; content hashes beside.

Nothing raises out of it. What fails (database, disk, watching) is logged and tried again; meanwhile the files wait
where they are.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from core.archive.events import beat, worker_stopped
from core.archive.sessions import Archive, ArchiveUnavailableError
from core.archive.states import WorkerKind
from core.settings import Settings
from workers.hashing import Hasher
from workers.ingest import Ingestor
from workers.ingest_examine import is_candidate
from workers.ingest_scan import folders_of_links_out
from workers.process import read_settings, run_daemon

__all__ = ["ingest_forever"]

log = logging.getLogger(__name__)

_STOP_SECONDS = 5.0
_AGAIN_SECONDS = 2.0  # after an error; what the database could not take is there still


def ingest_forever(archive: Archive, settings: Settings, stop: threading.Event) -> None:
    """Ingest the archive directories of the settings until ``stop`` is set. Nothing raises out of it."""
    life = _Life(archive, settings.heartbeat_seconds, stop)
    changed = _ChangedPaths(settings.archive_dirs, settings.follow_links, stop)
    threads = [
        threading.Thread(target=life.run, name="heartbeat", daemon=True),
        threading.Thread(target=changed.run, name="watch", daemon=True),
        threading.Thread(target=_hash_for_ever, args=(archive, stop), name="hasher", daemon=True),
    ]
    for thread in threads:
        thread.start()
    ingestor = Ingestor(archive, settings, life.name, stop=stop)
    next_scan = 0.0
    while not stop.is_set():
        now = time.monotonic()
        paths: list[str | Path] = list(changed.take())
        rescan = now >= next_scan
        if rescan:
            paths = list(settings.archive_dirs)
        try:
            if paths or ingestor.open_paths:
                report = ingestor.round(paths)
                if report.stored or report.fresh or report.vanished:
                    log.info("%s", report.sentence())
                    life.doing = f"{archive.now():%H:%M:%S} {report.sentence()}"
            if rescan:
                next_scan = 0.0 if ingestor.wants_rescan else now + settings.rescan_seconds
        except Exception as error:
            # Whatever it is: the files are still there, and the next rescan finds them.
            _tell("a round of ingest failed; it is tried again", error)
            next_scan = 0.0
            stop.wait(_AGAIN_SECONDS)
        changed.wait(0.2 if ingestor.open_paths else 1.0)
    for thread in threads:
        thread.join(_STOP_SECONDS)  # a large file that is just hashed is hashed again by the next daemon
    life.stopped()


def _tell(what: str, error: Exception) -> None:
    """Log what failed: a database that is away in a line, anything else with all that is known of it."""
    if isinstance(error, ArchiveUnavailableError):
        log.warning("%s: %s", what, error)
    else:
        log.error("%s", what, exc_info=error)


class _Life:
    """Says that the daemon lives, also while it is busy with ten thousand files."""

    def __init__(self, archive: Archive, seconds: float, stop: threading.Event) -> None:
        self.name = f"ingest@{socket.gethostname()}:{os.getpid()}"
        self.doing = "looking at the archive directories"
        self._archive = archive
        self._seconds = seconds
        self._stop = stop

    def run(self) -> None:
        while True:
            try:
                with self._archive.write() as session:
                    beat(
                        session,
                        self.name,
                        WorkerKind.INGEST,
                        host=socket.gethostname(),
                        pid=os.getpid(),
                        doing=self.doing,
                    )
            except Exception as error:
                _tell("the heartbeat could not be written", error)
            if self._stop.wait(self._seconds):
                return

    def stopped(self) -> None:
        try:
            with self._archive.write() as session:
                worker_stopped(session, self.name)
        except ArchiveUnavailableError:
            log.warning("the archive does not answer: the stop of %s is not noted", self.name)


class _ChangedPaths:
    """Collects the paths that the file system says have changed."""

    def __init__(self, directories: Sequence[Path], follow: bool, stop: threading.Event) -> None:
        self._directories, self._follow = directories, follow
        self._stop = stop
        self._lock = threading.Lock()
        self._paths: set[str] = set()
        self._woken = threading.Event()

    def take(self) -> set[str]:
        with self._lock:
            paths, self._paths = self._paths, set()
            self._woken.clear()
        return paths

    def wait(self, seconds: float) -> None:
        self._woken.wait(seconds)

    def run(self) -> None:
        from watchfiles import watch  # here, since it loads compiled code that one-shot commands do not need

        while not self._stop.is_set():
            existing = [path for path in self._directories if path.is_dir()]
            try:
                if existing:
                    # The watcher would follow a link out of the archive, and watch the whole machine.
                    tree = [] if self._follow else folders_of_links_out(existing)
                    watched = watch(
                        *(tree or existing),
                        recursive=not tree,
                        stop_event=self._stop,
                        rust_timeout=500,
                        yield_on_timeout=True,
                    )
                    for changes in watched:
                        self._collect(path for _, path in changes)
                        if tree and any(os.path.isdir(path) for _, path in changes):
                            break  # a new directory is to be watched, too
            except Exception:
                # The periodic rescan does its work alone until watching succeeds again.
                log.exception("watching %s failed; tried again in a minute", existing)
                self._stop.wait(60.0)
            else:
                self._stop.wait(1.0)

    def _collect(self, paths: Iterable[str]) -> None:
        # A directory that was moved in brings files that make no noise of their own.
        found = {path for path in paths if is_candidate(os.path.basename(path)) or os.path.isdir(path)}
        if found:
            with self._lock:
                self._paths |= found
                self._woken.set()


def _hash_for_ever(archive: Archive, stop: threading.Event) -> None:
    hasher = Hasher(archive)
    while not stop.is_set():
        try:
            done = hasher.round(stop)
        except ArchiveUnavailableError as error:
            _tell("hashing failed; it is tried again", error)
            stop.wait(_AGAIN_SECONDS)
        except Exception as error:
            _tell("hashing failed; tried again in a minute", error)
            stop.wait(60.0)
        else:
            stop.wait(0.1 if done else 5.0)


def main() -> int:
    """Ingest until SIGTERM or SIGINT."""
    settings = read_settings("ingest")

    def work(stop: threading.Event) -> None:
        archive = Archive(settings.database_url)
        try:
            ingest_forever(archive, settings, stop)
        finally:
            archive.dispose()

    return run_daemon("ingest", settings, work)


if __name__ == "__main__":
    sys.exit(main())
