"""The QC procedures by recipe: after a block is done, its pictures are made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from core.procedures import muse_arc, muse_bias, muse_dark, muse_lampflat
from core.procedures.model import PlotFile, ProcedureInput

__all__ = ["PROCEDURES", "make_plots"]

PROCEDURES: Mapping[str, Callable[[ProcedureInput, Path], list[PlotFile]]] = {
    "muse_bias": muse_bias.make_plots,
    "muse_dark": muse_dark.make_plots,
    "muse_flat": muse_lampflat.make_plots,
    "muse_wavecal": muse_arc.make_plots,
}


def make_plots(block: ProcedureInput, folder: Path) -> list[PlotFile]:
    """Pictures of a finished block; none if its recipe has no procedure.

    Parameters
    ----------
    block : ProcedureInput
    folder : pathlib.Path
        Existing directory for the PNG files.
    """
    procedure = PROCEDURES.get(block.recipe)
    return procedure(block, folder) if procedure is not None else []
