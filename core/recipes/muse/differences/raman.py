"""How muse_scipost_raman differs from the reference pipeline 2.8.7."""

from __future__ import annotations

from typing import Final

from core.recipes.declaration import Difference

__all__ = ["DIFFERENCES", "RAMAN_DIFFERENCES"]

RAMAN_DIFFERENCES: Final = (
    Difference(
        where="the fit of the light of the lasers",
        here="the least squares of all pixels, from sums over them",
        reference="stops before it is there",
        why="defect of the reference",
        size="with light of 20 count (root mean square) put into one IFU, 1.5 count are wrong, and 10 in the reference",
    ),
    Difference(
        where="RAMAN_FIT_O2, RAMAN_FIT_N2",
        here="are in the unit that their headers tell",
        reference="are 1e-20 times that",
        why="defect of the reference",
        size="a factor",
    ),
    Difference(
        where="DATA of RAMAN_IMAGES",
        here="an image",
        reference="a cube of one plane",
        why="it is an image",
        size="none in the numbers",
    ),
)
DIFFERENCES: Final = (
    *RAMAN_DIFFERENCES,
    Difference(
        where="pixel tables of several exposures",
        here="refused",
        reference="are put one after the other",
        why="each exposure has a refraction and a light of its own",
        size="no results to compare",
    ),
)
