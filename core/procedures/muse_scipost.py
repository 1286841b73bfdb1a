"""QC procedure of science exposures: the sky that was taken off, the cube, and what is left of the sky."""

from __future__ import annotations

from pathlib import Path

from core.procedures.cubes import cube_pictures
from core.procedures.model import PlotFile, Procedure, ProcedureInput
from core.procedures.skyspectra import sky_pictures

__all__ = ["PROCEDURE"]

_CUBE = "DATACUBE_FINAL"


def _of_all(block: ProcedureInput, folder: Path) -> list[PlotFile]:
    sky = sky_pictures(block, folder, "sky")
    if (_CUBE, None) not in block.products:
        return sky
    cube = block.products[_CUBE, None]
    return [*cube_pictures(block, cube, "QC.SCIPOST", folder, "cube", residuals=True), *sky]


def _of_ifu(block: ProcedureInput, unit: int, folder: Path) -> list[PlotFile]:
    return []


PROCEDURE = Procedure(_CUBE, _of_all, _of_ifu)
