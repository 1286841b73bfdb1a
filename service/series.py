"""QC1 series as JSON columns, CSV, VOTable and FITS."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import accumulate
from typing import Any, Final, Literal

import numpy as np
from sqlalchemy.orm import Session

from core.archive.pages.qc1 import Band, BlockKey, Series, series
from core.errors import ParameterError
from core.instruments.catalogue import qc1_definitions
from core.qc1.axes import AXIS_COLUMNS, Position, axis_words
from service.selection import MAX_POINTS, MJD_EPOCH, Selection, SeriesRequest

__all__ = ["SeriesAnswer", "csv_lines", "last_months", "read_series", "series_json", "table_file", "whole"]


@dataclass(frozen=True)
class SeriesAnswer:
    """Values, by time, with the columns that they belong to.

    Attributes
    ----------
    request : SeriesRequest
    selections : list of Selection
    columns : dict of str to list
        Those of `core.archive.pages.qc1.Series`, with ``selection`` (number) instead of the parameter.
    blocks : dict of int to BlockKey
    outliers : list of int
        Rows of the columns.
    bands : list of (int, Band)
        Limits, with the number of the selection.
    truncated : bool
    """

    request: SeriesRequest
    selections: list[Selection]
    columns: dict[str, list[Any]]
    blocks: dict[int, BlockKey]
    outliers: list[int]
    bands: list[tuple[int, Band]]
    truncated: bool

    def __len__(self) -> int:
        return len(self.columns["mjd"])


def read_series(session: Session, request: SeriesRequest) -> SeriesAnswer:
    """Read the values of a request: in one go, unless the names of the columns hold different running numbers."""
    selections = request.selections(session)
    groups: dict[tuple[tuple[str, int], ...], list[int]] = {}
    for number, item in enumerate(selections):
        groups.setdefault(tuple(item.fixed.items()), []).append(number)
    parts = []
    for fixed, numbers in groups.items():
        identities = {selections[number].parameter.id: number for number in numbers}
        found = series(session, list(identities), request.narrowed(dict(fixed)), request.limit)
        parts.append(_answer(request, selections, found, identities))
    return parts[0] if len(parts) == 1 else _joined(parts)


def _answer(
    request: SeriesRequest, selections: list[Selection], found: Series, numbers: Mapping[int, int]
) -> SeriesAnswer:
    columns = {name: values for name, values in found.columns.items() if name != "parameter"}
    columns["selection"] = [numbers[identity] for identity in found.columns["parameter"]]
    bands = [(numbers[band.parameter_id], band) for band in found.bands]
    return SeriesAnswer(request, selections, columns, found.blocks, _outlier_rows(found), bands, found.truncated)


def _joined(parts: Sequence[SeriesAnswer]) -> SeriesAnswer:
    """Several answers to one request by time; of too many values the newest are kept."""
    first = parts[0]
    columns = {name: [value for part in parts for value in part.columns[name]] for name in first.columns}
    starts = accumulate((len(part) for part in parts), initial=0)
    marked = {start + row for part, start in zip(parts, starts, strict=False) for row in part.outliers}
    order = sorted(range(len(columns["mjd"])), key=columns["mjd"].__getitem__)
    kept = order[-first.request.limit :]
    return SeriesAnswer(
        first.request,
        first.selections,
        {name: [values[row] for row in kept] for name, values in columns.items()},
        {identity: key for part in parts for identity, key in part.blocks.items()},
        [place for place, row in enumerate(kept) if row in marked],
        [band for part in parts for band in part.bands],
        len(kept) < len(order) or any(part.truncated for part in parts),
    )


def whole(answer: SeriesAnswer) -> SeriesAnswer:
    """The answer, unless values are lacking that were asked for: a file cannot say that it is not whole.

    Raises
    ------
    ParameterError
        Saying how to ask for less.
    """
    if answer.truncated and answer.request.limit == MAX_POINTS:
        raise ParameterError(
            f"these are more than {MAX_POINTS} values: ask for fewer with from, to, unit or slice, or for the newest "
            "with limit",
            parameter="limit",
        )
    return answer


def _rounded(values: Sequence[float], digits: int) -> list[float]:
    """Values with significant digits, so that they are short as text."""
    array = np.asarray(values, np.float64)
    with np.errstate(divide="ignore"):
        size = np.floor(np.log10(np.abs(array)))
    places = np.where(np.isfinite(size), digits - 1 - size, 0.0)
    # Only whole powers of ten are exact, so large values are divided and small ones multiplied by one.
    up, down = 10.0 ** np.clip(places, 0, 300), 10.0 ** np.clip(-places, 0, 300)
    rounded: list[float] = (np.round(array / down * up) / up * down).tolist()
    return rounded


def _outlier_rows(values: Series) -> list[int]:
    """Where the marked values stand in the columns."""
    marked = {(mark.parameter_id, mark.block_id, *mark.position) for mark in values.outliers}
    blocks = {mark.block_id for mark in values.outliers}
    columns = values.columns
    return [
        number
        for number, block in enumerate(columns["block"])
        if block in blocks
        and (columns["parameter"][number], block, *(columns[name][number] for name in Position._fields)) in marked
    ]


def series_json(answer: SeriesAnswer) -> bytes:
    """Compact JSON of a series; see ``GET /api/qc1/{table}/series``."""
    columns, blocks = answer.columns, answer.blocks
    block_index = {identity: number for number, identity in enumerate(blocks)}
    used = [name for name in Position._fields if any(value is not None for value in columns[name])]
    data: dict[str, Any] = {
        "table": answer.request.table,
        "parameters": [_parameter_json(item) for item in answer.selections],
        "blocks": [
            {"name": key.name, "night": key.night, "mode": key.mode, "version": key.recipe_version}
            for key in blocks.values()
        ],
        "p": columns["selection"],
        "b": [block_index[value] for value in columns["block"]],
        "t": _rounded(columns["mjd"], 11),
        "v": _values_json(answer),
        "product": columns["product"],
        **{name: columns[name] for name in used},
        "words": _words(answer),
        "outliers": answer.outliers,
        "bands": [
            {
                "p": number,
                "b": block_index[band.block_id],
                "rule": band.rule,
                "low": band.low,
                "high": band.high,
                "each": band.each,
            }
            for number, band in answer.bands
            if band.block_id in block_index
        ],
        "truncated": answer.truncated,
    }
    return json.dumps(data, separators=(",", ":"), ensure_ascii=False).encode()


def _parameter_json(item: Selection) -> dict[str, Any]:
    row = item.parameter
    return {
        "column": item.column,
        "keyword": row.keyword,
        "unit": row.unit,
        "type": row.value_type,
        "class": row.qc_class,
        "axes": [AXIS_COLUMNS[name] for name in row.axes.split(",") if name],
        "description": row.description,
    }


def _values_json(answer: SeriesAnswer) -> list[float | str]:
    values = answer.columns["value"]
    if all(item.parameter.value_type != "str" for item in answer.selections):
        return [*_rounded(values, 7)]
    return [value if isinstance(value, str) else _rounded([value], 7)[0] for value in values]


def _words(answer: SeriesAnswer) -> dict[str, str]:
    """What people call the position columns here; one that counts different things has a plain word."""
    columns = [item.parameter.column_name for item in answer.selections]
    return axis_words(qc1_definitions().axes(answer.request.table, columns))


def _rows(answer: SeriesAnswer) -> Iterator[tuple[Any, ...]]:
    names = [item.column for item in answer.selections]
    order = ("selection", "mjd", "value", "block", "product", *Position._fields)
    for number, mjd, value, block, product, *index in zip(*(answer.columns[name] for name in order), strict=True):
        key = answer.blocks[block]
        yield (names[number], mjd, value, *index, key.night, key.mode, key.name, product)


_HEADER: Final = ("parameter", "mjd_obs", "value", *Position._fields, "night", "mode", "block", "product")


def csv_lines(answer: SeriesAnswer) -> Iterator[str]:
    """CSV text in pieces; the first line names the columns."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(_HEADER)
    for number, row in enumerate(_rows(answer)):
        writer.writerow("" if value is None else repr(value) if isinstance(value, float) else value for value in row)
        if number % 1000 == 999:
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()


