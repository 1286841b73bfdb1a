"""How muse_twilight differs from the reference pipeline 2.8.7, and both from the manual; measured by simulation."""

from __future__ import annotations

from typing import Final

from core.recipes.declaration import Difference, ManualNote
from core.recipes.muse.differences.common import COMMON_DIFFERENCES, MASTER_BIAS_NOTES

__all__ = ["DIFFERENCES", "MANUAL_NOTES"]

MANUAL_NOTES: Final = (
    *MASTER_BIAS_NOTES,
    ManualNote(where="DATACUBE_SKYFLAT", manual="called DATA_CUBE_SKYFLAT", here="DATACUBE_SKYFLAT"),
    ManualNote(
        where="vignxpar, vignypar",
        manual="4 by default, whatever vignsmooth is",
        here="-1 by default: what is recommended for vignsmooth",
    ),
    ManualNote(
        where="vignnfmmask",
        manual="not mentioned",
        here="in narrow field mode the upper rows of the field are vignetted, and treated apart",
    ),
)

DIFFERENCES: Final = (
    *COMMON_DIFFERENCES,
    Difference(
        where="IFU 1",
        here="fluxes are relative to the first IFU that is there",
        reference="ends with an error without IFU 1",
        why="the other IFUs are worth having",
        size="no results to compare",
    ),
    Difference(
        where="dlambda",
        here="a plane without data, e.g. in the notch of adaptive optics, is interpolated between its neighbours",
        reference="has no value there",
        why="a flat field is needed at all wavelengths",
        size="none with the default sampling",
    ),
    Difference(
        where="vignsmooth=polyfit",
        here="polynomials in a scaled basis",
        reference="plain powers of the pixels, ill conditioned at orders of 4 and 4",
        why="rounding",
        size="up to 1 % within the vignetted corner at orders 4 and 4; 3e-7 at lower orders and without a mask",
    ),
    Difference(
        where="vignsmooth=gaussian",
        here="spaxels without good ones around them are not corrected",
        reference="all planes may become NaN then",
        why="defect of the reference",
        size="2e-7 where the reference has a value",
    ),
    Difference(
        where="VIGNETTING_MASK",
        here="a quadrant of the mask that is larger than the field is cut",
        reference="masks all of the field then",
        why="defect of the reference",
        size="none with a mask of the size of the field",
    ),
    Difference(
        where="MUSE_TWILIGHT_SCALES",
        here="24 positive numbers, else an error",
        reference="applies the first number also where the others are missing",
        why="defect of the reference",
        size="none with 24 numbers",
    ),
    Difference(
        where="MUSE_TWILIGHT_SKIP",
        here="QC parameters are those of DATACUBE_SKYFLAT, and stay there",
        reference="copies them into the TWILIGHT_CUBE then",
        why="they are measured once",
        size="keywords only",
    ),
)
