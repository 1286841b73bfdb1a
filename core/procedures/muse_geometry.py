"""QC procedure of mask sequences: the slices in the field of view, how regular they are, and the spots behind them."""

from __future__ import annotations

from pathlib import Path

from core.procedures.geometry import field_plot, ifus_plot, read_geometry, smoothing_plot
from core.procedures.model import PlotFile, Procedure, ProcedureInput
from core.procedures.pinholes import grid_plot, ifu_plot, read_spots, sharpness_plot

__all__ = ["PROCEDURE"]

_TABLE = ("GEOMETRY_TABLE", None)
_MEASURED = ("GEOMETRY_UNSMOOTHED", None)


def _of_all(block: ProcedureInput, folder: Path) -> list[PlotFile]:
    if _TABLE not in block.products:
        return []
    geometry = read_geometry(block.products[_TABLE])
    before = read_geometry(block.references[_TABLE]) if _TABLE in block.references else None
    measured = read_geometry(block.products.get(_MEASURED, block.products[_TABLE]))
    plots: list[PlotFile | None] = [
        field_plot(block, geometry, folder),
        smoothing_plot(block, measured, geometry, folder),
        ifus_plot(block, geometry, before, folder),
    ]
    spots = [read_spots(block.products["SPOTS_TABLE", unit], unit) for unit in block.units("SPOTS_TABLE")]
    if spots:
        plots += [grid_plot(block, geometry, measured, spots, folder), sharpness_plot(block, spots, folder)]
    return [plot for plot in plots if plot is not None]


def _of_ifu(block: ProcedureInput, unit: int, folder: Path) -> list[PlotFile]:
    if _TABLE not in block.products:
        return []
    return [ifu_plot(block, read_geometry(block.products[_TABLE]), unit, folder)]


PROCEDURE = Procedure("SPOTS_TABLE", _of_all, _of_ifu)