def table_file(answer: SeriesAnswer, kind: Literal["vot", "fits"]) -> tuple[bytes, str]:
    """A VOTable or a FITS table of the same rows, with its media type; index values that do not apply are -1."""
    from astropy.table import Column, Table

    rows = list(_rows(answer))
    integers = {*Position._fields, "product"}
    values = list(zip(*rows, strict=True)) if rows else [()] * len(_HEADER)
    columns: dict[str, list[Any]] = {}
    for name, column in zip(_HEADER, values, strict=True):
        columns[name] = [-1 if value is None else value for value in column] if name in integers else list(column)
    kinds = ["int32" if name in integers else "f8" if name in ("mjd_obs", "value") else "U160" for name in _HEADER]
    texts = [value if isinstance(value, str) else "" for value in columns["value"]]
    columns["value"] = [math.nan if isinstance(value, str) else value for value in columns["value"]]
    table = Table(columns, names=_HEADER, dtype=kinds)
    if any(item.parameter.value_type == "str" for item in answer.selections):
        table.add_column(Column(texts, name="text", dtype="U160"), index=_HEADER.index("value") + 1)
    table["mjd_obs"].unit = "d"
    units = {item.parameter.unit for item in answer.selections}
    unit = units.pop() if len(units) == 1 else ""
    table["value"].description = f"value of the parameter [{unit}]" if unit else "value of the parameter"
    # The unit standard of VOTables has no Angstrom any more; there the description tells it.
    if unit in ("adu", "count", "pix", "deg") or (unit == "Angstrom" and kind == "fits"):
        table["value"].unit = unit
    table.meta["TABLE"] = answer.request.table
    buffer = io.BytesIO()
    if kind == "fits":
        table.write(buffer, format="fits")
        return buffer.getvalue(), "application/fits"
    table.write(buffer, format="votable")
    return buffer.getvalue(), "application/x-votable+xml"


def last_months(mjd: float, months: int = 3) -> tuple[date, date]:
    """Dates of the last months before an MJD."""
    last = MJD_EPOCH + timedelta(days=int(mjd))
    return last - timedelta(days=round(months * 30.5)), last
