"""How muse_standard differs from the reference pipeline 2.8.7, and both from the manual; measured by a simulated star.

The fluxes of circles, and all that is made of them, are those of the reference to 1e-12 mag.
"""

from __future__ import annotations

from typing import Final

from core.recipes.declaration import Difference, ManualNote

__all__ = ["DIFFERENCES", "MANUAL_NOTES"]

MANUAL_NOTES: Final = (
    ManualNote(where="profile", manual="without smoffat and auto", here="both can be asked for, as in the reference"),
    ManualNote(
        where="STD_RESPONSE",
        manual="has three columns",
        here="also what was before smoothing, and the throughput, as in the reference",
    ),
)
DIFFERENCES: Final = (
    Difference(
        where="profile",
        here="moffat unless told otherwise, as in the manual",
        reference="auto",
        why="the manual",
        size="in the wide field, with the fits of here, below 1e-4 of the flux; those of the reference differ by 0.7 %",
    ),
    Difference(
        where="STAT of STD_FLUXES, and resperr",
        here="variances of the fluxes",
        reference="has the errors of the fluxes there, and takes them for variances later",
        why="defect of the reference",
        size="STAT is the square root of what it is here; resperr before smoothing is 0.93 times that for a star of "
        "6e5 counts in a bin",
    ),
    Difference(
        where="select=distance",
        here="the star nearest to the coordinates of the STD_FLUX_TABLE is taken",
        reference="that nearest to the coordinates of the exposure",
        why="the manual; the telescope need not point at the star",
        size="none with one star in the field",
    ),
    Difference(
        where="several STD_FLUX_TABLE",
        here="the nearest star of all of them is taken",
        reference="fails, although its frame definition allows for several",
        why="the manual",
        size="no results to compare",
    ),
    Difference(
        where="smooth, where no row lies outside the smoothed wavelengths",
        here="windows of medians and means are as wide to either side at the ends of the response",
        reference="windows reach to one side there; with other limits they are as here",
        why="a slope stays what it is",
        size="half of 15 Angstrom times the slope, within 15 Angstrom of 4150 and 9800 Angstrom",
    ),
    Difference(
        where="smooth=ppoly, where the number of neighbours jumps",
        here="nothing is left out",
        reference="leaves out rows around such a place if the curve is rough there",
        why="rows 1.25 Angstrom apart, as they always are, have no such place",
        size="none",
    ),
    Difference(
        where="QC.STANDARD.THRU6000",
        here="is written unless the notch filter is in the beam",
        reference="is never written",
        why="the manual",
        size="one keyword",
    ),
    Difference(
        where="QC.STANDARD.ZP",
        here="integrals over wavelength",
        reference="sums over the rows of the response, whatever their distance",
        why="extrapolated rows are 5 Angstrom apart, others 1.25",
        size="below 1e-4 mag for filters within the wavelengths that were measured",
    ),
    Difference(
        where="profile fits",
        here="converge to 1e-8",
        reference="end when five steps change the sum of squares by less than 0.01",
        why="a fit is done when nothing changes any more",
        size="for a Moffat star of 6e5 counts in a bin, fluxes of moffat and smoffat are true to 4e-5 here; those of "
        "the reference are too large by 3.4 and 2.7 %, up to 34 times the errors, and the response by 0.036 and "
        "0.029 mag",
    ),
    Difference(
        where="reference width in the narrow field",
        here="the seeing, but for profile=gaussian",
        reference="the width of the star is taken where a loop of the adaptive optics is open",
        why="no exposure in the narrow field is of use with open loops",
        size="none with closed loops",
    ),
    Difference(
        where="DRS.MUSE.FLUX.OBJn.RA and DEC",
        here="the middle of the field is where the telescope looked",
        reference="the pixel beyond it",
        why="defect of the reference",
        size="one pixel in x and in y, 0.2 arcsec",
    ),
)
