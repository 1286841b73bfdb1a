"""The child process of a worker: ``python -m workers.block_child job.json <parent pid>``.

Does the step of the run that the job (`workers.job.BlockJob`) names; then, unless parts are still to come, the QC
procedure of the raw type, whose pictures go to ``plots`` beside the products, also when parts failed; or, after a child
that was killed while it drew, the pictures alone. Events
(`core.recipes.events`) are lines on standard output. Pictures that cannot be made never fail the block: an event says
why. The process dies with its parent, and its children with it.
"""

from __future__ import annotations

import sys
import traceback
from functools import partial
from pathlib import Path

from core.processes import die_with_parent
from core.recipes import run_job
from core.recipes.events import PlotsFailed, PlotsMade
from core.recipes.threads import thread_limit
from workers.job import BlockJob, Step
from workers.steps import STEPS

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Run the job; the exit code is that of the recipe."""
    job_file, parent = sys.argv[1:] if arguments is None else arguments
    die_with_parent(int(parent))
    job = BlockJob.load(Path(job_file))
    result = run_job.run(job.run, partial(STEPS[job.step], job))
    if result is not None and job.step.ends_run and (result.reduced or job.step is Step.PICTURES):
        _plots(job)
    return 0 if result is not None and result.ok else 1


def _plots(job: BlockJob) -> None:
    try:
        # Here, since the recipe has no need of matplotlib.
        from core.procedures.model import ProcedureInput
        from core.procedures.run import make_plots

        job.plot_dir.mkdir(exist_ok=True)  # an earlier try may have died here
        raws = [frame.path for frame in job.run.frames if frame.tag in job.raw_tags]
        block = ProcedureInput.of_run(job.block, job.run.recipe, raws, job.run.output_dir, job.references)
        pictures = make_plots(block, job.plot_dir, thread_limit())
        run_job.emit(PlotsMade(pictures.plots, "; ".join(pictures.missing)))
    except Exception as error:
        traceback.print_exc()
        run_job.emit(PlotsFailed(f"{type(error).__name__}: {error}"))


if __name__ == "__main__":
    sys.exit(main())
