"""How muse_exp_align differs from the reference pipeline 2.8.7, and both from the manual."""

from __future__ import annotations

from typing import Final

from core.recipes.declaration import Difference, ManualNote

__all__ = ["DIFFERENCES", "MANUAL_NOTES"]

MANUAL_NOTES: Final = (
    ManualNote(
        where="threshold",
        manual="sigma above the RMS of the background",
        here="in the unit of the image if it is positive; else so many MAD above the median of the background",
    ),
    ManualNote(
        where="bkgignore, bkgfraction, bpixdistance, expmap, override_detection, and all products but OFFSET_LIST",
        manual="not mentioned",
        here="as in the reference",
    ),
    ManualNote(where="QC.EXPALIGN.OFFSET", manual="in deg", here="in arcsec"),
)
DIFFERENCES: Final = (
    Difference(
        where="X, Y, RA, DEC of SOURCE_LIST",
        here="the first pixel is 1",
        reference="pixels are counted from 0, and taken for those of FITS when they become coordinates",
        why="defect of the reference",
        size="1 pix, 0.28 arcsec along the diagonal; none in OFFSET_LIST for images of the same orientation and scale",
    ),
    Difference(
        where="CRVAL, CRPIX of PREVIEW_FOV, EXPOSURE_MAP",
        here="the reference point is that of the first image",
        reference="it is the middle of the field; all pixels lie one row and one column lower, as its CRPIX says",
        why="the first image is what the offsets refer to",
        size="none on the sky: the same values at the same places",
    ),
    Difference(
        where="last column or row of an image of an odd size",
        here="is looked at like the others",
        reference="is cut off",
        why="no reason to do so",
        size="sources within half the size of the filter from the edge are left out in any case",
    ),
)
