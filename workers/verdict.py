"""What a recipe run means for its block: which IFUs are good, which are lost and why, or that the block failed."""

from __future__ import annotations

from dataclasses import dataclass

from core.archive.queries import BlockTask
from core.archive.records import LostUnit
from core.errors import MissingInputError
from workers.child import ChildResult, RecipeFailedError

__all__ = ["RunVerdict", "judge", "units_to_reduce"]


@dataclass(frozen=True)
class RunVerdict:
    """IFUs whose products are kept, and the others of the block with the reason, both ascending."""

    good: tuple[int, ...]
    lost: tuple[LostUnit, ...] = ()

    @property
    def text(self) -> str:
        """The lost IFUs in words; empty if there are none."""
        return "; ".join(entry.text for entry in self.lost)


def units_to_reduce(task: BlockTask) -> tuple[int, ...]:
    """IFUs of a block for which all calibrations exist.

    Raises
    ------
    MissingInputError
        If there is none.
    """
    lacking = {entry.unit for entry in task.lacking}
    units = tuple(unit for unit in task.units if unit not in lacking)
    if not units:
        raise MissingInputError(
            f"no IFU has all calibrations: {'; '.join(entry.text for entry in task.lacking)}", block=task.name
        )
    return units


def judge(task: BlockTask, result: ChildResult) -> RunVerdict:
    """Decide on a run that came to its end.

    Good IFUs are kept, whatever became of the others. As long as tries are left, an IFU that failed from outside (disk,
    memory) is worth another try of the whole block.

    Raises
    ------
    RecipeFailedError
        If the block shall be tried again, or no IFU is good.
    """
    lost = {entry.unit: entry for entry in task.lacking}
    failures = [entry for entry in result.failures if entry["ifu"] in task.units]
    for entries, failed in ((result.skipped, False), (failures, True)):
        for entry in entries:
            lost[entry["ifu"]] = LostUnit(entry["ifu"], failed, entry["error_type"], entry["message"])
    good = tuple(unit for unit in task.units if unit in result.reduced and unit not in lost)
    for unit in set(task.units) - set(good) - lost.keys():
        lost[unit] = _not_begun(unit, task)
    verdict = RunVerdict(good, tuple(lost[unit] for unit in task.units if unit in lost))
    retriable = {entry["ifu"] for entry in failures if entry["retriable"]}
    if (retriable and task.tries < task.max_tries) or not good:
        # What can be tried again comes first, then what failed: the first decides how the error is called.
        told = sorted(verdict.lost, key=lambda entry: (entry.unit not in retriable, not entry.failed, entry.unit))
        text = "; ".join(entry.text for entry in told)
        raise RecipeFailedError(text, kind=told[0].error_type, again=bool(retriable))
    return verdict


def _not_begun(unit: int, task: BlockTask) -> LostUnit:
    if int(task.parameters.get("nifu", -1)) > 0:
        return LostUnit(unit, failed=False, error_type="not_asked_for", message="the parameter nifu leaves it out")
    text = "no raw frame has it any more: a file was cut or replaced since it was ingested"
    return LostUnit(unit, failed=True, error_type=MissingInputError.error_type, message=text)
