"""The columns in which QC1 values leave the service: what each means, for people and for programs.

One table for CSV, FITS and VOTable. Texts are as wide as the longest one, missing numbers are declared as such.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from core.qc1.axes import Position
from service.series import SeriesAnswer

__all__ = ["CHUNK_ROWS", "ExportColumn", "chunks", "export_columns"]

CHUNK_ROWS: Final = 8192
_MJD_OF_UNIX: Final = 40587.0
_MS_PER_DAY: Final = 86_400_000.0


@dataclass(frozen=True)
class ExportColumn:
    """One column.

    Attributes
    ----------
    name : str
    dtype : numpy.dtype
        ``S<n>``, ``f8``, ``i2``, ``i4``, ``i8`` or ``?``.
    unit : str
        As the recipes declare it; empty if it has none.
    ucd, utype : str
        Of the IVOA.
    description : str
    of_rows : callable
        Its values from rows (`core.archive.pages.qc1_rows.ROW`); missing ones are `NO_NUMBER`, or NaN.
    """

    name: str
    dtype: np.dtype[Any]
    unit: str
    ucd: str
    utype: str
    description: str
    of_rows: Callable[[np.ndarray], np.ndarray]

    @property
    def nullable(self) -> bool:
        """Whether `NO_NUMBER` stands for a missing one."""
        return self.dtype.kind == "i"


def export_columns(answer: SeriesAnswer) -> tuple[ExportColumn, ...]:
    """The columns of an answer."""
    names = [item.column for item in answer.selections]
    units = [item.parameter.unit for item in answer.selections]
    unit = units[0] if len(set(units)) == 1 else ""
    blocks = list(answer.blocks.values())
    numbers = np.array([block.id for block in blocks], np.int64)
    order = np.argsort(numbers)

    def of_block(rows: np.ndarray) -> np.ndarray:
        return order[np.searchsorted(numbers, rows["block"], sorter=order)]

    def text(
        name: str, texts: Sequence[str], place: Callable[[np.ndarray], np.ndarray], ucd: str, utype: str, words: str
    ) -> ExportColumn:
        known = np.array([item.encode("ascii", "replace") for item in (*texts, "")])  # -1, the last one, is no text
        return ExportColumn(name, known.dtype, "", ucd, utype, words, lambda rows: known[place(rows)])

    def plain(name: str, kind: str, ucd: str, utype: str, words: str, source: str = "", unit: str = "") -> ExportColumn:
        return ExportColumn(name, np.dtype(kind), unit, ucd, utype, words, lambda rows: rows[source or name])

    of_selection = _field("selection")
    time = "obscore:Char.TimeAxis.Coverage.Bounds.Limits.StartTime"
    columns = [
        text("parameter", names, of_selection, "meta.id;meta.main", "", "column of the QC1 table"),
        plain("mjd_obs", "f8", "time.start;obs.exposure", time, "start of the data, UTC", "mjd", "d"),
        ExportColumn("date_obs", np.dtype("S23"), "", "time.start;obs.exposure", time, "the same as ISO 8601", _iso),
        plain("value", "f8", "instr.param", "", "value of the parameter", unit=unit),
        text("value_unit", units, of_selection, "meta.unit", "", "unit of value, low and high"),
        plain("low", "f8", "instr.param;stat.min", "", "lower limit of the score", unit=unit),
        plain("high", "f8", "instr.param;stat.max", "", "upper limit of the score", unit=unit),
        plain("score", "i2", "meta.code.qual", "", "0 good, 1 outlier"),
        ExportColumn("outlier", np.dtype("?"), "", "meta.code.qual", "", "outside of its limits", _is_outlier),
        *(plain(name, "i2", "meta.number", "", f"number of the {name}") for name in Position._fields),
        text("night", [block.night for block in blocks], of_block, "time.epoch", "", "evening date"),
        text("mode", [block.mode for block in blocks], of_block, "instr.setup", "", "mode of the set-up"),
        text("block", [block.name for block in blocks], of_block, "meta.id", "prov:Activity.id", "what was executed"),
        text(
            "recipe_version", [block.recipe_version for block in blocks], of_block, "meta.version",
            "prov:ActivityDescription.version", "version of the recipe",
        ),
        plain("product", "i8", "meta.id", "prov:Entity.id", "number of the product it was measured on"),
    ]  # fmt: skip
    if answer.texts:
        words = "value of a parameter that is a text"
        columns.insert(4, text("text", answer.texts, _field("text"), "meta.note", "", words))
    return tuple(columns)


def _field(name: str) -> Callable[[np.ndarray], np.ndarray]:
    return lambda rows: rows[name]


def _iso(rows: np.ndarray) -> np.ndarray:
    milliseconds = np.round((rows["mjd"] - _MJD_OF_UNIX) * _MS_PER_DAY).astype("M8[ms]")
    return np.datetime_as_string(milliseconds, unit="ms").astype("S23")


def _is_outlier(rows: np.ndarray) -> np.ndarray:
    return rows["score"] == 1


def chunks(answer: SeriesAnswer) -> Iterator[np.ndarray]:
    """The rows in pieces."""
    for start in range(0, len(answer), CHUNK_ROWS):
        yield answer.rows[start : start + CHUNK_ROWS]
