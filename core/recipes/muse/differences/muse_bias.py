"""How muse_bias differs from the reference pipeline 2.8.7, and both from the manual; measured by simulation."""

from __future__ import annotations

from typing import Final

from core.recipes.declaration import Difference, ManualNote
from core.recipes.muse.differences.common import COMMON_DIFFERENCES

__all__ = ["DIFFERENCES", "MANUAL_NOTES"]

MANUAL_NOTES: Final = (
    ManualNote(
        where="ovscsigma with overscan=vpoly",
        manual="the levels of the frames are compared afterwards, with 100 x stdev",
        here="levels of BIAS frames are not compared: each gets its own polynomial",
    ),
)

DIFFERENCES: Final = (
    *COMMON_DIFFERENCES,
    Difference(
        where="overscan=offset",
        here="frames 2..n are moved to the overscan level of the first",
        reference="moves only the first frame, to the level of the last",
        why="defect of the reference",
        size="by the differences of the overscans: 0.2 .. 0.4 adu for three biases of one template, 1.3 adu where "
        "two of the three are 1 and 2 adu higher",
    ),
    Difference(
        where="QC.BIAS.MASTERn.SLOPE",
        here="sums in double precision",
        reference="sums in single precision",
        why="rounding",
        size="up to 8e-8 adu/pix for overscan=none (levels near 1200 adu), else 1e-11 adu/pix",
    ),
)
