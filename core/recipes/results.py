"""What comes out of a run: product files, failures and what each part cost, small enough for messages and rows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from core.errors import MuseError
from core.recipes.parts import Part

__all__ = [
    "NO_COST",
    "Cost",
    "PartFailure",
    "PartOutcome",
    "PlotFile",
    "RecipeFailedError",
    "RunResult",
    "WrittenProduct",
]


@dataclass(frozen=True)
class WrittenProduct:
    """A product file.

    Attributes
    ----------
    tag : str
    path : pathlib.Path
    unit : int or None
        None for a file of the whole or of several units.
    number : int or None
        Exposure number, for products of single exposures.
    """

    tag: str
    path: Path
    unit: int | None
    number: int | None = None


@dataclass(frozen=True)
class PartFailure:
    """Why a part failed or was skipped."""

    part: Part
    error_type: str
    message: str
    retriable: bool


@dataclass(frozen=True)
class Cost:
    """Wall time [s] and peak of the resident memory of the process [MiB]."""

    seconds: float = 0.0
    peak_mb: float = 0.0


NO_COST: Final = Cost()


@dataclass(frozen=True)
class PartOutcome:
    """How one part ended; picklable.

    Attributes
    ----------
    part : Part
    products : tuple of WrittenProduct
        On disk already; also what a failed part left behind.
    measured : object
        What the recipe hands to its `finish`: small and picklable.
    failure : PartFailure or None
    cost : Cost
    """

    part: Part
    products: tuple[WrittenProduct, ...] = ()
    measured: Any = None
    failure: PartFailure | None = None
    cost: Cost = NO_COST


@dataclass(frozen=True)
class RunResult:
    """Outcome of a run.

    Attributes
    ----------
    products : tuple of WrittenProduct
    failures : tuple of PartFailure
        Parts that failed; empty means success.
    skipped : tuple of PartFailure
        Units whose detector was off.
    reduced : tuple of Part
        Parts that came to their end without failure, ascending.
    prepare, finish : Cost
    parts : tuple of (Part, Cost)
        Of each part that was begun, ascending.
    seconds : float
        Wall time of all [s].
    """

    products: tuple[WrittenProduct, ...] = ()
    failures: tuple[PartFailure, ...] = ()
    skipped: tuple[PartFailure, ...] = ()
    reduced: tuple[Part, ...] = ()
    prepare: Cost = NO_COST
    finish: Cost = NO_COST
    parts: tuple[tuple[Part, Cost], ...] = ()
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether no part failed."""
        return not self.failures

    @property
    def part_peak_mb(self) -> float:
        """Largest memory of a part [MiB]."""
        return max((cost.peak_mb for _, cost in self.parts), default=0.0)

    @property
    def peak_mb(self) -> float:
        """Largest memory of any of its processes [MiB]."""
        return max(self.prepare.peak_mb, self.finish.peak_mb, self.part_peak_mb)


@dataclass(frozen=True)
class PlotFile:
    """A picture: ``name`` is the stem of its file; ``unit`` is None if it shows all of them.

    With ``view_of`` it is no picture, but the view (`core.previews.cubeview`) of the product file of that name.
    """

    name: str
    title: str
    caption: str
    path: str
    unit: int | None = None
    view_of: str = ""


class RecipeFailedError(MuseError):
    """A recipe failed; ``error_type`` and ``retriable`` are those of what went wrong in it."""

    def __init__(self, message: str, *, kind: str, again: bool) -> None:
        super().__init__(message)
        self.error_type = kind  # type: ignore[misc]
        self.retriable = again  # type: ignore[misc]

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (self.message, self.error_type, self.retriable))


def _rebuild(message: str, kind: str, again: bool) -> RecipeFailedError:
    return RecipeFailedError(message, kind=kind, again=again)
