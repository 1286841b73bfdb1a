"""How muse_exp_combine differs from the reference pipeline 2.8.7, and both from the manual."""

from __future__ import annotations

from typing import Final

from core.recipes.declaration import Difference, ManualNote

__all__ = ["DIFFERENCES", "MANUAL_NOTES"]

MANUAL_NOTES: Final = (
    ManualNote(where="pixfrac", manual="one number, 0.6", here="up to three, for the directions"),
    ManualNote(where="weight=header", manual="not mentioned", here="as in the reference"),
    ManualNote(where="QC.EXP_COMB", manual="so it is called", here="QC.EXPCOMB, as in the reference"),
)
DIFFERENCES: Final = (
    Difference(
        where="exposures with other units, or not in native angles",
        here="refused, with the name of the file",
        reference="are left out, with a warning",
        why="a combination without an exposure is not what was asked for",
        size="no results to compare",
    ),
)
