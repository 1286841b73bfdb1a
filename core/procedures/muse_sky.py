"""QC procedure of exposures of the sky: where it was taken, its spectrum, continuum and lines."""

from __future__ import annotations

from pathlib import Path

from core.procedures.model import PlotFile, Procedure, ProcedureInput
from core.procedures.skyspectra import sky_pictures

__all__ = ["PROCEDURE"]


def _of_all(block: ProcedureInput, folder: Path) -> list[PlotFile]:
    return sky_pictures(block, folder, "sky")


def _of_ifu(block: ProcedureInput, unit: int, folder: Path) -> list[PlotFile]:
    return []


PROCEDURE = Procedure("SKY_SPECTRUM", _of_all, _of_ifu)
