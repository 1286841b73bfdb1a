"""The QC procedures by recipe: after a block is reduced, its pictures are made, those of the units side by side."""

from __future__ import annotations

import multiprocessing as mp
import traceback
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from pkgutil import resolve_name
from typing import Final

from core.instruments.registry import instruments
from core.procedures.model import PlotFile, Procedure, ProcedureInput
from core.processes import die_with_parent
from core.recipes.registry import named_in

__all__ = ["ENVIRONMENT", "Pictures", "make_plots", "procedure_of"]

ENVIRONMENT: Final = "CASCADE_PROCEDURES"  # further ones, name=module:PROCEDURE, as `core.recipes.registry` has recipes


@dataclass(frozen=True)
class Pictures:
    """The pictures of a block: first those of all units, then unit by unit; and why some could not be made."""

    plots: tuple[PlotFile, ...] = ()
    missing: tuple[str, ...] = ()


@cache
def procedure_of(recipe: str) -> Procedure | None:
    """The procedure that an instrument declares for a recipe, or the environment names; None if there is none.

    Raises
    ------
    TypeError
        If what is declared is no procedure.
    """
    declared = {name: reference for item in instruments() for name, reference in item.procedures.items()}
    reference = (declared | named_in(ENVIRONMENT)).get(recipe)
    if reference is None:
        return None
    procedure = resolve_name(reference)
    if not isinstance(procedure, Procedure):
        raise TypeError(f"{reference} is no Procedure")
    return procedure


def make_plots(block: ProcedureInput, folder: Path, processes: int = 1) -> Pictures:
    """Pictures of a block; none if its recipe has no procedure.

    What goes wrong with the pictures of one unit is told, and takes nothing from the others.

    Parameters
    ----------
    block : ProcedureInput
    folder : pathlib.Path
        Existing directory for the PNG files.
    processes : int
        How many may be drawn at once.
    """
    procedure = procedure_of(block.recipe)
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
                    drawn.append(([], f"{_name(block, part)}: the process that drew them died"))
    return Pictures(
        plots=tuple(plot for plots, _ in drawn for plot in plots), missing=tuple(error for _, error in drawn if error)
    )


def _draw(block: ProcedureInput, folder: Path, unit: int | None) -> tuple[list[PlotFile], str]:
    """Pictures of a unit or, if that is None, of all; and what went wrong."""
    procedure = procedure_of(block.recipe)
    assert procedure is not None  # `make_plots` asked
    try:
        return (procedure.of_all(block, folder) if unit is None else procedure.of_unit(block, unit, folder)), ""
    except Exception as error:
        traceback.print_exc()
        return [], f"{_name(block, unit)}: {type(error).__name__}: {error}"


def _name(block: ProcedureInput, unit: int | None) -> str:
    words = next(item.units for item in instruments() if block.recipe in item.procedures)
    return f"all {words.words}" if unit is None else words.named([unit])
