"""The child process of a worker: ``python -m workers.block_child job.json <parent pid>``.

Runs the recipe as `core.recipes.run_job` does, or the step of it that the job names (``step``, see `workers.steps`);
then, unless parts are still to come, the QC procedure of the raw type, whose pictures go to ``plots`` beside the
products, also when parts failed. Events (`core.recipes.events`) are lines on standard output.
Pictures that cannot be made never fail the block: an event says why. The process dies with its parent, and its
children with it.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

from core.processes import die_with_parent
from core.recipes import run_job
from core.recipes.events import PlotsFailed, PlotsMade
from core.recipes.threads import thread_limit
from workers.steps import STEPS

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Run the job; the exit code is that of the recipe."""
    job_file, parent = sys.argv[1:] if arguments is None else arguments
    die_with_parent()
    if os.getppid() != int(parent):
        return 1  # the parent died before the kernel knew that we want to die with it
    job = json.loads(Path(job_file).read_text(encoding="utf-8"))
    step = job.get("step")
    result = run_job.run(job, STEPS[step] if step else run_job.whole)
    if result is not None and result.reduced and step in (None, "finish"):
        _plots(job)
    return 0 if result is not None and result.ok else 1


def _plots(job: dict[str, Any]) -> None:
    try:
        # Here, since the recipe has no need of matplotlib.
        from core.procedures.model import ProcedureInput
        from core.procedures.run import make_plots

        folder = Path(job["plot_dir"])
        folder.mkdir(exist_ok=True)  # an earlier try may have died here
        pictures = make_plots(ProcedureInput.from_job(job), folder, thread_limit())
        run_job.emit(PlotsMade(pictures.plots, "; ".join(pictures.missing)))
    except Exception as error:
        traceback.print_exc()
        run_job.emit(PlotsFailed(f"{type(error).__name__}: {error}"))


if __name__ == "__main__":
    sys.exit(main())
