"""How muse_illum differs from the reference pipeline 2.8.7."""

from __future__ import annotations

from typing import Final

from core.recipes.declaration import Difference

__all__ = ["DIFFERENCES"]

DIFFERENCES: Final = (
    Difference(
        where="set of frames",
        here="frames of other types are left out, with a warning",
        reference="ends with an error if there is any frame besides",
        why="a frame of no use does no harm, and no other recipe minds it",
        size="no results to compare",
    ),
)
