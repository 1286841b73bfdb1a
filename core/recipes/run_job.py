"""Run one recipe as a child process: ``python -m core.recipes.run_job job.json``.

The job file is a `core.recipes.job.Job` in JSON. Events (`core.recipes.events`) go to standard output, one a line; the
last one is `RunDone` or `RunError`. The exit code is 0 if no part failed, 1 otherwise. The process ends when its parent
does.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import core.recipes.startup  # noqa: F401  (before all others)
from core.errors import DISK_FULL, MuseError, error_kind
from core.processes import die_with_parent
from core.recipes.engine import run_recipe
from core.recipes.events import Event, RunDone, RunError, event_line
from core.recipes.job import Job, parse_job
from core.recipes.logs import configure_logging
from core.recipes.results import RunResult

__all__ = ["emit", "main", "run", "whole"]


def main(arguments: list[str] | None = None) -> int:
    """Run the job; see the module's docstring."""
    (job_file,) = sys.argv[1:] if arguments is None else arguments
    job = parse_job(Path(job_file).read_bytes())
    result = run(job, partial(whole, job))
    return 0 if result is not None and result.ok else 1


def whole(job: Job) -> RunResult:
    """Run all of the recipe; for errors see `core.recipes.engine.run_recipe`."""
    return run_recipe(*job.inputs(), job.output_dir, units=job.units, at_once=job.at_once, logs=job.logs, on_event=emit)


def run(job: Job, do: Callable[[], RunResult]) -> RunResult | None:
    """Do a job, or a step of it, and tell its result or its error as an event; None after an error."""
    die_with_parent()
    try:
        configure_logging(job.logs)
        result = do()
    except MuseError as error:
        kind = error_kind(error)
        emit(RunError(kind, str(error), error.retriable or kind == DISK_FULL))
        return None
    emit(RunDone(result))
    return result


def emit(event: Event) -> None:
    """Write an event to standard output, as one write."""
    os.write(1, event_line(event))


if __name__ == "__main__":
    sys.exit(main())
