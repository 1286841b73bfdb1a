"""How muse_flat differs from the reference pipeline 2.8.7, and both from the manual; measured by simulation."""

from __future__ import annotations

from typing import Final

from core.recipes.declaration import Difference, ManualNote
from core.recipes.muse.differences.common import COMMON_DIFFERENCES, MASTER_BIAS_NOTES

__all__ = ["DIFFERENCES", "MANUAL_NOTES"]

MANUAL_NOTES: Final = (
    *MASTER_BIAS_NOTES,
    ManualNote(
        where="QC.FLAT.INPUTi",
        manual="statistics of the raw flats",
        here="statistics of the flats after bias, gain and scaling; only NSATURATED counts raw pixels",
    ),
)

DIFFERENCES: Final = (
    *COMMON_DIFFERENCES,
    Difference(
        where="TRACE_TABLE, edges after rejections",
        here="points rejected from the fit of the centre take their widths with them",
        reference="the list of widths gets out of step",
        why="defect of the reference",
        size="0.003 pix rms over all slices, at most 0.02 pix, on both edges of a flat of 5 frames; centres agree",
    ),
    Difference(
        where="TRACE_TABLE, bright column beside an edge",
        here="points that the column spoils are measured again, or left out",
        reference="follows the column, or ends without a trace table",
        why="a hot column costs no slice",
        size="a column of 40 % of the flux, 2 pix beside a slice in 60 % of the rows: its left edge is 0.4 pix rms "
        "from the truth, that of the reference 12 pix; other slices agree",
    ),
    Difference(
        where="TRACE_TABLE, slice without light",
        here="the slice is reported and has no trace, the other 47 do",
        reference="ends without a trace table",
        why="defect of the reference",
        size="no table of the reference to compare",
    ),
    Difference(
        where="TRACE_TABLE, flagged columns across an edge",
        here="the pixels themselves are measured where that gives the width that the other slices suggest",
        reference="neighbours of the flagged pixels stand in for them, which moves the edge",
        why="cosmic rays in three biases flag good columns",
        size="seven flagged columns across an edge in 60 % of the rows: that edge is 0.004 pix rms from the truth, "
        "that of the reference 1.6 pix; up to 3 pix in some slices with three biases, none with eleven",
    ),
    Difference(
        where="TRACE_TABLE, a flagged column on the slope of an edge",
        here="the edge follows the opposite one, by the width that the slice has in other rows",
        reference="neighbours of the flagged pixels stand in for them, which moves the edge",
        why="the width of a slice is known; the place of every pixel in the field depends on its edges",
        size="a column flagged in 40 % of the rows: that edge is 0.001 pix from the truth, up to 0.15 pix without; "
        "edges of all slices with three biases, whose cosmic rays flag columns: 0.011 pix rms instead of 0.024",
    ),
    Difference(
        where="TRACE_TABLE, polynomials that run away",
        here="the slice has no trace",
        reference="keeps it",
        why="such a slice is broken",
        size="a slice measured in 56 rows of 1028: widths of -2e5 .. 2e5 pix in the table of the reference",
    ),
)
