"""Processes for the parts of a run on one host.

Children are forked, so that compiled kernels and modules are there at once, and do one part after the other. The pool
of the standard library gives up all that is in work when one process dies; here it costs the part that it did, and
another process takes its place.
"""

from __future__ import annotations

import contextlib
import gc
import multiprocessing as mp
import os
import signal
from collections.abc import Callable, Generator, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any, Final

from core.errors import RetriableError
from core.fitsfile.checksum import ones_complement_sum
from core.processes import die_with_parent
from core.recipes.events import EventSink, PartFailed
from core.recipes.parts import Part
from core.recipes.results import PartFailure, PartOutcome

__all__ = ["run_on_processes"]

PartRunner = Callable[[Part, EventSink], PartOutcome]
_PATIENCE: Final = 5.0  # given to a process to end, before it is killed [s]


def run_on_processes(
    runner: PartRunner, parts: Sequence[Part], at_once: int, emit: EventSink, *, begin: Callable[[], None]
) -> Generator[PartOutcome]:
    """Run parts on processes; outcomes come as they are ready.

    Parameters
    ----------
    runner : callable
        Called in a child with a part and a sink of events.
    parts : sequence of Part
    at_once : int
        Number of processes.
    emit : callable
        Called in this process with the events of all.
    begin : callable
        Called once in each child.

    Yields
    ------
    PartOutcome
        A part whose process was killed is a failure that may go better another time. Closing the iterator ends what
        still runs.
    """
    todo = list(reversed(parts))
    workers: dict[Connection, _Worker] = {}
    with _shared_with_children():
        try:
            while todo or workers:
                while todo and len(workers) < at_once:
                    worker = _Worker(runner, begin)
                    workers[worker.pipe] = worker
                    worker.give(todo.pop())
                for pipe in wait(list(workers)):
                    worker = workers[pipe]  # type: ignore[index]
                    message = worker.receive()
                    if isinstance(message, PartOutcome):
                        if todo:
                            worker.give(todo.pop())
                        else:
                            workers.pop(worker.pipe).close()
                        yield message
                    elif message is not None:
                        emit(message)
                    else:
                        outcome = workers.pop(worker.pipe).died()
                        if outcome.failure is not None:
                            emit(PartFailed(outcome.failure, outcome.cost.seconds))
                        yield outcome
        finally:
            for worker in workers.values():
                worker.close()


class _Worker:
    """A child process and the part it has in work."""

    def __init__(self, runner: PartRunner, begin: Callable[[], None]) -> None:
        context = mp.get_context("fork")
        self.pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, runner, begin, os.getpid()))
        self._process.start()
        theirs.close()  # so that the end of the child is the end of the file
        self._part: Part | None = None

    def give(self, part: Part) -> None:
        self._part = part
        with contextlib.suppress(OSError):  # it has died: the next `receive` says so
            self.pipe.send(part)

    def receive(self) -> Any:
        """A message; None if the process has died."""
        try:
            return self.pipe.recv()
        except (EOFError, OSError):
            return None

    def died(self) -> PartOutcome:
        """What the death of the process means for its part."""
        self._process.join()
        code = self._process.exitcode or 0
        how = f"killed by {signal.Signals(-code).name}, or out of memory" if code < 0 else f"exit code {code}"
        part = self._part
        if part is None:
            raise RetriableError(f"a process died before it was given a part ({how})")
        self.pipe.close()
        message = f"the process of {part.label} died ({how})"
        return PartOutcome(part, failure=PartFailure(part, RetriableError.error_type, message, True))

    def close(self) -> None:
        """End the process: it cleans up what it was writing."""
        self.pipe.close()
        self._process.terminate()
        self._process.join(_PATIENCE)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _serve(pipe: Connection, runner: PartRunner, begin: Callable[[], None], parent: int) -> None:
    signal.signal(signal.SIGTERM, _interrupt)
    die_with_parent(parent)
    begin()
    with contextlib.suppress(KeyboardInterrupt, EOFError, BrokenPipeError):
        while True:
            pipe.send(runner(pipe.recv(), pipe.send))


@contextlib.contextmanager
def _shared_with_children() -> Iterator[None]:
    """Memory that children share with this process: the tables of the compiler, which a first kernel loads, and all
    that their garbage collectors leave alone; a collector that goes through objects copies them."""
    ones_complement_sum(b"")
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
