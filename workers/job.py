"""What a worker tells its child process: the run, the step, and what pictures need; typed at both ends of the file."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter

from core.recipes.job import Job
from core.recipes.results import WrittenProduct

__all__ = ["BlockJob", "LostPart", "Step"]


class Step(StrEnum):
    """What is done of a run at a time."""

    WHOLE = "whole"
    PREPARE = "prepare"
    PART = "part"
    FINISH = "finish"
    PICTURES = "pictures"

    @property
    def begins_run(self) -> bool:
        """Whether the work directory is new."""
        return self in (Step.WHOLE, Step.PREPARE)

    @property
    def ends_run(self) -> bool:
        """Whether all products are there afterwards, and pictures are to be made of them."""
        return self in (Step.WHOLE, Step.FINISH, Step.PICTURES)


@dataclass(frozen=True)
class LostPart:
    """A part that was tried as often as it may be, and why it failed."""

    key: str
    error_type: str
    message: str


@dataclass(frozen=True)
class BlockJob:
    """A step of the execution of a block.

    Attributes
    ----------
    block : str
        Name.
    run : Job
    step : Step
    shared_dir : pathlib.Path
        Work directory of the block, which all steps see.
    raw_tags : tuple of str
        Tags of the raw frames among the frames of the run.
    references : tuple of WrittenProduct
        Files of an earlier block, to compare with.
    part : str
        Key of the part that is to be done.
    threads : int
        For the part, or for the finish.
    lost : tuple of LostPart
        Parts that the finish must do without.
    """

    block: str
    run: Job
    step: Step
    shared_dir: Path
    raw_tags: tuple[str, ...] = ()
    references: tuple[WrittenProduct, ...] = ()
    part: str = ""
    threads: int = 1
    lost: tuple[LostPart, ...] = ()

    @property
    def file(self) -> Path:
        """Where the job lies; parts that run at the same time have files of their own."""
        return self.shared_dir / f"job-{self.part or self.step}.json"

    @property
    def plot_dir(self) -> Path:
        """Where the pictures go."""
        return self.shared_dir / "plots"

    def save(self) -> None:
        """Write the file."""
        self.file.write_bytes(_adapter().dump_json(self, indent=1))

    @classmethod
    def load(cls, file: Path) -> BlockJob:
        """Read it.

        Raises
        ------
        pydantic.ValidationError
            If it holds something else (a `ValueError`).
        """
        return _adapter().validate_json(file.read_bytes())


@cache
def _adapter() -> TypeAdapter[BlockJob]:
    return TypeAdapter(BlockJob)
