"""QC procedure of combined exposures: the cube, its sources, and what is left of the sky."""

from __future__ import annotations

from pathlib import Path

from core.procedures.cubes import cube_pictures
from core.procedures.model import PlotFile, Procedure, ProcedureInput

__all__ = ["PROCEDURE"]

_CUBE = "DATACUBE_FINAL"


def _of_all(block: ProcedureInput, folder: Path) -> list[PlotFile]:
    if (_CUBE, None) not in block.products:
        return []
    return cube_pictures(block, block.products[_CUBE, None], "QC.EXPCOMB", folder, "cube", residuals=True)


def _of_ifu(block: ProcedureInput, unit: int, folder: Path) -> list[PlotFile]:
    return []


PROCEDURE = Procedure(_CUBE, _of_all, _of_ifu)
