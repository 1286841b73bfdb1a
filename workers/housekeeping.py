"""What crashes leave behind is removed, old intermediate products, events and logs that nobody asks for any more.

It has a thread and sessions of its own: the store of ten years takes minutes to walk through, in which blocks are to be
planned and queued. It goes night by night and stops between two of them when told to.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from core.archive.clock import database_now
from core.archive.events import forget_workers
from core.archive.expiry import expire_products, expired_files, products_to_expire
from core.archive.queries import shared_work_names
from core.archive.sessions import Archive, ArchiveUnavailableError
from core.archive.store import ProductStore, mtime
from core.archive.upkeep import known_files, open_block_names, remove_old_events
from core.instruments.catalogue import intermediates, passing
from core.settings import Settings
from workers.collect import RECEIPT_PREFIX
from workers.execute import worker_name
from workers.process import idle_name

__all__ = ["Cleaned", "Housekeeping"]

_LOG = logging.getLogger(__name__)
_EVERY_SECONDS = 3600.0
_STORE_SECONDS = 24 * 3600.0  # the walk through all products
_AGAIN_SECONDS = 60.0  # after an error
_PAUSE_SECONDS = 0.02  # between two nights
_FILES = 200  # removed in one transaction
_WORKER_DAYS = 30.0  # each start of a daemon is a row
_LOG_DAYS = 30.0
_DAEMON_LOG = re.compile(r"(?P<name>[a-z]+-\d+)\.log(\.\d+)?")  # of a second daemon of a kind, which may not come again


@dataclass(frozen=True)
class Cleaned:
    """How many things were removed."""

    work_directories: int = 0
    orphans: int = 0
    intermediates: int = 0
    events: int = 0
    logs: int = 0


class Housekeeping:
    """Cleans once an hour, and the product store once a day.

    Parameters
    ----------
    archive, settings
    """

    def __init__(self, archive: Archive, settings: Settings) -> None:
        self._archive, self._settings = archive, settings
        self._store = ProductStore(settings.product_dir)
        # Longer than the longest life of one try: what is younger may belong to a try that runs now.
        self._age = settings.recipe_seconds + 2 * settings.lease_seconds
        self._walked = float("-inf")

    def run(self, stop: threading.Event) -> None:
        """Clean again and again until told to stop. What fails is logged and tried again."""
        while not stop.is_set():
            pause = _AGAIN_SECONDS
            try:
                self.clean(stop)
                pause = _EVERY_SECONDS
            except ArchiveUnavailableError as error:
                _LOG.warning("housekeeping: %s", error)
            except Exception:
                _LOG.exception("housekeeping failed; it is tried again")
            stop.wait(pause)

    def clean(self, stop: threading.Event | None = None) -> Cleaned:
        """Remove work directories of dead workers, what is old; once a day, what dead workers left in the store."""
        stop = stop or threading.Event()
        with self._archive.read() as session:
            shared = shared_work_names(session)
        work = len(self._store.clean_work(self._age, alive=shared.__contains__))
        orphans = 0
        if time.monotonic() - self._walked >= _STORE_SECONDS:
            start = time.monotonic()
            orphans = self._clean_store(stop)
            if not stop.is_set():
                self._walked = start
        cleaned = Cleaned(
            work, orphans, self._expire_intermediates(stop), self._remove_events(stop), self._remove_logs()
        )
        if cleaned != Cleaned():
            _LOG.info(
                "removed %d work directories, %d orphans, %d intermediate products, %d events, %d logs of daemons",
                *vars(cleaned).values(),
            )
        return cleaned

    def _clean_store(self, stop: threading.Event) -> int:
        removed = 0
        for night, folder in self._store.nights():
            if stop.wait(_PAUSE_SECONDS):
                break
            files = self._store.old_files(folder, self._age)
            if not files:
                continue
            with self._archive.read() as session:
                known = known_files(session, night, files)
            doubtful = [file for file in files if file not in known]
            for start in range(0, len(doubtful), _FILES):
                if stop.is_set():
                    break
                removed += self._remove_orphans(night, doubtful[start : start + _FILES])
        return removed

    def _remove_orphans(self, night: date, files: list[Path]) -> int:
        """Remove the files that are neither products nor plots, nor may become so.

        While the write lock is held no block is claimed and none is finished. So nobody can be about to adopt a file of
        a block that is not open, and nothing becomes known between the look and the removal.
        """
        with self._archive.write() as session:
            known = known_files(session, night, files)
            kept = {self._store.directory(night, name) for name in open_block_names(session, night)}
            orphans = [file for file in files if file not in known and kept.isdisjoint(file.parents)]
            removed = [file for file in orphans if self._store.remove_old(file, self._age)]
        return sum(not file.name.startswith(RECEIPT_PREFIX) for file in removed)

    def _expire_intermediates(self, stop: threading.Event) -> int:
        days, fewer = self._settings.intermediate_days, self._settings.passing_days
        return self._expire(intermediates(), days, stop) + self._expire(passing(), min(days, fewer), stop)

    def _expire(self, kinds: Mapping[str, Collection[str]], days: float, stop: threading.Event) -> int:
        """Remove the files of old intermediate products; the rows say so first, so that none is of a file that is gone.

        What is killed in between leaves files that are orphans.
        """
        expired = 0
        while not stop.is_set():
            with self._archive.read() as session:
                before = database_now(session) - timedelta(days=days)
                numbers = products_to_expire(session, kinds, before, _FILES)
            if not numbers:
                break
            with self._archive.write() as session:
                now, actor = database_now(session), worker_name("dispatch")
                numbers = expire_products(session, numbers, kinds, before, actor=actor, now=now)
            self._remove_expired(numbers)
            expired += len(numbers)
        return expired

    def _remove_expired(self, numbers: list[int]) -> None:
        """Remove files while the write lock is held: none of them can be placed again meanwhile."""
        with self._archive.write() as session:
            for path in expired_files(session, numbers):
                try:
                    Path(path).unlink(missing_ok=True)
                except OSError as error:  # it is an orphan now
                    _LOG.warning("the expired product %s is not removed: %s", path, error)

    def _remove_events(self, stop: threading.Event) -> int:
        removed = 0
        while not stop.is_set():
            with self._archive.write() as session:
                now = database_now(session)
                count = remove_old_events(session, now - timedelta(days=self._settings.event_days))
                if not count:
                    forget_workers(session, now - timedelta(days=_WORKER_DAYS))
                    break
            removed += count
        return removed

    def _remove_logs(self) -> int:
        """Logs of the second, third ... daemon of a kind that have not been written for long, and has ended."""
        limit = time.time() - _LOG_DAYS * 86400
        folder, removed = self._settings.log_dir, 0
        for path in folder.glob("*-*.log*"):
            match = _DAEMON_LOG.fullmatch(path.name)
            if match is None or mtime(path) >= limit:
                continue
            with idle_name(match["name"], folder) as idle:
                if idle:
                    path.unlink(missing_ok=True)  # another dispatcher may have been faster
                    removed += 1
        return removed
