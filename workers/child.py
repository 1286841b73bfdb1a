"""A recipe in a child process, seen from its parent: start, events, end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from core.errors import RetriableError
from core.recipes.events import EventSink, PlotsFailed, PlotsMade, RunDone, RunError, parse_event
from core.recipes.results import PlotFile, RecipeFailedError, RunResult

__all__ = ["ChildError", "ChildResult", "RecipeChild"]

ENTRY = "workers.block_child"


@dataclass(frozen=True)
class ChildResult:
    """What a child reported that came to its end.

    Attributes
    ----------
    run : RunResult
        Its products lie in the work directory.
    plots : tuple of PlotFile
    plot_error : str
        Why plots are missing; empty if there are all, or none are made.
    died_drawing : bool
        The child was killed, not by us, when the run had come to its end and pictures were still to be made.
    """

    run: RunResult
    plots: tuple[PlotFile, ...] = ()
    plot_error: str = ""
    died_drawing: bool = False


class ChildError(RetriableError):
    """The child process ended without a result (killed, out of memory)."""

    error_type = "child_died"


class RecipeChild:
    """One child process.

    Parameters
    ----------
    job_file : pathlib.Path
        A `workers.job.BlockJob`.
    log_file : pathlib.Path
        What the child writes to standard error is appended to it.
    """

    def __init__(self, job_file: Path, log_file: Path) -> None:
        self._killed = False
        with log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", ENTRY, str(job_file), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Process number."""
        return self._process.pid

    def kill(self) -> None:
        """End the child and all its processes at once."""
        self._killed = True
        if self._process.poll() is None:
            try:
                os.killpg(self._process.pid, signal.SIGKILL)
            except ProcessLookupError:
                return  # it has just ended by itself

    def close(self) -> None:
        """End it if it still runs, and wait until it is gone."""
        self.kill()
        self._process.wait()

    def wait(self, on_event: EventSink) -> ChildResult:
        """Read events until the child ends; those of parts, and what is no event, are passed on.

        Raises
        ------
        RecipeFailedError
            If the recipe raised.
        ChildError
            If it ended without a result.
        """
        result: ChildResult | None = None
        failure: RecipeFailedError | None = None
        stream = self._process.stdout
        if stream is None:
            raise ChildError("the child process has no output")
        with stream:
            for line in stream:
                match parse_event(line):
                    case RunDone(run):
                        result = ChildResult(run)
                    case RunError(error_type, message, retriable):
                        failure = RecipeFailedError(message, kind=error_type, again=retriable)
                    case PlotsMade(plots, missing) if result is not None:
                        result = replace(result, plots=plots, plot_error=missing)
                    case PlotsFailed(message) if result is not None:
                        result = replace(result, plot_error=message)
                    case event:
                        on_event(event)
        code = self._process.wait()
        if failure is not None:
            raise failure
        if result is None:
            raise ChildError(_end_words(code))
        if code < 0 and not self._killed and not result.plots:
            result = replace(result, plot_error=result.plot_error or _end_words(code), died_drawing=True)
        return result


def _end_words(code: int) -> str:
    if code < 0:
        return f"the recipe process was ended by signal {signal.Signals(-code).name}"
    return f"the recipe process ended with code {code} and without a result; its log says more"
