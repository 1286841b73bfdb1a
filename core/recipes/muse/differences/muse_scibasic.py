"""How muse_scibasic differs from the reference pipeline 2.8.7, and both from the manual; measured by simulation."""

from __future__ import annotations

from typing import Final

from core.recipes.declaration import Difference, ManualNote
from core.recipes.muse.differences.common import COMMON_DIFFERENCES, MASTER_BIAS_NOTES

__all__ = ["DIFFERENCES", "MANUAL_NOTES"]

MANUAL_NOTES: Final = (
    *MASTER_BIAS_NOTES,
    ManualNote(
        where="crop",
        manual="4750 to 9350 Angstrom in nominal mode, 4600 to 9350 in extended mode",
        here="in WFM-AO-N from 4700 Angstrom",
    ),
    ManualNote(where="REDUCED", manual="not mentioned", here="images of an earlier run are taken instead of raw ones"),
    ManualNote(
        where="combine, nlow, nhigh, nkeep, lsigma, hsigma, scale",
        manual="not mentioned",
        here="exposures of an IFU may be combined before they become a pixel table",
    ),
)

DIFFERENCES: Final = (
    *COMMON_DIFFERENCES,
    Difference(
        where="skylines",
        here="a line that cannot be measured is left out, with a warning",
        reference="then shifts by nothing, whatever the other lines say",
        why="one bad line must not undo the others",
        size="none where all lines are measured",
    ),
    Difference(
        where="resample=true",
        here="a pixel of the picture that no row reaches is NaN",
        reference="is 0; and rows beyond the reach of the weights, 1.25 steps, count, with weights that grow again",
        why="0 is a value; defect of the reference",
        size="5 % of the picture are NaN; 1000 of 14 million pixels have a value in the reference only; 8e-6 count for "
        "99.9 % of the others",
    ),
    Difference(
        where="crop=false",
        here="the limits of the wavelengths in the header are those of the rows",
        reference="are those before the shift by the sky lines",
        why="defect of the reference",
        size="two keywords, by the shift: 0.07 Angstrom in a simulation; none in the rows",
    ),
    Difference(
        where="compact",
        here="parameter: pixel tables of 8 bytes a pixel, from which the others are made bit for bit",
        reference="no such parameter",
        why="an exposure is 9.2 GB otherwise",
        size="none in the values",
    ),
)
