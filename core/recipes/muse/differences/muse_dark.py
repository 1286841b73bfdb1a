"""How muse_dark differs from the reference pipeline 2.8.7, and both from the manual; measured by simulation."""

from __future__ import annotations

from typing import Final

from core.recipes.declaration import Difference
from core.recipes.muse.differences.common import COMMON_DIFFERENCES, MASTER_BIAS_NOTES

__all__ = ["DIFFERENCES", "MANUAL_NOTES"]

MANUAL_NOTES: Final = MASTER_BIAS_NOTES

DIFFERENCES: Final = (
    *COMMON_DIFFERENCES,
    Difference(
        where="QC.DARK.MASTER.DC, DCERR",
        here="every IFU is measured in the same windows, those that the reference takes for the first IFU",
        reference="goes on with its random sequence from one IFU to the next",
        why="the result of an IFU must not depend on which others are processed",
        size="none for the first IFU; DC of the others up to 0.06 count/pix/h (5 %), DCERR up to 15 %",
    ),
)
