"""Recipes that reduce one IFU after the other."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from typing import Any, Final

from core.errors import MissingInputError, NonRetriableError
from core.formats.raw import open_raw
from core.instruments.muse.facts import N_IFU
from core.recipes.declaration import Recipe
from core.recipes.flow import PartOutput, Product, RecipeContext
from core.recipes.frames import Frame, FrameSet
from core.recipes.parts import Part, PartKind, unit_part

__all__ = ["IfuRecipe", "ifu_part", "ifus_of"]

_WORD: Final = "IFU"


def ifu_part(ifu: int) -> Part:
    """The part that is one IFU, 1..24."""
    return unit_part(ifu, _WORD)


def ifus_of(frames: Iterable[Frame]) -> tuple[Part, ...]:
    """The IFUs that any of some raw frames has, ascending.

    Raises
    ------
    MissingInputError
        If no frame has an IFU.
    BadFitsError
        If none can be read.
    RetriableError
        If there is no room to unpack one that is compressed as a whole.
    """
    found: set[int] = set()
    unreadable: NonRetriableError | None = None
    for frame in frames:
        try:
            found |= set(open_raw(frame.path).ifus)
        except NonRetriableError as error:  # it is told when it is to be reduced
            unreadable = unreadable or error
    if not found:
        raise unreadable or MissingInputError(f"no raw frame has an extension CHAN01..CHAN{N_IFU}", rule="CHANnn")
    return tuple(map(ifu_part, sorted(found)))


class IfuRecipe(Recipe):
    """Base of the first-stage recipes: each IFU by itself, and the others are worth having if one fails."""

    parts = PartKind.UNIT
    survives_loss = True

    @abstractmethod
    def reduce_ifu(self, ifu: int, frames: FrameSet, params: Any, ctx: RecipeContext) -> list[Product]:
        """Reduce one IFU.

        Parameters
        ----------
        ifu : int
            1..24.
        frames : FrameSet
            All input frames, those of other IFUs too.
        params : RecipeParameters
            An instance of ``Params``.
        ctx : RecipeContext

        Raises
        ------
        MuseError
            If this IFU cannot be reduced.
        """

    def process(self, part: Part, frames: FrameSet, params: Any, ctx: RecipeContext) -> PartOutput:
        """Reduce the IFU; see `Recipe.process`."""
        return PartOutput(self.reduce_ifu(part.number, frames, params, ctx))

    def list_parts(self, frames: FrameSet, params: Any) -> tuple[Part, ...]:
        """The IFU asked for by ``nifu``, or all that any raw frame has.

        Raises
        ------
        MissingInputError
            If no raw frame has an IFU.
        BadFitsError
            If none can be read.
        RetriableError
            If there is no room to unpack one that is compressed as a whole.
        """
        if params.nifu > 0:
            return (ifu_part(params.nifu),)
        return ifus_of(frames.tagged(*self.raw_tags()))
