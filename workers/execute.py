"""One block is executed: claimed with a lease, reduced in a child process, placed, committed.

The same path serves the Celery task, `workers.runner` and the tests. Whatever happens, the state of the block in the
archive says it: DONE, FAILED with the error, READY for another try, CANCELLED. A second execution of the same block (a
doubled message) finds it claimed and does nothing.
"""

from __future__ import annotations

import json
import logging
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from core.archive.finishing import finish_block
from core.archive.leases import (
    LeaseAnswer,
    claim_block,
    confirm_cancel,
    end_lease,
    fail_block,
    heartbeat,
    release_block,
    release_expired_leases,
    running_leases,
)
from core.archive.queries import BlockTask, block_task
from core.archive.sessions import Archive, ArchiveUnavailableError
from core.archive.store import ProductStore
from core.archive.watch import block_tries, products_before
from core.cascade.signature import signature_with
from core.errors import MuseError, NonRetriableError, StateConflictError
from core.recipes.events import Event
from core.settings import Settings
from workers.child import ChildResult, RecipeChild
from workers.collect import Receipt, adopt, block_result, night_folder, place, receipt_path
from workers.definitions import block_parameters
from workers.interrupts import BlockCancelled, LeaseLost, RecipeTimeout, ShutdownRequested
from workers.lease import LeaseKeeper
from workers.verdict import judge, units_to_reduce

__all__ = ["BlockExecutor", "Outcome", "release_dead", "worker_name"]

_LOG = logging.getLogger(__name__)
_OWNER = re.compile(r"execute@(?P<host>.+):(?P<pid>\d+):[0-9a-f]+$")
T = TypeVar("T")
EventSink = Callable[[str, Event], None]


class Outcome(StrEnum):
    """How an execution ended."""

    SKIPPED = "skipped"  # somebody else has it, or it is not to be run
    DONE = "done"
    PARTIAL = "partial"  # done, but units failed
    FAILED = "failed"
    RETRY = "retry"  # READY again, after a pause
    CANCELLED = "cancelled"
    LOST = "lost"  # the lease went to somebody else; nothing was written
    RELEASED = "released"  # given back because the worker ends


def worker_name(kind: str) -> str:
    """Name of this process as holder of leases: ``execute@host:pid``."""
    return f"{kind}@{socket.gethostname()}:{os.getpid()}"


