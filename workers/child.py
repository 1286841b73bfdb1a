"""A recipe in a child process, seen from its parent: start, events, end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.errors import MuseError, RetriableError

__all__ = ["ChildError", "ChildResult", "RecipeChild", "RecipeFailedError"]

ENTRY = "workers.block_child"


@dataclass
class ChildResult:
    """What a child reported that came to its end.

    Attributes
    ----------
    products : list of dict
        ``tag``, ``path``, ``ifu``, ``number`` of each product in the work directory.
    failures, skipped : list of dict
        ``ifu``, ``error_type``, ``message``, ``retriable``.
    reduced : list of int
        IFUs that came to their end without failure.
    plots : list of dict
        ``name``, ``title``, ``caption``, ``path``, ``ifu``.
    plot_error : str
        Why plots are missing; empty if there are all, or none are made.
    seconds : float
        Wall time of the recipe [s].
    peak_rss_mb : float
        Largest resident memory of its processes [MiB].
    """

    products: list[dict[str, Any]] = field(default_factory=list)
    failures: list[dict[str, Any]] = field(default_factory=list)
    skipped: list[dict[str, Any]] = field(default_factory=list)
    reduced: list[int] = field(default_factory=list)
    plots: list[dict[str, Any]] = field(default_factory=list)
    plot_error: str = ""
    seconds: float = 0.0
    peak_rss_mb: float = 0.0


class ChildError(RetriableError):
    """The child process ended without a result (killed, out of memory)."""

    error_type = "child_died"


class RecipeFailedError(MuseError):
    """An error that the child reported; ``error_type`` and ``retriable`` are those of the original."""

    def __init__(self, message: str, *, kind: str, again: bool) -> None:
        super().__init__(message)
        self.error_type = kind  # type: ignore[misc]
        self.retriable = again  # type: ignore[misc]


class RecipeChild:
    """One child process.

    Parameters
    ----------
    job_file : pathlib.Path
        See `core.recipes.run_job`.
    log_file : pathlib.Path
        What the child writes to standard error is appended to it.
    """

    def __init__(self, job_file: Path, log_file: Path) -> None:
        self._killed = False
        with log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", ENTRY, str(job_file), str(os.getpid())],
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

    def wait(self, on_event: Callable[[dict[str, Any]], None]) -> ChildResult:
        """Read events until the child ends.

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
                event = _parse(line)
                kind = event.get("event")
                if kind == "result":
                    result = _result(event)
                elif kind == "error":
                    failure = RecipeFailedError(
                        str(event["message"]), kind=str(event["error_type"]), again=bool(event["retriable"])
                    )
                elif kind == "plots" and result is not None:
                    result.plots, result.plot_error = list(event["plots"]), str(event["missing"])
                elif kind == "plots_failed" and result is not None:
                    result.plot_error = str(event["message"])
                else:
                    on_event(event)
        code = self._process.wait()
        if failure is not None:
            raise failure
        if result is None:
            raise ChildError(_end_words(code))
        if code < 0 and not self._killed and not result.plots:
            result.plot_error = result.plot_error or _end_words(code)
        return result


def _parse(line: bytes) -> dict[str, Any]:
    try:
        event = json.loads(line)
    except ValueError:
        event = None
    if not isinstance(event, dict):
        # A library that prints; it is no event.
        return {"event": "output", "text": line.decode(errors="replace").rstrip()}
    return event


def _result(event: dict[str, Any]) -> ChildResult:
    return ChildResult(
        products=list(event["products"]),
        failures=list(event["failures"]),
        skipped=list(event["skipped"]),
        reduced=list(event["reduced"]),
        seconds=float(event["seconds"]),
        peak_rss_mb=float(event["peak_rss_mb"]),
    )


def _end_words(code: int) -> str:
    if code < 0:
        return f"the recipe process was ended by signal {signal.Signals(-code).name}"
    return f"the recipe process ended with code {code} and without a result; its log says more"
