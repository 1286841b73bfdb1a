"""How muse_scipost differs from the reference pipeline 2.8.7, and both from the manual."""

from __future__ import annotations

from typing import Final

from core.recipes.declaration import Difference, ManualNote
from core.recipes.muse.differences.raman import RAMAN_DIFFERENCES
from core.recipes.muse.differences.scipost_steps import (
    FLUX_DIFFERENCES,
    REFRACTION_DIFFERENCES,
    VELOCITY_DIFFERENCES,
)

__all__ = ["DIFFERENCES", "MANUAL_NOTES"]

MANUAL_NOTES: Final = (
    ManualNote(where="pixfrac", manual="one number, 0.8", here="up to three, for the directions"),
    ManualNote(where="SKY_MASK", manual="in pixels", here="in pixels, or on the sky, as in the reference"),
    ManualNote(where="dx, dy in the narrow field", manual="0.075 arcsec", here="0.025 arcsec, as in the reference"),
)
DIFFERENCES: Final = (
    *REFRACTION_DIFFERENCES,
    *FLUX_DIFFERENCES,
    *VELOCITY_DIFFERENCES,
    *RAMAN_DIFFERENCES,
    Difference(
        where="a response that does not fit the data",
        here="ends the recipe",
        reference="leaves the counts as they are, with a warning",
        why="a sky of fluxes cannot be subtracted from counts",
        size="no results to compare",
    ),
    Difference(
        where="cosmic rays that were found in the white-light image of the sky",
        here="are left out of the spectrum of the sky; the cube finds its own",
        reference="stay flagged, and are left out of the cube too",
        why="with crsigma=0 a cube has all pixels",
        size="1 of 840000 voxels of an IFU without a value, some others by up to 1.5 sigma",
    ),
    Difference(
        where="AUTOCAL_MASK",
        here="sources grow, and small ones vanish, as if the image went on beyond its edges",
        reference="nothing within four pixels of the edges of the image is sky",
        why="defect of the reference: at the edges its filters of masks do nothing sensible",
        size="none elsewhere; of one IFU alone, which is all edge, 885 of 4848 pixels, and factors by up to 6 %",
    ),
    Difference(
        where="AUTOCAL_FACTORS, with the same mask",
        here="rows half way between two pixels of the mask belong to the next one",
        reference="rounds some of them to the other",
        why="rounding",
        size="4 of 5 million rows; factors by up to 9e-5, most by less than 1e-7",
    ),
    Difference(
        where="SKY_MASK with autocalib=deepfield and skymethod=subtract-model",
        here="is used",
        reference="is not",
        why="defect of the reference",
        size="none without a SKY_MASK",
    ),
)