def release_dead(archive: Archive, actor: str) -> list[int]:
    """Take back the blocks of workers of this machine that do not live any more, without waiting for their lease.

    Returns
    -------
    list of int
        Numbers of the blocks.
    """
    with archive.read() as session:
        dead = [(number, owner) for number, owner in running_leases(session) if _is_dead(owner)]
    if not dead:
        return []
    with archive.write() as session:
        for number, owner in dead:
            end_lease(session, number, owner)
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
    """Executes blocks for one worker process; may be used by several threads at once.

    Attributes
    ----------
    archive, settings
    stop : threading.Event
        Set it to break off what runs now; blocks are given back.
    on_event : callable, optional
        Called with the block name and each event of its recipe.
    """

    archive: Archive
    settings: Settings
    stop: threading.Event
    on_event: EventSink | None = None

    def __post_init__(self) -> None:
        self.store = ProductStore(self.settings.product_dir)

    def execute(self, block_id: int) -> Outcome:
        """Execute a block, if it can be claimed.

        Raises
        ------
        ArchiveUnavailableError
            If the database does not answer when the block is claimed; nothing has happened then.
        """
        if self.stop.is_set():
            return Outcome.SKIPPED
        # The thread is part of the name: two threads of one worker must not take each other's lease for theirs.
        owner = f"{worker_name('execute')}:{threading.get_ident():x}"
        with self.archive.write() as session:
            claimed = claim_block(session, block_id, owner=owner, lease_seconds=self.settings.lease_seconds)
        if not claimed:
            return Outcome.SKIPPED
        try:
            return self._execute(block_id, owner)
        except (KeyboardInterrupt, SystemExit):
            self._insist(lambda session: release_block(session, block_id, owner=owner, reason="the runner was stopped"))
            raise
        except LeaseLost as interrupt:
            _LOG.warning("block %d: %s", block_id, interrupt)
            return Outcome.LOST
        except ShutdownRequested as interrupt:
            reason = str(interrupt)
            self._insist(lambda session: release_block(session, block_id, owner=owner, reason=reason))
            return Outcome.RELEASED
        except BlockCancelled:
            self._insist(lambda session: confirm_cancel(session, block_id, owner=owner))
            return Outcome.CANCELLED
        except RecipeTimeout as interrupt:
            return self._fail(block_id, owner, "recipe_timeout", str(interrupt), retriable=True)
        except StateConflictError as error:
            _LOG.warning("block %d: %s", block_id, error)
            return self._fail(block_id, owner, error.error_type, str(error), retriable=False)
        except MuseError as error:
            _LOG.warning("block %d: %s", block_id, error)
            return self._fail(block_id, owner, error.error_type, str(error), retriable=error.retriable)
        except Exception as error:
            _LOG.exception("block %d: unexpected error", block_id)
            message = f"{type(error).__name__}: {error}"
            return self._fail(block_id, owner, NonRetriableError.error_type, message, retriable=False)

    def _execute(self, block_id: int, owner: str) -> Outcome:
        with self.archive.read() as session:
            task = block_task(session, block_id)
        signature = task.signature or signature_with(task.plan_signature, task.parameters)
        log_file = night_folder(self.settings.log_dir, task.night) / f"{_file_name(task.name)}.log"
        with self.archive.write() as session:
            lease = self.settings.lease_seconds
            heartbeat(session, block_id, owner=owner, lease_seconds=lease, log_path=str(log_file))
        _append(log_file, f"try {task.tries} of block {task.name} by {owner}")

        def hold() -> None:
            self._hold(block_id, owner)

        receipt = adopt(self.store, task, signature, hold)
        if receipt is not None:
            _append(log_file, f"the {len(receipt.products)} products of an earlier try are complete: adopted")
            self._commit(task, owner, signature, receipt)
        else:
            with self._work_directory(task.name) as work:
                result = self._reduce(task, owner, work, log_file)
                receipt = place(self.store, task, signature, result, judge(task, result.run), work, hold)
                self._commit(task, owner, signature, receipt)
        receipt_path(self.store, task, signature).unlink(missing_ok=True)
        _append(log_file, f"done: {len(receipt.products)} products, {len(receipt.plots)} plots")
        for entry in receipt.lost:
            _append(log_file, entry.told(task.unit_word))
        return Outcome.PARTIAL if any(entry.failed for entry in receipt.lost) else Outcome.DONE

    @contextmanager
    def _work_directory(self, name: str) -> Iterator[Path]:
        work = self.store.work_directory(name)
        try:
            yield work
        finally:
            self.store.discard_work(work)

    def _reduce(self, task: BlockTask, owner: str, work: Path, log_file: Path) -> ChildResult:
        """Run the recipe in a child process while the lease is kept."""
        units = units_to_reduce(task)
        output = work / "products"
        output.mkdir()
        with self.archive.read() as session:
            references = products_before(session, task.block_id)
        job = {
            "recipe": task.recipe,
            "parameters": block_parameters(task.recipe, task.parameters),
            "frames": [{"path": file.path, "tag": file.tag} for file in (*task.raws, *task.calibrations)],
            "units": list(units) or None,
            "output_dir": str(output),
            "log_file": str(log_file),
            "plot_dir": str(work / "plots"),
            "block": task.name,
            "raw_tags": [task.tag],
            "references": [{"tag": tag, "unit": unit, "path": path} for tag, unit, path in references],
        }
        job_file = work / "job.json"
        job_file.write_text(json.dumps(job, indent=1), encoding="utf-8")
        child = RecipeChild(job_file, log_file)
        try:
            keeper = LeaseKeeper(self.archive, self.settings, task.block_id, owner, child.kill, self.stop)

            def listen(event: Event) -> None:
                keeper.report(event)
                if self.on_event is not None:
                    self.on_event(task.name, event)

            with keeper:
                try:
                    result = child.wait(listen)
                except MuseError:
                    keeper.check()  # it ended because it was stopped
                    raise
                keeper.check()
        finally:
            child.close()
        return result

    def _commit(self, task: BlockTask, owner: str, signature: str, receipt: Receipt) -> None:
        result = replace(block_result(self.archive, self.store, task, receipt), signature=signature)
        self._insist(lambda session: finish_block(session, task.block_id, result, owner=owner))
        _LOG.info("block %s done: %d products", task.name, len(result.products))

    def _hold(self, block_id: int, owner: str) -> None:
        """Prolong the lease, or break off: while files are placed there is no `LeaseKeeper`."""
        lease = self.settings.lease_seconds
        answer = self._insist(lambda session: heartbeat(session, block_id, owner=owner, lease_seconds=lease))
        if answer is LeaseAnswer.LOST:
            raise LeaseLost("the block belongs to somebody else")
        if answer is LeaseAnswer.CANCEL:
            raise BlockCancelled("cancelled by a person")

    def _fail(self, block_id: int, owner: str, error_type: str, message: str, *, retriable: bool) -> Outcome:
        with self.archive.read() as session:
            tries = block_tries(session, block_id)
        pause = self.settings.retry_seconds * 4 ** max(tries - 1, 0)
        try:
            state = self._insist(
                lambda session: fail_block(
                    session,
                    block_id,
                    owner=owner,
                    error_type=error_type,
                    message=message,
                    retriable=retriable,
                    retry_seconds=pause,
                )
            )
        except StateConflictError as conflict:
            _LOG.warning("block %d: %s", block_id, conflict)
            return Outcome.LOST
        return {"ready": Outcome.RETRY, "cancelled": Outcome.CANCELLED}.get(state.value, Outcome.FAILED)

    def _insist(self, change: Callable[[Any], T]) -> T:
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


def _append(log_file: Path, text: str) -> None:
    """A line of our own in the log of a block, in the form of the recipes' lines."""
    when = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S")
    with log_file.open("a", encoding="utf-8") as log:
        log.write(f"{when} [ INFO  ] cascade: {text}\n")


def _file_name(block: str) -> str:
    return "".join(char if char.isalnum() or char in "-_.+" else "_" for char in block)
