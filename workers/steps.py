"""What a child process does for a block: all of it; or, of one with leased parts, prepare, one part, or finish.

The steps of one block are done by several processes on several hosts, which share a directory below the product store
(``shared_dir`` of the job): the run and the outcomes of its parts (`core.recipes.rundir`), and ``output_dir`` with the
files that were reserved. Each step may be killed at any moment and is then done again.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from core.errors import NotFoundError, RetriableError
from core.recipes import run_job
from core.recipes.engine import Run, finish_run, prepare_run, run_part
from core.recipes.parts import Part
from core.recipes.results import PartFailure, PartOutcome, RunResult
from core.recipes.rundir import RunDirectory
from workers.job import BlockJob, LostPart, Step

__all__ = ["STEPS"]

_KEPT: Final = "reserved"  # further names of the reserved files, while they are finished


def whole_step(job: BlockJob) -> RunResult:
    """All of the run at once."""
    return run_job.whole(job.run)


def prepare_step(job: BlockJob) -> RunResult:
    """Prepare the run; its parts are told by the event that it has started."""
    run = prepare_run(*job.run.inputs(), job.run.output_dir, units=job.run.units, emit=run_job.emit)
    _sync(run.output_dir)
    RunDirectory(job.shared_dir).save_run(run)
    return RunResult(prepare=run.cost, seconds=run.cost.seconds)


def part_step(job: BlockJob) -> RunResult:
    """Do one part; what it wrote is on the disk before it is called done."""
    directory = RunDirectory(job.shared_dir)
    run = directory.run()
    part = _part(run, job.part)
    outcome = run_part(run, part, threads=job.threads, emit=run_job.emit)
    _sync(run.output_dir)
    directory.save_outcome(outcome)
    return RunResult(
        products=outcome.products,
        failures=() if outcome.failure is None else (outcome.failure,),
        reduced=(part,) if outcome.failure is None else (),
        parts=((part, outcome.cost),),
        seconds=outcome.cost.seconds,
    )


def finish_step(job: BlockJob) -> RunResult:
    """Finish the run, once: a try after that finds its result."""
    directory = RunDirectory(job.shared_dir)
    result = directory.result()
    if result is None:
        run = directory.run()
        lost = {entry.key: entry for entry in job.lost}
        outcomes = [_outcome(directory, part, lost.get(part.key)) for part in run.parts]
        _keep_reserved(run.output_dir, directory.path / _KEPT)
        result = finish_run(run, outcomes, threads=job.threads, emit=run_job.emit)
        directory.save_result(result)
    return result


def pictures_step(job: BlockJob) -> RunResult:
    """Nothing: the products are there, and only their pictures are to be made again."""
    return RunResult()


STEPS: Final[dict[Step, Callable[[BlockJob], RunResult]]] = {
    Step.WHOLE: whole_step,
    Step.PREPARE: prepare_step,
    Step.PART: part_step,
    Step.FINISH: finish_step,
    Step.PICTURES: pictures_step,
}


def _part(run: Run, key: str) -> Part:
    for part in run.parts:
        if part.key == key:
            return part
    raise NotFoundError(f"the run of {run.recipe} has no part {key}", rule=run.recipe)


def _outcome(directory: RunDirectory, part: Part, lost: LostPart | None) -> PartOutcome:
    """What became of a part, as the archive knows it: a file of an earlier try may say otherwise."""
    if lost is not None:
        return PartOutcome(part, failure=PartFailure(part, lost.error_type, lost.message, False))
    outcome = directory.outcome(part)
    if outcome is None or outcome.failure is not None:
        raise RetriableError(f"the outcome of {part.label} is not in the shared work directory", file=directory.path)
    return outcome


def _keep_reserved(output: Path, kept: Path) -> None:
    """Reserved files get a second name, under which a try after a crash finds those that were finished already."""
    if not kept.is_dir():
        draft = kept.with_suffix(".part")
        draft.mkdir(exist_ok=True)
        for path in output.iterdir():
            if path.name.startswith(".") and not (draft / path.name).exists():
                os.link(path, draft / path.name)
        draft.rename(kept)
    for path in kept.iterdir():
        if not (output / path.name).exists():
            os.link(path, output / path.name)


def _sync(folder: Path) -> None:
    """Bring the files of a directory to the disk: a power cut may not take what the archive calls done."""
    for path in [*folder.iterdir(), folder]:
        try:
            number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:  # the draft of another part
            continue
        try:
            os.fsync(number)
        finally:
            os.close(number)
