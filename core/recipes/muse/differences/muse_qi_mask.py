"""How muse_qi_mask differs from the reference pipeline 2.8.7."""

from __future__ import annotations

from typing import Final

from core.recipes.declaration import Difference

__all__ = ["DIFFERENCES"]

_DEFECT: Final = "defect of the reference"

DIFFERENCES: Final = (
    Difference(
        where="the last column and row of the lower left port",
        here="are where the raw frame has them",
        reference="are beyond the gap, in the overscan",
        why=_DEFECT,
        size="one column and one row of the mask, 64 pixels away; the limits of slices are the same",
    ),
    Difference(
        where="masks without a BIAS",
        here="are as those with one of a full detector, but for what its header says of the detector",
        reference="have neither EXTNAME nor PRO.CATG",
        why=_DEFECT,
        size="none in the mask",
    ),
    Difference(
        where="an IFU without a TRACE_TABLE or WAVECAL_TABLE",
        here="has no extension, with a warning; nothing is written if it is the only one",
        reference="has an empty extension without EXTNAME",
        why=_DEFECT,
        size="no results to compare",
    ),
    Difference(
        where="PRO.REC1.CALn",
        here="name the TRACE_TABLE and WAVECAL_TABLE",
        reference="do not",
        why="they are what the mask is made of",
        size="none in the mask",
    ),
)
