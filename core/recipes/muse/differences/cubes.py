"""How cubes differ from those of the reference pipeline 2.8.7, whatever recipe makes them; measured by simulation."""

from __future__ import annotations

from typing import Final

from core.recipes.declaration import Difference

__all__ = ["CUBE_DIFFERENCES"]

CUBE_DIFFERENCES: Final = (
    Difference(
        where="pixels outside the grid of a cube",
        here="count as in a larger cube: by their distance, for the voxels within ld of them",
        reference="are moved into the nearest cell at the border, where they count for other voxels too, and as "
        "neighbours of cosmic rays",
        why="a part of a cube is the part of the whole",
        size="none with limits of full precision, and none for drizzle and lanczos but by cosmic rays; where the "
        "header rounds right ascensions to 0.0001 deg, 1800 of 700000 pixels lie outside, and the last four columns "
        "of linear with ld=2 differ by up to 0.1 relative",
    ),
    Difference(
        where="resample=nearest with a table on the sky",
        here="the nearest pixel of a cell is taken",
        reference="measures distances with the wrong sign of CRVAL: any pixel of the cell is taken",
        why="defect of the reference",
        size="36000 voxels of a field of 700000 pixels turned by 30 deg; none in pixels",
    ),
    Difference(
        where="a pixel without flag whose value or variance is no number",
        here="is bad",
        reference="makes all voxels around it bad",
        why="what is not known does not count",
        size="none where all pixels are numbers",
    ),
    Difference(
        where="an OUTPUT_WCS that is turned against north",
        here="pixels and voxels are compared along the axes of the cube, with their true sizes",
        reference="along north and east, with CD1_1 and CD2_2 as sizes of a voxel, 0 at 90 deg",
        why="defect of the reference",
        size="none where north is up, nor ever for linear and quadratic; turned by 29 deg, 3700 of 10000 voxels of "
        "drizzle change",
    ),
    Difference(
        where="an OUTPUT_WCS without data, without CUNIT3, or with an axis 3 that is tilted",
        here="without data it is taken, with the size that the data need; without CUNIT3 wavelengths are in Angstrom; "
        "one that is tilted is refused, with a warning",
        reference="without data it is not taken; without CUNIT3 wavelengths are in m; one that is tilted is taken",
        why="what can only be meant so",
        size="cubes of the same grids are equal, or as above: AWAV, AWAV-LOG, WAVE, WAVE-LOG, units, CDELT",
    ),
    Difference(
        where="resample=lanczos where positive and negative weights cancel",
        here="positions in the plane of the sky are computed directly",
        reference="by way of native angles, which rounds",
        why="rounding",
        size="above 1e-6 relative in 20 of 900000 voxels with ld=3, 2e-5 of their errors; 2e-7 elsewhere and for all "
        "methods",
    ),
    Difference(
        where="QC of sources, POSk and FWHMk",
        here="positions are centroids; none are written if there is no source",
        reference="rounds positions to whole pixels; writes a source 0 at -1 if there is none",
        why="the manual says position",
        size="up to half a pixel",
    ),
    Difference(
        where="an OUTPUT_WCS without axes",
        here="a header alone is taken",
        reference="refuses it, with a warning: the grid is that of the data",
        why="it says all that is asked of it",
        size="the whole grid",
    ),
    Difference(
        where="QC of IMAGE_FOV",
        here="QC parameters of sources stand in the cube",
        reference="in each of its images, too",
        why="they were measured in the cube",
        size="none: the same numbers twice",
    ),
)
