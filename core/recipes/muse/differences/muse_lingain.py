"""How muse_lingain differs from the reference pipeline 2.8.7; measured by simulation."""

from __future__ import annotations

from typing import Final

from core.recipes.declaration import Difference

__all__ = ["DIFFERENCES"]

_DEFECT: Final = "defect of the reference"

DIFFERENCES: Final = (
    Difference(
        where="QC.LINGAIN.OUTn.GAIN",
        here="the variance of the read-out that is subtracted is that of the port",
        reference="subtracts one read-out noise of all four ports together",
        why=_DEFECT,
        size="9e-5 of the gain if ports have equal noise, 0.5 % of one with 20 % more, 1e-8 with that of all ports",
    ),
    Difference(
        where="QC.LINGAIN.OUTn.GAIN",
        here="a window that is far noisier than the others in the biases gives no value",
        reference="counts it as a gain of 0",
        why=_DEFECT,
        size="none where no window is noisier by five standard deviations",
    ),
    Difference(
        where="QC.LINGAIN.OUTn of a port with gains in fewer than three bins",
        here="left out, and DET.OUTn.GAIN and CONAD stay those of the raw frames, with a warning",
        reference="writes 0 into all of them",
        why="the mark of an invalid port is overwritten in the reference; a gain of 0 is of no use to any recipe",
        size="no results to compare",
    ),
    Difference(
        where="LINGAIN_LAMP_OFF, LINGAIN_LAMP_ON",
        here="the tag says what is a bias and what a flat; biases without a partner do no harm",
        reference="goes by DPR.TYPE, ends in a crash without it, and with an error for an odd number of biases",
        why=_DEFECT,
        size="no results to compare",
    ),
    Difference(
        where="pairs of frames",
        here="the first two biases in time; neighbours whose exposure times differ by more than 0.1 s are no pair",
        reference="takes the frame after the first bias in the set of frames, even a flat; never finds a difference",
        why=_DEFECT,
        size="none for frames in the order of time, two of each exposure time",
    ),
)
