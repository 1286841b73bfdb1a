"""The QC procedures by recipe: after a block is reduced, its pictures are made, those of the IFUs side by side."""

from __future__ import annotations

import multiprocessing as mp
import traceback
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from core.procedures import muse_arc, muse_bias, muse_dark, muse_lampflat
from core.procedures.model import PlotFile, Procedure, ProcedureInput
from core.processes import die_with_parent

__all__ = ["PROCEDURES", "Pictures", "make_plots"]

PROCEDURES: Final[Mapping[str, Procedure]] = {
    "muse_bias": muse_bias.PROCEDURE,
    "muse_dark": muse_dark.PROCEDURE,
    "muse_flat": muse_lampflat.PROCEDURE,
    "muse_wavecal": muse_arc.PROCEDURE,
}


@dataclass(frozen=True)
class Pictures:
    """The pictures of a block: first those of all IFUs, then IFU by IFU; and why some could not be made."""

    plots: tuple[PlotFile, ...] = ()
    missing: tuple[str, ...] = ()


def make_plots(block: ProcedureInput, folder: Path, processes: int = 1) -> Pictures:
    """Pictures of a block; none if its recipe has no procedure.

    What goes wrong with the pictures of one IFU is told, and takes nothing from the others.

    Parameters
    ----------
    block : ProcedureInput
    folder : pathlib.Path
        Existing directory for the PNG files.
    processes : int
        How many may be drawn at once.
    """
    procedure = PROCEDURES.get(block.recipe)
    if procedure is None:
        return Pictures()
    parts: list[int | None] = [None, *block.units(procedure.tag)]
    if processes == 1 or len(parts) == 2:
        drawn = [_draw(block, folder, part) for part in parts]
    else:
        # Forked, so that matplotlib is there at once.
        with ProcessPoolExecutor(
            min(processes, len(parts)), mp_context=mp.get_context("fork"), initializer=die_with_parent
        ) as pool:
            futures = [pool.submit(_draw, block, folder, part) for part in parts]
            drawn = []
            for future, part in zip(futures, parts, strict=True):
                try:
                    drawn.append(future.result())
                except BrokenProcessPool:
                    drawn.append(([], f"{_name(part)}: the process that drew them died"))
    return Pictures(
        plots=tuple(plot for plots, _ in drawn for plot in plots), missing=tuple(error for _, error in drawn if error)
    )


def _draw(block: ProcedureInput, folder: Path, unit: int | None) -> tuple[list[PlotFile], str]:
    """Pictures of an IFU or, if that is None, of all; and what went wrong."""
    procedure = PROCEDURES[block.recipe]
    try:
        return (procedure.of_all(block, folder) if unit is None else procedure.of_unit(block, unit, folder)), ""
    except Exception as error:
        traceback.print_exc()
        return [], f"{_name(unit)}: {type(error).__name__}: {error}"


def _name(unit: int | None) -> str:
    return "all IFUs" if unit is None else f"IFU {unit}"
