"""Run everything that can be run, in this process and without a broker: ``cascade run``, demos and tests.

The execution path is that of the workers; daemons may be at work at the same time.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import date

from core.archive.definitions import register_definitions
from core.archive.leases import release_expired_leases
from core.archive.queries import next_try_time, runnable_work
from core.archive.sessions import Archive
from core.instruments.catalogue import qc1_definitions
from core.settings import Settings
from workers.attempt import EventSink
from workers.execute import BlockExecutor, release_dead
from workers.hashing import Hasher
from workers.judging import judge_all_due
from workers.outcome import Outcome
from workers.planning import Planner, save_nights

__all__ = ["RunSummary", "run_until_idle"]

_LOG = logging.getLogger(__name__)


@dataclass
class RunSummary:
    """What was executed.

    Attributes
    ----------
    outcomes : dict
        Block name to its last outcome, in order of execution.
    """

    outcomes: dict[str, Outcome] = field(default_factory=dict)

    @property
    def counts(self) -> Counter[Outcome]:
        """How many blocks ended how."""
        return Counter(self.outcomes.values())


def run_until_idle(
    archive: Archive,
    settings: Settings,
    *,
    nights: Collection[date] | None = None,
    on_block: Callable[[str, Outcome | None], None] | None = None,
    on_event: EventSink | None = None,
    stop: threading.Event | None = None,
) -> RunSummary:
    """Plan and execute until nothing is left to do; frames whose contents were never looked at are verified first.

    Parameters
    ----------
    archive, settings
    nights : collection of date, optional
        Plan and execute only these; otherwise everything that changed since the last plan.
    on_block : callable, optional
        Called with the block name and None when it begins, and with its outcome when it ends.
    on_event : callable, optional
        Called with the block name and each progress event of its recipe.
    stop : threading.Event, optional
        Set it to end early; the block that runs is given back.

    Returns
    -------
    RunSummary
    """
    stop = stop or threading.Event()
    executor = BlockExecutor(archive, settings, stop, on_event)
    planner = Planner(archive, settings)
    hasher = Hasher(archive, planned_only=True)
    summary = RunSummary()
    register_definitions(archive, qc1_definitions())
    settings.make_directories()
    if nights is not None:
        save_nights(archive, settings, nights, actor="cascade run")
    while not stop.is_set():
        judge_all_due(archive, settings, "runner", stop)
        planner.plan_changes(wait_for_templates=False)
        if hasher.round(stop):  # what turns out to be damaged is not reduced: it is planned again first
            continue
        release_dead(archive, "runner")
        with archive.write() as session:
            release_expired_leases(session, actor="runner")
        with archive.read() as session:
            todo = runnable_work(session, nights)
            pause_until = next_try_time(session, nights)
        if not todo and planner.behind:
            stop.wait(0.2)
            continue
        if not todo:
            if pause_until is None:
                break
            stop.wait(min(max((pause_until - archive.now()).total_seconds(), 0.05), 5.0))
            continue
        work, name = todo[0]
        if on_block is not None and not work.part:
            on_block(name, None)
        outcome = executor.execute(work)
        if not outcome.ends_block:
            continue
        summary.outcomes[name] = outcome
        if on_block is not None:
            on_block(name, outcome)
    return summary
