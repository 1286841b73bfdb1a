"""One attempt at a piece of work that is claimed: the recipe runs in a child process, products are placed, committed.

A block is done whole, or prepared and divided if the parts of its recipe are leased one by one; such a part is done for
itself, and the last step finishes the block.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from core.archive.earlier import products_before
from core.archive.finishing import finish_block
from core.archive.leases import ROOM_FACTOR, heartbeat
from core.archive.parts import FINISH, divide_block, end_part
from core.archive.queries import BlockTask, block_task, lost_parts
from core.archive.records import NewPart, Work
from core.archive.sessions import Archive
from core.archive.store import ProductStore
from core.cascade.signature import signature_with
from core.errors import MuseError, ProductStoreError
from core.instruments.catalogue import block_parameters
from core.recipes.events import Event, RunStarted, ignore
from core.recipes.frames import Frame
from core.recipes.job import Job
from core.recipes.parts import Part
from core.recipes.registry import get_recipe
from core.recipes.results import RecipeFailedError, WrittenProduct
from core.recipes.threads import thread_limit
from core.settings import Settings
from workers.child import ChildError, ChildResult, RecipeChild
from workers.collect import Receipt, adopt, block_result, night_folder, place, receipt_path
from workers.job import BlockJob, LostPart, Step
from workers.lease import LeaseKeeper
from workers.outcome import Outcome
from workers.verdict import RunVerdict, judge, units_to_reduce

__all__ = ["Attempt", "EventSink"]

_LOG = logging.getLogger(__name__)
_DRAWINGS = 10  # after one that was killed: more than chance kills one after the other
EventHearer = Callable[[Event], None]
EventSink = Callable[[str, Event], None]


@dataclass
class Attempt:
    """One attempt.

    Attributes
    ----------
    archive, settings, store
    stop : threading.Event
        Set when the worker shall end.
    on_event : callable or None
        Called with the block name and each event of its recipe.
    insist : callable
        Commits a change, also when the database is away for a while.
    work : Work
    owner : str
        Holder of its lease.
    at_once : int
        Parts that may run at once.
    """

    archive: Archive
    settings: Settings
    store: ProductStore
    stop: threading.Event
    on_event: EventSink | None
    insist: Callable[[Callable[[Any], Any]], Any]
    work: Work
    owner: str
    at_once: int

    @cached_property
    def task(self) -> BlockTask:
        """The block."""
        with self.archive.read() as session:
            return block_task(session, self.work.block_id)

    @cached_property
    def signature(self) -> str:
        """Signature of the work on the block."""
        return self.task.signature or signature_with(self.task.plan_signature, self.task.parameters)

    @cached_property
    def log_file(self) -> Path:
        """Log of the block, on this host."""
        return night_folder(self.settings.log_dir, self.task.night) / f"{_file_name(self.task.name)}.log"

    def run(self) -> Outcome:
        """Do it.

        Raises
        ------
        MuseError
            If it fails.
        BlockInterrupt
            If it is broken off from outside.
        """
        self._begin_log()
        if self.work.part not in ("", FINISH):
            return self._part()
        receipt = self._adopted()
        if receipt is not None:
            self._log(f"the {len(receipt.products)} products of an earlier try are complete: adopted")
            return self._commit(receipt)
        if self.work.part:
            return self._finish()
        return self._divide() if get_recipe(self.task.recipe).leased_parts else self._whole()

    # -- the four kinds of work ---------------------------------------------------------------------------------------
    def _whole(self) -> Outcome:
        folder = self.store.work_directory(self.task.name)
        try:
            result = self._child(self._job(folder, Step.WHOLE))
            verdict = judge(self.task, result.run)
            return self._deliver(self._drawn(result, folder), verdict, folder)
        finally:
            self.store.discard_work(folder)

    def _divide(self) -> Outcome:
        folder = self.store.work_directory(self.task.name)
        parts: list[Part] = []

        def listen(event: Event) -> None:
            if isinstance(event, RunStarted):
                parts.extend(event.parts)

        divided = False
        try:
            result = self._child(self._job(folder, Step.PREPARE), listen)
            if not parts:
                raise ChildError("the preparation told no parts")
            new = [NewPart(part.key, part.label) for part in parts]
            survives = get_recipe(self.task.recipe).survives_loss
            self.insist(
                lambda session: divide_block(
                    session,
                    self.work.block_id,
                    new,
                    owner=self.owner,
                    work_name=folder.name,
                    survives_loss=survives,
                    peak_mb=result.run.peak_mb,
                )
            )
            divided = True
        finally:
            if not divided:
                self.store.discard_work(folder)
        self._log(f"prepared: {len(parts)} parts are to be done")
        return Outcome.DIVIDED

    def _part(self) -> Outcome:
        threads = max(thread_limit() // self.settings.worker_concurrency, 1)
        job = self._job(self._shared, Step.PART)
        result = self._child(replace(job, part=self.work.part, threads=threads))
        for failure in result.run.failures:
            raise RecipeFailedError(failure.message, kind=failure.error_type, again=failure.retriable)
        peak = result.run.peak_mb
        self.insist(lambda session: end_part(session, self.work, owner=self.owner, peak_mb=peak))
        self._note_memory(peak)
        return Outcome.PART_DONE

    def _finish(self) -> Outcome:
        with self.archive.read() as session:
            lost = tuple(
                LostPart(part.key, part.error_type or "", part.error_message or "")
                for part in lost_parts(session, self.work.block_id)
            )
        job = self._job(self._shared, Step.FINISH)
        result = self._child(replace(job, threads=thread_limit(), lost=lost))
        # Its parts have had their tries: what is lost now stays lost.
        verdict = judge(replace(self.task, tries=self.task.max_tries * ROOM_FACTOR), result.run)
        return self._deliver(self._drawn(result, self._shared), verdict, self._shared)

    # -- steps --------------------------------------------------------------------------------------------------------
    @property
    def _shared(self) -> Path:
        return self.store.shared_directory(self.task.work_name or "")

    def _child(self, job: BlockJob, listen: EventHearer = ignore) -> ChildResult:
        """Run the recipe, or a step of it, in a child process while the lease is kept."""
        if job.step.begins_run:
            job.run.output_dir.mkdir()
        try:
            job.save()
        except FileNotFoundError as error:  # the block ended since this part of it was claimed, or somebody removed it
            raise ProductStoreError("the work directory of the block is gone", file=job.shared_dir) from error
        child = RecipeChild(job.file, self.log_file)
        try:
            keeper = LeaseKeeper(self.archive, self.settings, self.work, self.owner, child.kill, self.stop)

            def hear(event: Event) -> None:
                keeper.report(event)
                listen(event)
                if self.on_event is not None:
                    self.on_event(self.task.name, event)

            with keeper:
                try:
                    result = child.wait(hear)
                except MuseError:
                    keeper.check()  # it ended because it was stopped
                    raise
                keeper.check()
        finally:
            child.close()
        return result

    def _drawn(self, result: ChildResult, folder: Path) -> ChildResult:
        """The result with its pictures, which are part of the work: who is killed while drawing is followed by another.

        After some of them the block is done without pictures, and says so: what kills them lies in the drawing.
        """
        for _ in range(_DRAWINGS):
            if not result.died_drawing:
                break
            self._log(f"{result.plot_error} while it drew: its pictures are made again")
            try:
                again = self._child(self._job(folder, Step.PICTURES))
            except ChildError as error:  # killed before it began to draw
                result = replace(result, plot_error=error.message)
                continue
            result = replace(result, plots=again.plots, plot_error=again.plot_error, died_drawing=again.died_drawing)
        return result

    def _job(self, folder: Path, step: Step) -> BlockJob:
        task = self.task
        with self.archive.read() as session:
            references = products_before(session, task.block_id)
        run = Job(
            recipe=task.recipe,
            frames=tuple(Frame(Path(file.path), file.tag) for file in (*task.raws, *task.calibrations)),
            output_dir=folder / "products",
            parameters=block_parameters(task.recipe, task.parameters),
            units=units_to_reduce(task) or None,
            at_once=self.at_once,
            log_file=self.log_file,
        )
        return BlockJob(
            block=task.name,
            run=run,
            step=step,
            shared_dir=folder,
            raw_tags=(task.tag,),
            references=tuple(WrittenProduct(tag, Path(path), unit) for tag, unit, path in references),
        )

    @contextmanager
    def _kept(self) -> Iterator[LeaseKeeper]:
        """Keep the lease while files are placed, however large they are.

        A worker that shall end goes on: what is left takes less time than to do it all again.
        """
        never = threading.Event()
        with LeaseKeeper(self.archive, self.settings, self.work, self.owner, _nothing, never) as keeper:
            yield keeper
            keeper.check()

    def _adopted(self) -> Receipt | None:
        with self._kept() as keeper:
            return adopt(self.store, self.task, self.signature, keeper)

    def _deliver(self, result: ChildResult, verdict: RunVerdict, folder: Path) -> Outcome:
        self._note_memory(result.run.peak_mb)
        with self._kept() as keeper:
            receipt = place(self.store, self.task, self.signature, result, verdict, folder, keeper)
        return self._commit(receipt)

    def _commit(self, receipt: Receipt) -> Outcome:
        with self._kept():
            made = block_result(self.store, self.task, receipt)
        made = replace(made, signature=self.signature)
        certify = self.settings.certify
        self.insist(lambda session: finish_block(session, self.work, made, owner=self.owner, certify=certify))
        receipt_path(self.store, self.task, self.signature).unlink(missing_ok=True)
        _LOG.info("block %s done: %d products", self.task.name, len(made.products))
        self._log(f"done: {len(receipt.products)} products, {len(receipt.plots)} plots")
        for entry in receipt.lost:
            self._log(entry.told(self.task.unit_word))
        return Outcome.PARTIAL if any(entry.failed for entry in receipt.lost) else Outcome.DONE

    # -- the log ------------------------------------------------------------------------------------------------------
    def _begin_log(self) -> None:
        path = None if self.work.part else str(self.log_file)
        lease = self.settings.lease_seconds
        with self.archive.write() as session:
            heartbeat(session, self.work, owner=self.owner, lease_seconds=lease, log_path=path)
        what = f"{self.work.part} of block {self.task.name}" if self.work.part else f"block {self.task.name}"
        tries = f"try {self.task.tries} of {what}" if not self.work.part else f"a try of {what}"
        self._log(f"{tries} by {self.owner}")

    def _note_memory(self, peak_mb: float) -> None:
        need = get_recipe(self.task.recipe).memory.total(1)
        if peak_mb > need:
            text = f"a process took {peak_mb:.0f} MiB; {self.task.recipe} is declared to need {need:.0f} MiB"
            _LOG.warning("block %s: %s", self.task.name, text)
            self._log(text)

    def _log(self, text: str) -> None:
        """A line of our own in the log of the block, in the form of the recipes' lines."""
        when = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S")
        with self.log_file.open("a", encoding="utf-8") as log:
            log.write(f"{when} [ INFO  ] cascade: {text}\n")


def _nothing() -> None:
    """There is no child to kill while files are placed: `LeaseKeeper.check` raises."""


def _file_name(block: str) -> str:
    return "".join(char if char.isalnum() or char in "-_.+" else "_" for char in block)
