"""What crashes leave behind is removed, and events that nobody asks for any more."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from datetime import timedelta

from core.archive.base import utc_now
from core.archive.events import forget_workers
from core.archive.queries import known_product_paths
from core.archive.sessions import Archive
from core.archive.store import ProductStore
from core.archive.watch import known_plot_paths, remove_old_events
from core.settings import Settings
from workers.collect import RECEIPT_PREFIX

__all__ = ["Cleaned", "Housekeeping"]

_LOG = logging.getLogger(__name__)
_EVERY_SECONDS = 3600.0
_WORKER_DAYS = 30.0  # each start of a daemon is a row


@dataclass(frozen=True)
class Cleaned:
    """How many things were removed."""

    work_directories: int
    orphans: int
    events: int


class Housekeeping:
    """Cleans at most once an hour.

    Parameters
    ----------
    archive, settings
    """

    def __init__(self, archive: Archive, settings: Settings) -> None:
        self._archive, self._settings = archive, settings
        self._last = float("-inf")

    def run_if_due(self) -> Cleaned | None:
        """Clean if an hour has passed since the last time."""
        if time.monotonic() - self._last < _EVERY_SECONDS:
            return None
        self._last = time.monotonic()
        return self.clean()

    def clean(self) -> Cleaned:
        """Remove work directories and product files of dead workers, and old events.

        The age that a file must have exceeds the longest life of one try: what is younger may belong to a try that runs
        now. Receipts count as known as long as the lease of the next try may still come.
        """
        store = ProductStore(self._settings.product_dir)
        age = self._settings.recipe_seconds + 2 * self._settings.lease_seconds
        work = store.clean_work(age)
        with self._archive.read() as session:
            known = known_product_paths(session) | known_plot_paths(session)
        orphans = store.remove_orphans(known, age)
        receipts = sum(path.name.startswith(RECEIPT_PREFIX) for path in orphans)
        with self._archive.write() as session:
            events = remove_old_events(session, utc_now() - timedelta(days=self._settings.event_days))
            forget_workers(session, utc_now() - timedelta(days=_WORKER_DAYS))
        cleaned = Cleaned(len(work), len(orphans) - receipts, events)
        if cleaned != Cleaned(0, 0, 0):
            _LOG.info("removed %d work directories, %d orphans, %d events", *vars(cleaned).values())
        return cleaned
