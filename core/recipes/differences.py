"""How all recipes differ from the reference pipeline in what they take and how they sign what they make."""

from __future__ import annotations

from typing import Final

from core.recipes.declaration import Difference

__all__ = ["DIFFERENCES_OF_ALL"]

_ROBUST: Final = "one wrong line of a set of frames neither stops the others nor changes a result unseen"

DIFFERENCES_OF_ALL: Final = (
    Difference(
        where="a raw frame given twice",
        here="counts once, with a warning",
        reference="is combined as two exposures; DATANCOM counts it once",
        why=_ROBUST,
        size="one of three biases given twice: STAT 1.08 instead of 1.44 adu**2",
    ),
    Difference(
        where="raw frames of another INS.MODE",
        here="are left out with a warning where there is light: the mode of the first frame counts",
        reference="compares the modes of raw frames with that of a MASTER_FLAT only",
        why=_ROBUST,
        size="none where all frames have one mode",
    ),
    Difference(
        where="a raw frame without the extension that is reduced",
        here="is skipped with a warning that says so, before the number of frames is judged",
        reference="is dropped for a different chip set-up; the combination may then have too few frames",
        why=_ROBUST,
        size="none where enough frames are left",
    ),
    Difference(
        where="several masters of one tag",
        here="the first that holds the unit is taken, and that there are others is told",
        reference="exactly one is required",
        why=_ROBUST,
        size="no results to compare",
    ),
    Difference(
        where="DATAMD5",
        here="MD5 of all data units as they are in the file, padding included: any program can verify it",
        reference="another value: not the MD5 of the data units of its file",
        why="a signature must be verifiable",
        size="one keyword, and PRO.REC1.CALi.DATAMD5 of what is made with it",
    ),
)
