"""How Euro3D tables and ESO's science data products differ from those of the reference pipeline 2.8.7; measured."""

from __future__ import annotations

from typing import Final

from core.recipes.declaration import Difference

__all__ = ["ARCHIVE_DIFFERENCES", "SPECTRA_DIFFERENCES", "STACKED_DIFFERENCES"]

SPECTRA_DIFFERENCES: Final = (
    Difference(
        where="format=Euro3D, xEuro3D: E3D_ADC, G_SIZE1, G_SIZE2, TUNIT12, TNULL11, G_PRESSU",
        here="E3D_ADC is T after a correction of refraction; sizes are in arcsec, as their unit says; errors have the "
        "unit of the data; no flag is NULL; the pressure is the mean of start and end",
        reference="E3D_ADC is always F; sizes are in deg; errors have the unit of variances; 0, a good value, is NULL; "
        "the pressure is that at the start",
        why="defects of the reference",
        size="sizes by 3600; the 3903 spectra of an IFU at 6290 to 6330 Angstrom, errors, flags and places are equal",
    ),
    Difference(
        where="format=Euro3D, xEuro3D with resample=nearest: voxels whose pixel is flagged",
        here="have no value: 0, with the flag of missing data; a spectrum begins after them",
        reference="keep value and flag of the pixel",
        why="a cube has NaN there, whatever its form",
        size="as many voxels as pixels are bad; none for other methods",
    ),
    Difference(
        where="format=Euro3D, xEuro3D: QC, images",
        here="QC of sources as with other forms; images have NaN where there is nothing; FILTER.FRACTION as in a cube",
        reference="no QC; 0 in images where there is nothing; one plane more counts for the fraction",
        why="the same cube in another form",
        size="FILTER.FRACTION 0.473 and 0.452 % for 17 planes; images equal to 1e-7 relative",
    ),
)
"""Differences of all recipes that write Euro3D tables."""

STACKED_DIFFERENCES: Final = (
    Difference(
        where="OBJECT_RESAMPLED of a whole exposure: cosmic rays that the cube finds",
        here="count",
        reference="do not count: they are flagged in the table before",
        why="a table is never changed",
        size="67 of 97131 pixels of an IFU at 6300 Angstrom are brighter here",
    ),
    Difference(
        where="OBJECT_RESAMPLED of a whole exposure",
        here="NaN where no pixel lies within 1.25 steps",
        reference="0 where no pixel lies within two lines; the mean of those that lie beyond 1.25 steps",
        why="a value that was not measured is none",
        size="16 of 12864 pixels have a value there only; all others equal",
    ),
)
"""Differences of recipes that write pictures of all spectra."""

ARCHIVE_DIFFERENCES: Final = (
    Difference(
        where="format=sdpCube: ABMAGLIM",
        here="sky is what lies below the most frequent value of the image; a field with gaps is smoothed without them",
        reference="the most frequent value is of a histogram with other bins; leaves a file fov_clean.fits behind",
        why="the bins are arbitrary",
        size="0.002, 0.017 and 0.04 mag in fields of 31 x 25 and 20 x 15 pixels, 0.31 mag in one of 300 x 14; all "
        "other keywords equal",
    ),
    Difference(
        where="format=sdpCube: PIXNOISE of shallow cubes",
        here="variances are counted up to 25, or as far as half of them lie",
        reference="variances above 25 do not count",
        why="what is most frequent must be counted",
        size="none where the median variance is below 25e-40; 9.7e-20 and 5.0e-20 in an IFU of 600 s at 6300 Angstrom",
    ),
)
"""Differences of all recipes that write science data products."""
