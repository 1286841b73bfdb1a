"""How much a worker does at once: what is declared to be needed must fit into its memory.

A recipe declares what it needs (`core.recipes.parts.MemoryNeed`); the worker begins a block or part only when that fits
beside what it does already. What needs more than there is runs alone, with a warning: the declaration is an upper
limit, and a block that never runs helps nobody.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from core.archive.parts import FINISH
from core.archive.records import Work
from core.recipes.declaration import Recipe

__all__ = ["MemoryBudget", "available_mb", "needed_mb", "parts_at_once"]

_LOG = logging.getLogger(__name__)
_SHARE: Final = 0.8  # of the machine: the rest is for the system, the database and the service
_LOOK_SECONDS: Final = 0.5
_CGROUP_LIMITS: Final = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def available_mb() -> float:
    """Memory that a worker may use when nothing is set [MiB]: 80 % of that of the machine or of its container."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for file in _CGROUP_LIMITS:
        try:
            text = file.read_text().strip()
        except OSError:
            continue
        if text.isdigit():  # "max": no limit
            total = min(total, int(text))
    return _SHARE * total / 2**20


def parts_at_once(recipe: Recipe, parts: int, limit_mb: float) -> int:
    """How many parts of a block may run at once in one worker, at least one."""
    return max(1, min(parts, recipe.memory.parts_within(limit_mb)))


def needed_mb(recipe: Recipe, work: Work, at_once: int) -> float:
    """What a block, or a part that is leased by itself, is declared to need [MiB]."""
    if not recipe.leased_parts:
        return recipe.memory.total(at_once)
    return recipe.memory.total(1) if work.part not in ("", FINISH) else recipe.memory.fixed_mb


class MemoryBudget:
    """The memory of one worker, given to what it does at once; may be used by several threads.

    Parameters
    ----------
    total_mb : float
        All of it [MiB].
    """

    def __init__(self, total_mb: float) -> None:
        self.total_mb = total_mb
        self._taken: dict[int, float] = {}
        self._next = 0
        self._changed = threading.Condition()

    @contextmanager
    def room(self, need_mb: float, what: str, stop: threading.Event, patience: float) -> Iterator[bool]:
        """Wait until there is room for a need, and take it.

        Parameters
        ----------
        need_mb : float
            [MiB].
        what : str
            For the log.
        stop : threading.Event
            Set when the worker shall end.
        patience : float
            How long to wait [s].

        Yields
        ------
        bool
            False if there was none for so long, or the worker shall end: do not begin.
        """
        key = self._take(need_mb, what, stop, patience)
        try:
            yield key is not None
        finally:
            if key is not None:
                with self._changed:
                    del self._taken[key]
                    self._changed.notify_all()

    def _take(self, need_mb: float, what: str, stop: threading.Event, patience: float) -> int | None:
        until = time.monotonic() + patience
        with self._changed:
            if need_mb > self.total_mb:
                _LOG.warning(
                    "%s may need %.0f MiB, more than the %.0f MiB of this worker (CASCADE_MEMORY_MB): it runs alone",
                    what, need_mb, self.total_mb,
                )  # fmt: skip
            while self._taken and sum(self._taken.values()) + need_mb > self.total_mb:
                if stop.is_set() or time.monotonic() > until:
                    return None
                self._changed.wait(_LOOK_SECONDS)
            self._next += 1
            self._taken[self._next] = need_mb
            return self._next
