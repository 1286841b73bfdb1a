"""Where a QC1 value was measured, as pages say it."""

from __future__ import annotations

from core.archive.models import PositionColumns, Qc1Parameter
from core.instruments.catalogue import qc1_definitions
from core.qc1.axes import Position, place_words

__all__ = ["place"]


def place(parameter: Qc1Parameter, row: PositionColumns | Position) -> str:
    """Position without the unit, which the page of its product tells: ``quadrant 1``; empty if that is all."""
    axes = qc1_definitions().axes(parameter.table_name, [parameter.column_name])
    numbers = Position(*(getattr(row, name) for name in Position._fields))
    return ", ".join(place_words((axis for axis in axes if axis.column != "unit"), numbers))
