"""The QC procedures by recipe: after a block is reduced, its pictures are made, those of the units side by side."""

from __future__ import annotations

import multiprocessing as mp
import os
import traceback
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
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


_ROUNDS: Final = 10  # of drawing: more than chance kills one after the other


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
        drawn = _draw_side_by_side(block, folder, parts, processes)
    return Pictures(
        plots=tuple(plot for plots, _ in drawn for plot in plots), missing=tuple(error for _, error in drawn if error)
    )


def _draw_side_by_side(
    block: ProcedureInput, folder: Path, parts: Sequence[int | None], processes: int
) -> list[tuple[list[PlotFile], str]]:
    """As `_draw` for each part; what is lost with a process that died is drawn again."""
    drawn: dict[int | None, tuple[list[PlotFile], str]] = {}
    for _ in range(_ROUNDS):
        todo = [part for part in parts if part not in drawn]
        if not todo:
            break
        # Forked, so that matplotlib is there at once.
        with ProcessPoolExecutor(
            min(processes, len(todo)),
            mp_context=mp.get_context("fork"),
            initializer=die_with_parent,
            initargs=(os.getpid(),),
        ) as pool:
            futures = {part: _submitted(pool, block, folder, part) for part in todo}
            for part, future in futures.items():
                try:
                    if future is not None:
                        drawn[part] = future.result()
                except BrokenProcessPool:
                    continue
    died = "the process that drew them died"
    return [drawn.get(part, ([], f"{_name(block, part)}: {died}")) for part in parts]


def _submitted(
    pool: ProcessPoolExecutor, block: ProcedureInput, folder: Path, part: int | None
) -> Future[tuple[list[PlotFile], str]] | None:
    """A part in work; None if a process of the pool has died already."""
    try:
        return pool.submit(_draw, block, folder, part)
    except BrokenProcessPool:
        return None


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
