"""What a child process is told to do: a recipe with its frames and parameters, typed at both ends of the job file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from core.recipes.declaration import Recipe, RecipeParameters
from core.recipes.frames import Frame, FrameSet
from core.recipes.logs import LogSettings
from core.recipes.registry import get_recipe

__all__ = ["Job", "parse_job"]


@dataclass(frozen=True)
class Job:
    """One run of a recipe.

    Attributes
    ----------
    recipe : str
    frames : tuple of Frame
    output_dir : pathlib.Path
        Existing directory.
    parameters : mapping
        Name to value, of those that differ from the defaults.
    units : tuple of int or None
        Only these; None for all.
    at_once : int or None
        Parts that run at once; None for as many as fit.
    log_file : pathlib.Path or None
        Appended to.
    """

    recipe: str
    frames: tuple[Frame, ...]
    output_dir: Path
    parameters: Mapping[str, Any] = field(default_factory=dict)
    units: tuple[int, ...] | None = None
    at_once: int | None = None
    log_file: Path | None = None

    @property
    def logs(self) -> LogSettings:
        """Where its log lines go; not to the terminal."""
        return LogSettings(msg_level="off", log_file=self.log_file)

    def inputs(self) -> tuple[Recipe, FrameSet, RecipeParameters]:
        """Recipe, frames and parameters.

        Raises
        ------
        NotFoundError
            If there is no such recipe.
        ParameterError
            If a parameter is not accepted.
        """
        recipe = get_recipe(self.recipe)
        return recipe, FrameSet(self.frames), recipe.Params.parse(dict(self.parameters))


@cache
def _adapter() -> TypeAdapter[Job]:
    return TypeAdapter(Job)


def parse_job(text: bytes) -> Job:
    """The job of a file of JSON.

    Raises
    ------
    pydantic.ValidationError
        If it is none (a `ValueError`).
    """
    return _adapter().validate_json(text)
