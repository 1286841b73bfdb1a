"""How muse_create_sky differs from the reference pipeline 2.8.7, and both from the manual."""

from __future__ import annotations

from typing import Final

from core.recipes.declaration import Difference, ManualNote

__all__ = ["DIFFERENCES", "MANUAL_NOTES"]

MANUAL_NOTES: Final = (
    ManualNote(where="IMAGE_FOV", manual="the white-light image", here="SKY_IMAGE, as in the reference"),
    ManualNote(where="QC.SKY.LOWLIMIT", manual="not mentioned", here="the lower limit of the sky, as in the reference"),
    ManualNote(where="sampling, csampling, crsigma", manual="not mentioned", here="as in the reference"),
)
DIFFERENCES: Final = (
    Difference(
        where="PIXTABLE_SKY of several exposures",
        here="refused",
        reference="are put one after the other, with an error message",
        why="each exposure has a refraction and a sky of its own",
        size="no results to compare",
    ),
)
