"""Run one recipe as a child process: ``python -m core.recipes.run_job job.json``.

The job file is JSON: ``recipe``, ``parameters`` (name to value), ``frames`` (list of ``{path, tag}``), ``output_dir``,
and optionally ``units`` (only these), ``at_once`` (parts at once), ``log_file`` and ``log_level``. Events
(`core.recipes.events`) go to standard output, one a line; the last one is `RunDone` or `RunError`. The exit code is 0
if no part failed, 1 otherwise. The process ends when its parent does.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import core.recipes.startup  # noqa: F401  (before all others)
from core.errors import MuseError
from core.processes import die_with_parent
from core.recipes.declaration import Recipe, RecipeParameters
from core.recipes.engine import run_recipe
from core.recipes.events import Event, RunDone, RunError, event_line
from core.recipes.frames import Frame, FrameSet
from core.recipes.logs import LogSettings, configure_logging
from core.recipes.registry import get_recipe
from core.recipes.results import RunResult

__all__ = ["emit", "inputs", "main", "run", "whole"]

Act = Callable[[Mapping[str, Any], LogSettings], RunResult]


def main(arguments: list[str] | None = None) -> int:
    """Run the job; see the module's docstring."""
    (job_file,) = sys.argv[1:] if arguments is None else arguments
    result = run(json.loads(Path(job_file).read_text(encoding="utf-8")))
    return 0 if result is not None and result.ok else 1


def inputs(job: Mapping[str, Any]) -> tuple[Recipe, FrameSet, RecipeParameters]:
    """Recipe, frames and parameters of a job.

    Raises
    ------
    NotFoundError
        If there is no such recipe.
    ParameterError
        If a parameter is not accepted.
    """
    recipe = get_recipe(job["recipe"])
    frames = FrameSet(tuple(Frame(Path(item["path"]), item["tag"]) for item in job["frames"]))
    return recipe, frames, recipe.Params.parse(job.get("parameters", {}))


def whole(job: Mapping[str, Any], logs: LogSettings) -> RunResult:
    """Run all of the recipe; for errors see `core.recipes.engine.run_recipe`."""
    return run_recipe(
        *inputs(job),
        Path(job["output_dir"]),
        units=job.get("units"),
        at_once=job.get("at_once"),
        logs=logs,
        on_event=emit,
    )


def run(job: Mapping[str, Any], do: Act = whole) -> RunResult | None:
    """Run the job, or what ``do`` does of it, and tell its result or its error as an event; None after an error."""
    die_with_parent()
    try:
        log_file = Path(job["log_file"]) if job.get("log_file") else None
        logs = LogSettings(msg_level="off", log_level=job.get("log_level", "info"), log_file=log_file)
        configure_logging(logs)
        result = do(job, logs)
    except MuseError as error:
        emit(RunError(error.error_type, str(error), error.retriable))
        return None
    emit(RunDone(result))
    return result


def emit(event: Event) -> None:
    """Write an event to standard output, as one write."""
    os.write(1, event_line(event))


if __name__ == "__main__":
    sys.exit(main())
