"""What the notch filter for the sodium laser takes out counts, where its depth is to be measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from core.fitsfile.header import Header
from core.formats.pixtable_read import PixelTable
from core.instruments.muse.facts import Dq
from core.recipes.muse.steps.table import Columns, CorrectedTable, RowStep

__all__ = ["without_notch_flag"]


@dataclass(frozen=True)
class _NotchStep(RowStep):
    changes: ClassVar = ("dq",)
    needs: ClassVar = ("dq",)

    def apply(self, columns: Columns) -> Columns:
        return {"dq": columns["dq"] & np.int32(~int(Dq.NOTCH_NAD))}

    def describe(self, header: Header) -> None:
        """Nothing is said."""


def without_notch_flag(table: PixelTable) -> PixelTable:
    """A table whose rows are not flagged for being in the notch."""
    return CorrectedTable.of(table, _NotchStep())
