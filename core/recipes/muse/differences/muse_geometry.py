"""How muse_geometry differs from the reference pipeline 2.8.7, and both from the manual; measured by simulation.

Sizes of the geometry are those of three IFUs, 52 exposures and 6 arc lines, where the reference was given our spots.
"""

from __future__ import annotations

from typing import Final

from core.recipes.declaration import Difference, ManualNote
from core.recipes.muse.differences.common import COMMON_DIFFERENCES, MASTER_BIAS_NOTES

__all__ = ["DIFFERENCES", "MANUAL_NOTES"]

MANUAL_NOTES: Final = (
    *MASTER_BIAS_NOTES,
    ManualNote(
        where="GEOMETRY_TABLE",
        manual="columns x, y, angle and width",
        here="xerr, yerr, angleerr and widtherr besides, which muse_geo_smooth needs",
    ),
    ManualNote(
        where="GEOMETRY_UNSMOOTHED",
        manual="always a product",
        here="only if smooth is positive",
    ),
    ManualNote(
        where="smooth",
        manual="1.5 by default, for a more regular appearance of the table",
        here="the same: a slice that truly stands off the straight line through its stack is put on it, too. In the "
        "simulated field, whose slices scatter by 0.008 pix and deg, and 0.03 pix in width, a perfect measurement "
        "loses 0.018 pix rms in x (at most 0.12), 0.005 pix in y (0.024), 0.005 deg (0.033) and 0.02 pix in width "
        "(0.11); with 3 one slice of 1152 is moved at most. GEOMETRY_UNSMOOTHED has what was measured",
    ),
    ManualNote(
        where="QC.GEO.TABLE.NBAD",
        manual="not listed",
        here="number of values of x, y, width and angle that are not known",
    ),
)

DIFFERENCES: Final = (
    *COMMON_DIFFERENCES,
    Difference(
        where="savereduced",
        here="with savereduced=false, MASK_REDUCED is not saved",
        reference="always saves it",
        why="a sequence of 50 exposures has 240 GB of them",
        size="no other product differs",
    ),
    Difference(
        where="SPOTS_TABLE, flux and bg",
        here="the background is the median of the ring around the window of a spot",
        reference="the background is the mean of a window with the spot in it",
        why="defect of the reference",
        size="a compact spot has 2.16 times the flux of the reference, in QC.GEO.IFUm.WLENl.FLUX, too; limits of flux "
        "are twice those of the reference",
    ),
    Difference(
        where="SPOTS_TABLE, exposures without light",
        here="the centre is where the spot was found, the widths are 0",
        reference="fits what is there",
        why="noise has no centre",
        size="none in the geometry: their flux has no weight",
    ),
    Difference(
        where="SPOTS_TABLE, arc lines",
        here="all rows of the LINE_CATALOG are judged alike",
        reference="its last row is never dropped",
        why="defect of the reference",
        size="one faint line more of 27 with our LINE_CATALOG",
    ),
    Difference(
        where="GEOMETRY_TABLE, x of IFUs against each other",
        here="what the widths of the slices at the rims say of their centres is taken into account",
        reference="takes all rows of an IFU as centred alike, and the width of another slice",
        why="defect of the reference",
        size="an IFU is off by 0.04 and 0.07 pix against the one before it in the reference, by less than 0.01 pix "
        "here; the errors add up over the field. Within an IFU, x agrees to 0.01 pix",
    ),
    Difference(
        where="GEOMETRY_TABLE, means over arc lines",
        here="the typical error is added to that of each line, and the scatter is corrected for what was cut off",
        reference="a line whose three spots are evenly spaced by chance decides; the errors leave out the scatter",
        why="defect of the reference",
        size="width at most 0.02 pix, angle at most 0.002 deg; errors 2 to 4 times larger",
    ),
    Difference(
        where="GEOMETRY_TABLE, y of first and last slice of an IFU",
        here="they are moved outwards if they are closer by three times the scatter of the distances",
        reference="moves them if they are closer by more than the error of the distances",
        why="slices are not spaced evenly",
        size="reference at most 0.017 pix from the truth, here 0.002 pix",
    ),
    Difference(
        where="GEOMETRY_TABLE, missing slices and IFUs",
        here="each slice is brought to where it must be after the one below, however far that is",
        reference="the distance over a missing IFU has the wrong sign",
        why="defect of the reference",
        size="none with all IFUs",
    ),
    Difference(
        where="QC.GEO.GAPPOS, QC.GEO.IFUm.GAPPOS, QC.GEO.SMOOTH",
        here="follow from the table",
        reference="follow from its table, whose IFUs and rims are off (above)",
        why="defect of the reference",
        size="MEAN of an IFU by up to 0.035 pix, as its x; of the slices smoothed in x 15 against 11 of 96",
    ),
    Difference(
        where="QC.GEO.EXPk.FWHM.STDEV",
        here="of all spots whose flux is above 2000, which is twice that of the reference",
        reference="of those above 1000 of its flux",
        why="the flux, above; a few fits to faint spots decide",
        size="0.07 to 7 times; MEAN agrees to 0.8 % and MEDIAN to 0.14 %",
    ),
    Difference(
        where="QC.GEO.IFUm.ANGLE",
        here="in degrees of the field, like QC.GEO.MASK.ANGLE",
        reference="as the encoder of the mask has it",
        why="the scale of the encoder is known from the pinholes",
        size="7 % of the angle",
    ),
    Difference(
        where="QC.GEO.IFUm.WLENl.FLUX",
        here="not written if no slice shows the line",
        reference="set to the number of the line",
        why="defect of the reference",
        size="only where there is nothing to compare",
    ),
    Difference(
        where="MUSE_GEOMETRY_STD_GAP, MUSE_GEOMETRY_MASK_ROTATION",
        here="the offsets of both slices count from the right side; angles by the pitch of the rotated mask",
        reference="the offsets have the wrong sign; angles by a pitch that is too small",
        why="defect of the reference",
        size="not measured; none without these variables",
    ),
)
