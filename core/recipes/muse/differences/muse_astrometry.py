"""How muse_astrometry differs from the reference pipeline 2.8.7, and both from the manual.

Sizes are those of a simulated field of 160 stars over the whole wide field, some of which lie close together.
"""

from __future__ import annotations

from typing import Final

from core.recipes.declaration import Difference, ManualNote
from core.recipes.muse.differences.scipost_steps import FLUX_DIFFERENCES, REFRACTION_DIFFERENCES

__all__ = ["DIFFERENCES", "MANUAL_NOTES"]

MANUAL_NOTES: Final = (
    ManualNote(
        where="detsigma, radius, faccuracy",
        manual="-3, 5, 5: triangles, at the best level of detection",
        here="1.5, 3, 0: a pattern that is hardly turned, as in the reference",
    ),
    ManualNote(
        where="ASTROMETRY_WCS",
        manual="a bare header",
        here="a header, and the stars in a table ASTROMETRY_SOURCES, as in the reference",
    ),
)
DIFFERENCES: Final = (
    *REFRACTION_DIFFERENCES,
    *FLUX_DIFFERENCES,
    Difference(
        where="centroid=moffat, gaussian",
        here="position, flux and widths of a star are fitted together",
        reference="first the position, with the flux of the aperture, background and neighbours included",
        why="a profile that is too bright fits best beside the star",
        size="stars are off by 0.014 pix instead of 0.065 pix, MEDRES is 0.003 arcsec instead of 0.012 arcsec, pixels "
        "in the corners of the field by 0.002 arcsec instead of 0.007 arcsec; stars without neighbours agree to 0.001 "
        "pix",
    ),
    Difference(
        where="CRVAL of ASTROMETRY_WCS",
        here="pixels are counted from the middle of the field, as they are when the solution is used",
        reference="from the corner of the image: CRVAL lies there, and the matrix is that of the middle",
        why="reference pixel, place and matrix belong together",
        size="CRVAL by half the field, which no recipe reads; the matrix of the same stars agrees to 0.0002 arcsec in "
        "the corners of the field, MEDRES to 3e-6, where the same stars are clipped",
    ),
    Difference(
        where="faccuracy=0",
        here="pairs of stars vote for a shift",
        reference="quadruples of stars of the same shape are looked for",
        why="faster, and does not depend on the order in which quadruples are found",
        size="the same stars",
    ),
    Difference(
        where="faccuracy > 0",
        here="all triangles of the brightest stars that have the same shape are tried",
        reference="triangles as CPL matches them",
        why="robust in crowded fields",
        size="80 stars with faccuracy=5 and radius=5, where the reference identifies none of its 79 detections",
    ),
    Difference(
        where="stars that are narrower than a pixel",
        here="are none",
        reference="are taken",
        why="they are bad pixels",
        size="none where there are no such pixels",
    ),
    Difference(
        where="ASTROMETRY_DETECTION_STAT",
        here="variance of the median of three planes, 0.45 of theirs",
        reference="about that of one plane",
        why="defect of the reference",
        size="a factor of 2.2; XERR and YERR by 1.5",
    ),
    Difference(
        where="an exposure whose stars are not those of the reference",
        here="ends the recipe",
        reference="gives the cube, but no solution, with an error message",
        why="what cannot be calibrated is told",
        size="no results to compare",
    ),
)
