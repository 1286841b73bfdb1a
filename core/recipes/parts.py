"""The parts of a recipe: what can be done on any core or host, independent of the other parts.

A recipe works by *unit* (an IFU, a detector), by *slab* of wavelength, or on the *whole*. Between `Recipe.prepare`,
which runs once, and `Recipe.finish`, which runs once, `Recipe.process` is called for each part, in any order, by any
process that sees the work directory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from typing import Final

from core.errors import ParameterError

__all__ = ["WHOLE", "MemoryNeed", "Part", "PartKind", "Schedule", "slabs", "unit_part", "words_for"]


class PartKind(StrEnum):
    """By what a recipe can be divided."""

    UNIT = "unit"
    SLAB = "slab"
    WHOLE = "whole"


@dataclass(frozen=True, order=True)
class Part:
    """One part of a recipe.

    Attributes
    ----------
    kind : PartKind
    number : int
        Number of the unit as the instrument counts, or of the slab, from 1; 0 for the whole.
    low, high : float or None
        Wavelengths of a slab [Angstrom], the upper one exclusive.
    word : str
        What the instrument calls a unit: ``IFU``, ``detector``.
    """

    kind: PartKind
    number: int = 0
    low: float | None = field(default=None, compare=False)
    high: float | None = field(default=None, compare=False)
    word: str = field(default="unit", compare=False)

    @property
    def key(self) -> str:
        """Short name in files and messages: ``unit-07``, ``slab-012``, ``whole``."""
        digits = {PartKind.UNIT: f"-{self.number:02d}", PartKind.SLAB: f"-{self.number:03d}", PartKind.WHOLE: ""}
        return f"{self.kind}{digits[self.kind]}"

    @property
    def label(self) -> str:
        """Name in sentences and on pages: ``IFU 7``, ``4750-4850 Angstrom``, ``the whole``."""
        if self.kind is PartKind.UNIT:
            return f"{self.word} {self.number}"
        if self.low is not None and self.high is not None:
            return f"{self.low:g}-{self.high:g} Angstrom"
        return f"slab {self.number}" if self.kind is PartKind.SLAB else "the whole"

    @property
    def log_mark(self) -> str:
        """Mark in log lines: ``ifu=07``, ``slab=012``; empty for the whole."""
        if self.kind is PartKind.WHOLE:
            return ""
        return f"{self.word.lower()}={self.number:02d}" if self.kind is PartKind.UNIT else f"slab={self.number:03d}"

    @property
    def unit(self) -> int | None:
        """Number of the unit; None for parts of another kind."""
        return self.number if self.kind is PartKind.UNIT else None


WHOLE: Final = Part(PartKind.WHOLE)


def unit_part(number: int, word: str) -> Part:
    """The part that is one unit of an instrument."""
    return Part(PartKind.UNIT, number, word=word)


def slabs(low: float, high: float, width: float) -> tuple[Part, ...]:
    """Divide wavelengths into slabs.

    Parameters
    ----------
    low, high : float
        Ends of the whole [Angstrom].
    width : float
        Of a slab [Angstrom]; the last one may be narrower.

    Returns
    -------
    tuple of Part
        Ascending, without gap and overlap.

    Raises
    ------
    ParameterError
        If there is nothing to divide.
    """
    if not (high > low and width > 0):
        raise ParameterError(f"{low:g}-{high:g} Angstrom cannot be divided into slabs of {width:g} Angstrom")
    starts = (low + width * step for step in range(int((high - low) // width) + 1))
    edges = [*(start for start in starts if start < high), high]  # rounding may put a start at the end
    return tuple(Part(PartKind.SLAB, number, *ends) for number, ends in enumerate(pairwise(edges), start=1))


def words_for(parts: Sequence[Part]) -> str:
    """Parts in a few words: ``IFU 3, 9, 17``, ``46 slabs, 4750-9350 Angstrom``, ``the whole``."""
    first, last = parts[0], parts[-1]
    if first.kind is PartKind.UNIT:
        return f"{first.word} {', '.join(str(part.number) for part in parts)}"
    if first.kind is PartKind.SLAB and first.low is not None and last.high is not None:
        return f"{len(parts)} slabs, {first.low:g}-{last.high:g} Angstrom"
    return first.label


@dataclass(frozen=True)
class MemoryNeed:
    """What a recipe is declared to need at most [MiB].

    Attributes
    ----------
    fixed_mb : float
        For `Recipe.prepare`, `Recipe.finish` and the process that leads.
    part_mb : float
        For each part that runs at the same time.
    """

    fixed_mb: float
    part_mb: float

    def total(self, at_once: int) -> float:
        """Need of a run with so many parts at once [MiB]."""
        return self.fixed_mb + at_once * self.part_mb

    def parts_within(self, limit_mb: float) -> int:
        """How many parts may run at once within a limit [MiB]; 0 if not even one."""
        return max(int((limit_mb - self.fixed_mb) // self.part_mb), 0)


@dataclass(frozen=True)
class Schedule:
    """How the parts of a run follow each other.

    Attributes
    ----------
    parallel : bool
        On several processes, else one after the other in this one.
    stop_at_failure : bool
        Leave alone the parts after one that failed.
    skip_dead : bool
        A unit whose detector was off is left out; else it is a failure.
    merge : bool
        Products of several units go into one file.
    """

    parallel: bool = True
    stop_at_failure: bool = False
    skip_dead: bool = True
    merge: bool = False
