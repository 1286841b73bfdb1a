"""How muse_ampl differs from the reference pipeline 2.8.7."""

from __future__ import annotations

from typing import Final

from core.recipes.declaration import Difference

__all__ = ["DIFFERENCES"]

DIFFERENCES: Final = (
    Difference(
        where="MASTER_FLAT",
        here="is no input",
        reference="divides by one that is in the set of frames, though it is no input of the recipe",
        why="defect of the reference",
        size="a flat of constant 2 halves its throughput",
    ),
    Difference(
        where="a filter that lets nothing through",
        here="is an error",
        reference="never ends",
        why="defect of the reference",
        size="no results to compare",
    ),
    Difference(
        where="AMPL_CONVOLVED",
        here="has the size of the trimmed image",
        reference="has always 4096 x 4112 pix",
        why="the size of the other images",
        size="none for frames that are not binned",
    ),
)
