"""How muse_lsf differs from the reference pipeline 2.8.7, and both from the manual; measured by simulation."""

from __future__ import annotations

from typing import Final

from core.recipes.declaration import Difference, ManualNote
from core.recipes.muse.differences.common import MASTER_BIAS_NOTES

__all__ = ["DIFFERENCES", "MANUAL_NOTES"]

MANUAL_NOTES: Final = (
    *MASTER_BIAS_NOTES,
    ManualNote(
        where="PIXTABLE_SUBTRACTED",
        manual="additional columns line_lambda (reference wavelength) and line_flux",
        here="line_lambda is the fitted centre; further columns line_background and orig. With method=hermit only "
        "orig: all lines of a slice are one model",
    ),
)

DIFFERENCES: Final = (
    Difference(
        where="window of pixels around a line",
        here="exact",
        reference="fuzzy: by bisection on wavelengths that are not sorted",
        why="defect of the reference",
        size=(
            "2.4 % of the pixels of PIXTABLE_SUBTRACTED, beyond 4 Angstrom from the line; profiles 0.12 % of "
            "the peak rms, 1.6 % at most; FWHM 0.02 %"
        ),
    ),
    Difference(
        where="background of a small window",
        here="from the pixels between 5.5 and at least 8.2 Angstrom from the line",
        reference="from those beyond 5.5 Angstrom in the window; 0 if it has none",
        why="defect of the reference",
        size=(
            "lsf_range 3 to 6 Angstrom: profiles 0.2 to 0.5 % of the peak rms, 3 % at most; FWHM 0.04 to 0.24 %, "
            "and here the same for each lsf_range"
        ),
    ),
    Difference(
        where="lower end of the profiles",
        here="the regression window stays inside the data at both ends",
        reference="only at the upper end",
        why="defect of the reference",
        size="0.0003 % of the peak rms, 0.04 % at most",
    ),
    Difference(
        where="deviant pixels",
        here="found with the background of the line added to its model",
        reference="subtracts the background",
        why="defect of the reference",
        size=(
            "55 of 3.3 million pixels, profiles 0.005 % of the peak rms; with overscan=offset, which leaves more "
            "background, 0.6 % rms and 12 % at most"
        ),
    ),
    Difference(
        where="method=hermit: which pixels",
        here="lamps are summed; without lines of absent lamps or outside the mode, and without flagged pixels",
        reference="averages the lamps, uses all lines and pixels",
        why="defect of the reference",
        size=(
            "profiles 0.014 % of the peak rms, 0.2 % at most; counts of PIXTABLE_SUBTRACTED three times as "
            "large for three lamps"
        ),
    ),
    Difference(
        where="method=hermit: fits",
        here="a fit that ends at the limit of function calls keeps its best parameters",
        reference="keeps the start values",
        why="defect of the reference",
        size="none on simulated arcs: all 48 slices converge in both",
    ),
    Difference(
        where="method=hermit: QC FWHM",
        here="interpolated",
        reference="counts steps of 0.04 Angstrom",
        why="resolution of the QC parameter",
        size="up to 0.08 Angstrom (2.9 %)",
    ),
    Difference(
        where="method=hermit: PIXTABLE_SUBTRACTED",
        here="holds the pixels near the lines used",
        reference="holds all pixels",
        why="only these have a model to subtract",
        size="11 % of the pixels (1.6 of 15.1 million); at the same pixels only the scale differs",
    ),
    Difference(
        where="QC.WAVECAL.INPUT1.NSATURATED in LSF_PROFILE",
        here="not written",
        reference="left over from the first lamp",
        why="belongs to muse_wavecal",
        size="one keyword",
    ),
)
