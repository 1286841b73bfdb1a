"""A piece of work is executed: a block, or a part of one, is claimed with a lease, done in a child process, and ends.

The same path serves the Celery task, `workers.runner` and the tests; what is done is in `workers.attempt`. Whatever
happens, the state in the archive says it: DONE, FAILED with the error, READY for another try, CANCELLED. A second
execution of the same work (a doubled message) finds it claimed and does nothing.
"""

from __future__ import annotations

import logging
import os
import re
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from core.archive.leases import (
    claim_work,
    confirm_cancel,
    end_lease,
    fail_work,
    release_expired_leases,
    release_work,
    running_leases,
)
from core.archive.queries import block_recipe, block_units, expected_bytes, shared_work_name, work_tries
from core.archive.records import Work
from core.archive.sessions import Archive, ArchiveUnavailableError
from core.archive.states import BlockState
from core.archive.store import ProductStore
from core.archive.transitions import unqueue_work
from core.errors import DISK_FULL, MuseError, StateConflictError, error_kind
from core.recipes.registry import get_recipe
from core.recipes.threads import thread_limit
from core.settings import Settings
from workers.attempt import Attempt, EventSink
from workers.interrupts import BlockCancelled, LeaseLost, RecipeTimeout, ShutdownRequested
from workers.memory import MemoryBudget, available_mb, needed_mb, parts_at_once
from workers.outcome import Outcome
from workers.room import lacking_room

__all__ = ["BlockExecutor", "release_dead", "retry_pause", "worker_name"]

_LOG = logging.getLogger(__name__)
_LONGEST_PAUSE = 3600.0  # [s]
_MOST_STEPS = 30  # after which any pause is the longest
_OWNER = re.compile(r"execute@(?P<host>.+):(?P<pid>\d+):[0-9a-f]+$")
T = TypeVar("T")


def worker_name(kind: str) -> str:
    """Name of this process as holder of leases: ``execute@host:pid``."""
    return f"{kind}@{socket.gethostname()}:{os.getpid()}"


def retry_pause(settings: Settings, tries: int) -> float:
    """Pause after so many tries [s]: four times longer after each, up to an hour."""
    steps = min(max(tries - 1, 0), _MOST_STEPS)
    return min(settings.retry_seconds * 4.0**steps, max(settings.retry_seconds, _LONGEST_PAUSE))


def release_dead(archive: Archive, actor: str) -> list[Work]:
    """Take back the work of workers of this machine that do not live any more, without waiting for their lease.

    Returns
    -------
    list of Work
    """
    with archive.read() as session:
        dead = [(work, owner) for work, owner in running_leases(session) if _is_dead(owner)]
    if not dead:
        return []
    with archive.write() as session:
        for work, owner in dead:
            end_lease(session, work, owner)
        return release_expired_leases(session, actor=actor)


