"""Where a QC1 value was measured, as pages say it."""

from __future__ import annotations

from typing import Final

from core.archive.models import PositionColumns, Qc1Parameter
from core.archive.pages.blocks import Outlier
from core.instruments.catalogue import qc1_definitions
from core.qc1.axes import Position, place_words

__all__ = ["place", "whereabouts"]

_UNITS_SHOWN: Final = 8


def place(parameter: Qc1Parameter, row: PositionColumns | Position) -> str:
    """Position without the unit, which the page of its product tells: ``quadrant 1``; empty if that is all."""
    axes = qc1_definitions().axes(parameter.table_name, [parameter.column_name])
    numbers = Position(*(getattr(row, name) for name in Position._fields))
    return ", ".join(place_words((axis for axis in axes if axis.column != "unit"), numbers))


def whereabouts(found: Outlier) -> str:
    """Where the outliers of a parameter are: ``IFU 3, quadrant 1``, or ``IFUs 1, 3, 7`` if there are several."""
    word = found.block.unit_words
    units = sorted({position.unit for position in found.positions if position.unit})
    if len(found.positions) == 1 and units:
        rest = place(found.parameter, found.worst)
        return f"{word.word} {units[0]}" + (f", {rest}" if rest else "")
    if not units:
        return place(found.parameter, found.worst) or "whole instrument"
    shown = ", ".join(map(str, units[:_UNITS_SHOWN])) + (" …" if len(units) > _UNITS_SHOWN else "")
    return f"{word.word if len(units) == 1 else word.words} {shown}"
