"""Run one recipe as a child process: ``python -m core.recipes.run_job job.json``.

The job file is JSON: ``recipe``, ``parameters`` (name to value), ``frames`` (list of ``{path, tag}``), ``output_dir``,
and optionally ``ifus`` (only these), ``log_file`` and ``log_level``. Events go to standard output, one JSON object a
line; the last one is ``{"event": "result", "products": [...], "failures": [...], "skipped": [...], "reduced": [...],
"seconds": ..., "peak_rss_mb": ...}`` or ``{"event": "error", "error_type": ..., "message": ..., "retriable": ...}``.
The exit code is 0 if no IFU failed, 1 otherwise. The process ends when its parent does.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import core.recipes.startup  # before all others
from core.errors import MuseError
from core.recipes.declaration import Frame, FrameSet
from core.recipes.engine import Event, RunResult, die_with_parent, event_line, run_recipe
from core.recipes.logs import LogSettings, configure_logging
from core.recipes.registry import get_recipe

__all__ = ["main", "run"]

core.recipes.startup.done()


def main(arguments: list[str] | None = None) -> int:
    """Run the job; see the module's docstring."""
    (job_file,) = sys.argv[1:] if arguments is None else arguments
    result = run(json.loads(Path(job_file).read_text(encoding="utf-8")))
    return 0 if result is not None and result.ok else 1


def run(job: Mapping[str, Any]) -> RunResult | None:
    """Run the job and tell its result or its error as an event; None after an error."""
    die_with_parent()
    try:
        log_file = Path(job["log_file"]) if job.get("log_file") else None
        logs = LogSettings(msg_level="off", log_level=job.get("log_level", "info"), log_file=log_file)
        configure_logging(logs)
        recipe = get_recipe(job["recipe"])
        frames = FrameSet(tuple(Frame(Path(item["path"]), item["tag"]) for item in job["frames"]))
        params = recipe.Params.parse(job.get("parameters", {}))
        result = run_recipe(
            recipe, frames, params, Path(job["output_dir"]), ifus=job.get("ifus"), logs=logs, on_event=_emit
        )
    except MuseError as error:
        _emit(
            {
                "event": "error",
                "error_type": error.error_type,
                "message": str(error),
                "retriable": error.retriable,
            }
        )
        return None
    usage = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    _emit({"event": "result", **asdict(result), "ok": result.ok, "peak_rss_mb": round(max(usage) / 1024, 1)})
    return result


def _emit(event: Event) -> None:
    os.write(1, (event_line(event) + "\n").encode())


if __name__ == "__main__":
    sys.exit(main())
