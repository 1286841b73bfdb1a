"""While a block or part is executed: the heartbeat that keeps its lease, carries progress, and listens for orders."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from core.archive.leases import LeaseAnswer, heartbeat
from core.archive.records import Work
from core.archive.sessions import Archive
from core.recipes.events import Event, PartDone, PartFailed, PartProgress, PartStarted, RunProgress
from core.recipes.parts import Part
from core.settings import Settings
from workers.interrupts import BlockCancelled, BlockInterrupt, LeaseLost, RecipeTimeout, ShutdownRequested

__all__ = ["LeaseKeeper"]

_LOG = logging.getLogger(__name__)
_PROGRESS_SECONDS = 1.0  # how often changed progress is written
_LOOK_SECONDS = 0.1


class LeaseKeeper:
    """A thread that keeps the lease of one block or part.

    Parameters
    ----------
    archive, settings
    work : Work
        Block or part.
    owner : str
        Holder of the lease.
    on_interrupt : callable
        Called once, from the thread, when the execution shall stop; the reason is then in `interrupt`.
    stop : threading.Event
        Set when the worker shall end.
    """

    def __init__(
        self,
        archive: Archive,
        settings: Settings,
        work: Work,
        owner: str,
        on_interrupt: Callable[[], None],
        stop: threading.Event,
    ) -> None:
        self._archive, self._settings = archive, settings
        self._work, self._owner = work, owner
        self._on_interrupt, self._stop = on_interrupt, stop
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._progress: dict[str, dict[str, Any]] = {}
        self._changed = False
        self._lease_until = time.monotonic() + settings.lease_seconds
        self._give_up = time.monotonic() + settings.recipe_seconds
        self.interrupt: BlockInterrupt | None = None
        self._thread = threading.Thread(target=self._run, name=f"lease-{work.block_id}{work.part}", daemon=True)

    def __enter__(self) -> LeaseKeeper:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def report(self, event: Event) -> None:
        """Take note of an event of the recipe."""
        step = _step(event)
        if step is not None:
            key, phase, fraction = step
            with self._lock:
                self._progress[key] = {"phase": phase, "fraction": fraction}
                self._changed = True

    def check(self) -> None:
        """Raise the interrupt, if there is one."""
        if self.interrupt is not None:
            raise self.interrupt

    def confirm(self) -> None:
        """Ask the archive now; raise if the work is held no longer."""
        reason = self._beat(time.monotonic())
        if reason is not None and self.interrupt is None:
            self.interrupt = reason
        self.check()

    def _run(self) -> None:
        last = time.monotonic()
        while not self._ended.wait(_LOOK_SECONDS):
            now = time.monotonic()
            reason = self._reason(now)
            due = now - last >= self._settings.heartbeat_seconds
            if reason is None and (due or (self._changed and now - last >= _PROGRESS_SECONDS)):
                last = now
                reason = self._beat(now)
            if reason is not None:
                self.interrupt = reason
                self._on_interrupt()
                return

    def _reason(self, now: float) -> BlockInterrupt | None:
        if self._stop.is_set():
            return ShutdownRequested("the worker was told to end")
        if now > self._give_up:
            return RecipeTimeout(f"stopped after {self._settings.recipe_seconds:g} s")
        return None

    def _beat(self, now: float) -> BlockInterrupt | None:
        with self._lock:
            progress, self._changed = dict(self._progress) if self._changed else None, False
        try:
            with self._archive.write() as session:
                answer = heartbeat(
                    session,
                    self._work,
                    owner=self._owner,
                    lease_seconds=self._settings.lease_seconds,
                    progress=progress,
                )
        except Exception as error:
            # Whatever it is: without this thread the lease would be lost, and orders would not be heard.
            _LOG.warning("no heartbeat for %s: %s", self._work, error)
            if now > self._lease_until:
                return LeaseLost("the archive database did not answer until the lease ran out")
            return None
        self._lease_until = now + self._settings.lease_seconds
        if answer is LeaseAnswer.CANCEL:
            return BlockCancelled("cancelled by a person")
        if answer is LeaseAnswer.LOST:
            return LeaseLost("the block belongs to somebody else")
        return None


def _step(event: Event) -> tuple[str, str, float] | None:
    """What an event says of the progress: of what, its phase, the fraction done; None if nothing."""
    match event:
        case PartStarted(part):
            return _key(part), "started", 0.0
        case PartProgress(part, fraction, text):
            return _key(part), text, fraction
        case PartDone(part):
            return _key(part), "done", 1.0
        case PartFailed(failure):
            return _key(failure.part), "failed", 1.0
        case RunProgress(phase, fraction, text):
            return phase, text, fraction
    return None


def _key(part: Part) -> str:
    """Name of a part in the progress of a block: the number of a unit, else its key."""
    return part.key if part.unit is None else f"{part.unit:02d}"
