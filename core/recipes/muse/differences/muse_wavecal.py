"""How muse_wavecal differs from the reference pipeline 2.8.7, and both from the manual; measured by simulation."""

from __future__ import annotations

from typing import Final

from core.recipes.declaration import Difference, ManualNote
from core.recipes.muse.differences.common import MASTER_BIAS_NOTES
from core.spectral.dispersion import TARGET_RMS

__all__ = ["DIFFERENCES", "MANUAL_NOTES"]

MANUAL_NOTES: Final = (
    *MASTER_BIAS_NOTES,
    ManualNote(
        where="ARC_RED_LAMP, ARC_RED",
        manual="ARC_RED_LAMP is always a product, ARC_RED one of --resample",
        here="only with saveimages: writing them takes longer than the calibration",
    ),
    ManualNote(
        where="fitsigma",
        manual="iterative rejection",
        here=f"only in slices whose rms is above {TARGET_RMS:g} Angstrom",
    ),
    ManualNote(
        where="QC.WAVECAL.NSATURATED",
        manual="in the WAVECAL_TABLE",
        here="in ARC_RED_LAMP; the WAVECAL_TABLE has QC.WAVECAL.NSATURATED.LAMPl",
    ),
    ManualNote(
        where="QC.WAVECAL.SLICEj.LINES.PEAK, QC.WAVECAL.SLICEj.LAMPl.LINES.PEAK",
        manual="peaks above the background",
        here="highest pixels, background included",
    ),
)

DIFFERENCES: Final = (
    Difference(
        where="lamps that were off",
        here="their lines are skipped",
        reference="fits them on the image of the last lamp",
        why="defect of the reference",
        size=(
            "wavelengths 0.0024 Angstrom rms without HgCd, 0.0009 without Xe; FIT.NLINES up to 29 too many, "
            "LINES.FWHM.MEAN up to 23 % too large"
        ),
    ),
    Difference(
        where="several lamps in one exposure",
        here="identified with the lines of all of them",
        reference="finds no line",
        why="defect of the reference",
        size=(
            "Ne and Xe together: 43 of 48 slices within 0.015 Angstrom of the truth here, none within 10 Angstrom there"
        ),
    ),
    Difference(
        where="flagged pixels",
        here="left out of the line fits; a column with one in the core of a line gives no centre",
        reference="ignores the flags there",
        why="defect of the reference",
        size=(
            "0.1 % of the line centres; wavelengths 0.0002 Angstrom rms, 0.012 at most; linesigma=1.5, where "
            "few columns are kept: 0.006 Angstrom rms"
        ),
    ),
    Difference(
        where="tracing of lines",
        here="from column to column in both directions",
        reference="only to the left",
        why="defect of the reference",
        size="0.0002 Angstrom rms, 0.009 at most",
    ),
    Difference(
        where="final fit",
        here="the steps of the reference in scaled coordinates",
        reference="in plain powers of x and y",
        why="rounding",
        size="0.001 Angstrom rms over the detector; up to 0.1 in corners without light, where DWLEN is measured",
    ),
    Difference(
        where="LINE_CATALOG",
        here="wavelengths are the decimal numbers meant",
        reference="rounded to single precision",
        why="rounding",
        size="up to 0.0005 Angstrom",
    ),
    Difference(
        where="QC LINES.FWHM, RESOL",
        here="from lines that the instrument mode covers",
        reference="adds fits to noise where a filter blocks the light",
        why="defect of the reference",
        size=(
            "nominal modes: RESOL 1.9 % and LINES.FWHM.MEAN 0.4 % apart, LINES.FWHM.MIN 0.8 and MAX 1.9 "
            "Angstrom, STDEV half; extended modes: none"
        ),
    ),
    Difference(
        where="QC SLICEj.LAMPl.LINES.PEAK",
        here="of all slices and lamps",
        reference="of slice 20 only, and never of the lamp with the highest number",
        why="manual",
        size="one keyword each (MEAN, STDEV, MAX) for 47 slices more, and for lamp 6 if it is lit",
    ),
    Difference(
        where="QC LINES.NID, LINES.PEAK",
        here="pattern matching keeps the lines beyond a gap in the line list",
        reference="often loses them, or keeps a few others",
        why="defect of the reference",
        size=(
            "defaults: 1 line of 110; sigma=3 or dres=0.1: up to 10 in a few slices, wavelengths unchanged; "
            "lampwise=false: 36 lines instead of 95, no solution above 6500 Angstrom (with sigma=3: in 2 "
            "slices of 48)"
        ),
    ),
    Difference(
        where="combine=minmax",
        here="flagged values are admitted again where fewer good ones are left than are to be dropped",
        reference="leaves 0 or NaN there",
        why="defect of the reference",
        size="the saturated pixels: 53 in the Xe image; LINES.PEAK.MAX of 4 slices up to 40 %",
    ),
    Difference(
        where="narrow-field mode",
        here="lines at 4700..4750 Angstrom are not used",
        reference="uses them",
        why="the filter blocks them",
        size="FIT.NLINES 1 less, FIT.RMS 3 % (7 % at most); wavelengths 0.0021 Angstrom rms between the pipelines",
    ),
    Difference(
        where="headers of the arcs",
        here="lamps and shutters are compared over all six, a missing keyword counts as off",
        reference="stops at the first missing shutter keyword and takes the frames for equal",
        why="defect of the reference",
        size="all lamps are combined into one image there: wavelengths off by 6 Angstrom rms",
    ),
    Difference(
        where="ARC_RED, WAVE_MAP, ARC_RESAMPLED",
        here="one file without a number; maps are an extension DATA, WAVE_MAP in Angstrom",
        reference="number 0001; maps are the primary HDU, in count",
        why="as the other products",
        size="none in the pixels",
    ),
    Difference(
        where="QC.WAVECAL.INPUT1.NSATURATED in ARC_RED",
        here="not written",
        reference="left over from the first lamp",
        why="the manual has it in ARC_RED_LAMP",
        size="one keyword",
    ),
)