def _is_dead(owner: str) -> bool:
    """Whether a holder of a lease was a process of this machine and is gone."""
    match = _OWNER.match(owner)
    if match is None or match["host"] != socket.gethostname():
        return False
    try:
        os.kill(int(match["pid"]), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False  # it lives, under another user
    return False


@dataclass
class BlockExecutor:
    """Executes blocks and parts for one worker process; may be used by several threads at once.

    Attributes
    ----------
    archive, settings
    stop : threading.Event
        Set it to break off what runs now; it is given back.
    on_event : callable, optional
        Called with the block name and each event of its recipe.
    """

    archive: Archive
    settings: Settings
    stop: threading.Event
    on_event: EventSink | None = None

    def __post_init__(self) -> None:
        self.store = ProductStore(self.settings.product_dir)
        self.budget = MemoryBudget(self.settings.memory_mb or available_mb())

    def execute(self, work: Work) -> Outcome:
        """Execute a block or part, if there is memory for it and it can be claimed.

        Raises
        ------
        ArchiveUnavailableError
            If the database does not answer when it is claimed; nothing has happened then.
        """
        if self.stop.is_set():
            return Outcome.SKIPPED
        with self.archive.read() as session:
            recipe = get_recipe(block_recipe(session, work.block_id))
            units = len(block_units(session, work.block_id))
            size = 0 if work.part else expected_bytes(session, work.block_id)
        if self._waits_for_room(work, size):
            return Outcome.SKIPPED
        at_once = parts_at_once(recipe, min(max(units, 1), thread_limit()), self.budget.total_mb)
        need = needed_mb(recipe, work, at_once)
        what = f"block {work.block_id} {work.part}".strip()
        # One that waits too long goes to whoever has room: its message is sent again.
        with self.budget.room(need, what, self.stop, self.settings.resend_seconds) as fits:
            return self._claim(work, at_once) if fits else Outcome.SKIPPED

    def _waits_for_room(self, work: Work, size: int) -> bool:
        """Give work back for a while that would fill the disk; what no dispatcher sent is tried all the same."""
        lacking = lacking_room(self.settings, size)
        if not lacking:
            return False
        pause, name = self.settings.resend_seconds, worker_name("execute")
        with self.archive.write() as session:
            waits = unqueue_work(session, work, actor=name, reason=lacking, seconds=pause)
        if waits:
            _LOG.warning("%s %s", work, lacking)
        return waits

    def _claim(self, work: Work, at_once: int) -> Outcome:
        # The thread is part of the name: two threads of one worker must not take each other's lease for theirs.
        owner = f"{worker_name('execute')}:{threading.get_ident():x}"
        with self.archive.write() as session:
            claimed = claim_work(session, work, owner=owner, lease_seconds=self.settings.lease_seconds)
            shared = shared_work_name(session, work.block_id)
        if not claimed:
            return Outcome.SKIPPED
        attempt = Attempt(
            self.archive, self.settings, self.store, self.stop, self.on_event, self.insist, work, owner, at_once
        )
        try:
            return self._end(attempt)
        finally:
            if shared is not None:
                self._tidy(work, shared)

    def _end(self, attempt: Attempt) -> Outcome:
        """Do the work, and see to it that the archive says how that ended."""
        work, owner = attempt.work, attempt.owner
        try:
            return attempt.run()
        except (KeyboardInterrupt, SystemExit):
            self.insist(lambda session: release_work(session, work, owner=owner, reason="the runner was stopped"))
            raise
        except LeaseLost as interrupt:
            _LOG.warning("%s: %s", work, interrupt)
            return Outcome.LOST
        except ShutdownRequested as interrupt:
            reason = str(interrupt)
            self.insist(lambda session: release_work(session, work, owner=owner, reason=reason))
            return Outcome.RELEASED
        except BlockCancelled:
            self.insist(lambda session: confirm_cancel(session, work, owner=owner))
            return Outcome.CANCELLED
        except RecipeTimeout as interrupt:
            return self._fail(attempt, "recipe_timeout", str(interrupt), retriable=True)
        except StateConflictError as error:
            _LOG.warning("%s: %s", work, error)
            return self._fail(attempt, error.error_type, str(error), retriable=False)
        except MuseError as error:
            _LOG.warning("%s: %s", work, error)
            kind = error_kind(error)
            return self._fail(attempt, kind, str(error), retriable=error.retriable or kind == DISK_FULL)
        except Exception as error:
            _LOG.exception("%s: unexpected error", work)
            message, kind = f"{type(error).__name__}: {error}", error_kind(error)
            return self._fail(attempt, kind, message, retriable=kind == DISK_FULL)

    def _fail(self, attempt: Attempt, error_type: str, message: str, *, retriable: bool) -> Outcome:
        work = attempt.work
        try:
            state = self.insist(
                lambda session: fail_work(
                    session,
                    work,
                    owner=attempt.owner,
                    error_type=error_type,
                    message=message,
                    retriable=retriable,
                    retry_seconds=retry_pause(self.settings, work_tries(session, work)),
                )
            )
        except StateConflictError as conflict:
            _LOG.warning("%s: %s", work, conflict)
            return Outcome.LOST
        return _OF_STATES.get(state, Outcome.FAILED)

    def _tidy(self, work: Work, name: str) -> None:
        """Remove the work directory that the parts of a block shared, when the block is through with it."""
        try:
            with self.archive.read() as session:
                if shared_work_name(session, work.block_id) == name:
                    return
        except ArchiveUnavailableError:
            return  # housekeeping removes it
        self.store.discard_work(self.store.shared_directory(name))

    def insist(self, change: Callable[[Any], T]) -> T:
        """Commit a change; wait and try again while the database does not answer, for as long as a lease lasts."""
        until = time.monotonic() + self.settings.lease_seconds
        pause = 0.2
        while True:
            try:
                with self.archive.write() as session:
                    return change(session)
            except ArchiveUnavailableError as error:
                if time.monotonic() + pause > until:
                    raise
                _LOG.warning("the archive does not answer, trying again: %s", error)
                time.sleep(pause)
                pause = min(2 * pause, 10.0)


_OF_STATES = {BlockState.READY: Outcome.RETRY, BlockState.CANCELLED: Outcome.CANCELLED}
