"""What a recipe run means for its block: which units are good, which are lost and why, or that the block failed."""

from __future__ import annotations

from dataclasses import dataclass

from core.archive.leases import may_try_again
from core.archive.queries import BlockTask
from core.archive.records import LostUnit
from core.errors import MissingInputError
from core.instruments.registry import instrument
from core.recipes.parts import PartKind
from core.recipes.results import PartFailure, RecipeFailedError, RunResult

__all__ = ["RunVerdict", "judge", "units_to_reduce"]


@dataclass(frozen=True)
class RunVerdict:
    """Units whose products are kept, and the others of the block with the reason, both ascending.

    ``notes`` tells what else is lacking: slabs that were lost.
    """

    good: tuple[int, ...]
    lost: tuple[LostUnit, ...] = ()
    notes: tuple[str, ...] = ()
    unit_word: str = "unit"

    @property
    def text(self) -> str:
        """What is lost in words; empty if nothing is."""
        return "; ".join((*(entry.told(self.unit_word) for entry in self.lost), *self.notes))


def units_to_reduce(task: BlockTask) -> tuple[int, ...]:
    """Units of a block for which all calibrations exist; empty if the block is not of units.

    Raises
    ------
    MissingInputError
        If there is none.
    """
    lacking = {entry.unit for entry in task.lacking}
    units = tuple(unit for unit in task.units if unit not in lacking)
    if task.units and not units:
        why = "; ".join(entry.told(task.unit_word) for entry in task.lacking)
        raise MissingInputError(f"no {task.unit_word} has all calibrations: {why}", block=task.name)
    return units


def judge(task: BlockTask, result: RunResult) -> RunVerdict:
    """Decide on a run that came to its end.

    Good units are kept, whatever became of the others. As long as tries are left, a unit that failed from outside
    (disk, memory) is worth another try of the whole block.

    Raises
    ------
    RecipeFailedError
        If the block shall be tried again, or no unit is good.
    """
    if any(part.kind is not PartKind.UNIT for part, _ in result.parts):
        return _judge_whole(task, result)
    lost = {entry.unit: entry for entry in task.lacking}
    failures = [failure for failure in result.failures if failure.part.number in task.units]
    for entries, failed in ((result.skipped, False), (failures, True)):
        for entry in entries:
            lost[entry.part.number] = LostUnit(entry.part.number, failed, entry.error_type, entry.message)
    reduced = {part.number for part in result.reduced}
    good = tuple(unit for unit in task.units if unit in reduced and unit not in lost)
    for unit in set(task.units) - set(good) - lost.keys():
        lost[unit] = _not_begun(unit, task)
    verdict = RunVerdict(good, tuple(lost[unit] for unit in task.units if unit in lost), unit_word=task.unit_word)
    retriable = {failure.part.number for failure in failures if failure.retriable}
    again = {failure.part.number for failure in failures if _may_try_again(task, failure)}
    if again or not good:
        # What can be tried again comes first, then what failed: the first decides how the error is called.
        told = sorted(
            verdict.lost,
            key=lambda entry: (entry.unit not in again, entry.unit not in retriable, not entry.failed, entry.unit),
        )
        text = "; ".join(entry.told(task.unit_word) for entry in told)
        raise RecipeFailedError(text, kind=told[0].error_type, again=bool(retriable))
    return verdict


def _judge_whole(task: BlockTask, result: RunResult) -> RunVerdict:
    """Of parts that are no units: all units that were given are in the products, whatever slab is lost."""
    failures = sorted(result.failures, key=lambda failure: (not _may_try_again(task, failure), not failure.retriable))
    if failures and (_may_try_again(task, failures[0]) or not result.reduced):
        text = "; ".join(map(_text, failures))
        raise RecipeFailedError(text, kind=failures[0].error_type, again=failures[0].retriable)
    lacking = {entry.unit for entry in task.lacking}
    good = tuple(unit for unit in task.units if unit not in lacking)
    return RunVerdict(good, tuple(task.lacking), tuple(map(_text, result.failures)), task.unit_word)


def _may_try_again(task: BlockTask, failure: PartFailure) -> bool:
    return failure.retriable and may_try_again(task.tries, task.max_tries, failure.error_type)


def _text(failure: PartFailure) -> str:
    return f"{failure.part.label} failed: {failure.message}"


def _not_begun(unit: int, task: BlockTask) -> LostUnit:
    choice = instrument(task.instrument).units.parameter
    if int(task.parameters.get(choice, -1)) > 0:
        return LostUnit(unit, failed=False, error_type="not_asked_for", message=f"the parameter {choice} leaves it out")
    text = "no raw frame has it any more: a file was cut or replaced since it was ingested"
    return LostUnit(unit, failed=True, error_type=MissingInputError.error_type, message=text)
