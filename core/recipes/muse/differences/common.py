"""Differences and notes that several recipes share."""

from __future__ import annotations

from typing import Final

from core.recipes.declaration import Difference, ManualNote

__all__ = ["COMMON_DIFFERENCES", "MASTER_BIAS_NOTES"]

COMMON_DIFFERENCES: Final = (
    Difference(
        where="overscan=vpoly",
        here="polynomials in a scaled basis",
        reference="plain powers of the row, ill conditioned at high orders",
        why="rounding",
        size="5e-7 adu for orders to 10, 3e-5 adu at 12, 0.03 adu at 15, 0.6 adu at 20, at the ends of a port",
    ),
    Difference(
        where="ovscreject=dcr:...",
        here="numbers that the algorithm cannot use are refused",
        reference="warns and rejects nothing",
        why="a wrong value is an error, not another method",
        size="no results to compare",
    ),
    Difference(
        where="combine=minmax",
        here="flagged values are admitted again also where no more good ones are left than are to be dropped",
        reference="gets NaN there and ends with an error, as its QC parameters are NaN",
        why="defect of the reference",
        size="no results to compare; none where good values are left",
    ),
)
"""Differences of all recipes that combine raw frames."""


MASTER_BIAS_NOTES: Final = (
    ManualNote(
        where="overscan=none",
        manual="stops at discrepant overscan levels",
        here="stops if a BIAS differs from the first; a raw frame that differs from the MASTER_BIAS is warned of",
    ),
    ManualNote(
        where="overscan=vpoly",
        manual="compares levels after the fit, to guard against incompatible settings",
        here="compares the levels measured before it; a MASTER_BIAS made with another method is warned of",
    ),
)
"""Of all recipes that subtract a bias."""
