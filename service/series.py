"""QC1 series as rows of an array, and as JSON in columns; `service.exports` makes files of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
from sqlalchemy.orm import Session

from core.archive.pages.qc1 import Band, BlockKey, bands
from core.archive.pages.qc1_rows import NO_NUMBER, ValueReader
from core.errors import ParameterError
from core.instruments.catalogue import qc1_definitions
from core.qc1.axes import AXIS_COLUMNS, Position, axis_words
from service.selection import MAX_POINTS, MJD_EPOCH, Selection, SeriesRequest

__all__ = ["SeriesAnswer", "last_months", "read_series", "series_json", "whole"]

_PIECE = 20_000  # values of a column that become text at once


@dataclass(frozen=True)
class SeriesAnswer:
    """Values, by time, with the columns that they belong to.

    Attributes
    ----------
    request : SeriesRequest
    selections : list of Selection
    rows : numpy.ndarray
        `core.archive.pages.qc1_rows.ROW`; ``selection`` counts the selections.
    blocks : dict of int to BlockKey
        Those of the rows.
    texts : list of str
        What ``text`` of the rows counts.
    bands : list of (int, Band)
        Limits, with the number of the selection.
    truncated : bool
    """

    request: SeriesRequest
    selections: list[Selection]
    rows: np.ndarray
    blocks: dict[int, BlockKey]
    texts: list[str]
    bands: list[tuple[int, Band]]
    truncated: bool

    def __len__(self) -> int:
        return len(self.rows)


def read_series(
    session: Session, request: SeriesRequest, stopped: Callable[[], bool] = lambda: False, *, with_bands: bool = False
) -> SeriesAnswer:
    """Read the values of a request: in one go, unless the names of the columns hold different running numbers.

    Parameters
    ----------
    stopped : callable
        Asked now and then; reading ends with `core.archive.pages.qc1_rows.ReadingStopped` when it is true.
    with_bands : bool
        The limits by block, which plots draw, instead of those of each value.
    """
    selections = request.selections(session)
    groups: dict[tuple[tuple[str, int], ...], dict[int, int]] = {}
    for number, item in enumerate(selections):
        groups.setdefault(tuple(item.fixed.items()), {})[item.parameter.id] = number
    reader = ValueReader(session, request.limit, stopped, with_limits=not with_bands)
    for fixed, numbers in groups.items():
        reader.read(numbers, request.narrowed(dict(fixed)))
    present = np.unique(reader.rows["block"]).tolist()
    blocks = {number: reader.blocks[number] for number in present}
    limits = _bands(session, request, groups, present) if with_bands else []
    return SeriesAnswer(request, selections, reader.rows, blocks, reader.texts, limits, reader.truncated)


def _bands(
    session: Session,
    request: SeriesRequest,
    groups: Mapping[tuple[tuple[str, int], ...], Mapping[int, int]],
    blocks: Sequence[int],
) -> list[tuple[int, Band]]:
    found = []
    for fixed, numbers in groups.items():
        wanted = request.narrowed(dict(fixed))
        found += [(numbers[band.parameter_id], band) for band in bands(session, list(numbers), blocks, wanted)]
    return found


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


def _rounded(values: np.ndarray, digits: int) -> list[float]:
    """Values with significant digits, so that they are short as text."""
    array = np.asarray(values, np.float64)
    with np.errstate(divide="ignore"):
        size = np.floor(np.log10(np.abs(array)))
    places = np.where(np.isfinite(size), digits - 1 - size, 0.0)
    # Only whole powers of ten are exact, so large values are divided and small ones multiplied by one.
    up, down = 10.0 ** np.clip(places, 0, 300), 10.0 ** np.clip(-places, 0, 300)
    rounded: list[float] = (np.round(array / down * up) / up * down).tolist()
    return rounded


def series_json(answer: SeriesAnswer) -> Iterator[bytes]:
    """Compact JSON of a series, in pieces; see ``GET /api/qc1/{table}/series``."""
    rows = answer.rows
    place = {identity: number for number, identity in enumerate(answer.blocks)}
    numbers = np.array(list(place), np.int64)  # ascending
    head: dict[str, Any] = {
        "table": answer.request.table,
        "parameters": [_parameter_json(item) for item in answer.selections],
        "blocks": [
            {"name": key.name, "night": key.night, "mode": key.mode, "version": key.recipe_version}
            for key in answer.blocks.values()
        ],
        "words": _words(answer),
        "bands": [
            {
                "p": number,
                "b": place[band.block_id],
                "rule": band.rule,
                "low": band.low,
                "high": band.high,
                "each": band.each,
            }
            for number, band in answer.bands
            if band.block_id in place
        ],
        "truncated": answer.truncated,
    }
    columns: dict[str, Callable[[np.ndarray], list[Any]]] = {
        "p": lambda piece: piece["selection"].tolist(),
        "b": lambda piece: np.searchsorted(numbers, piece["block"]).tolist(),
        "t": lambda piece: _rounded(piece["mjd"], 11),
        "v": lambda piece: _values(piece, answer.texts),
        "product": lambda piece: _integers(piece["product"]),
    }
    for name in Position._fields:
        if np.any(rows[name] != NO_NUMBER):
            columns[name] = lambda piece, name=name: _integers(piece[name])  # type: ignore[misc]
    yield _json(head)[:-1]
    for name, of_rows in columns.items():
        yield f',"{name}":['.encode()
        for start in range(0, len(rows), _PIECE):
            yield (b"," if start else b"") + _json(of_rows(rows[start : start + _PIECE]))[1:-1]
        yield b"]"
    yield b',"outliers":' + _json(np.flatnonzero(rows["score"] == 1).tolist()) + b"}"


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def _integers(values: np.ndarray) -> list[int | None]:
    return [None if value == NO_NUMBER else value for value in values.tolist()]


def _values(rows: np.ndarray, texts: Sequence[str]) -> list[float | str]:
    numbers = _rounded(rows["value"], 7)
    return [
        number if text == NO_NUMBER else texts[text]
        for number, text in zip(numbers, rows["text"].tolist(), strict=True)
    ]


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


def _words(answer: SeriesAnswer) -> dict[str, str]:
    """What people call the position columns here; one that counts different things has a plain word."""
    columns = [item.parameter.column_name for item in answer.selections]
    return axis_words(qc1_definitions().axes(answer.request.table, columns))


def last_months(mjd: float, months: int = 3) -> tuple[date, date]:
    """Dates of the last months before an MJD."""
    last = MJD_EPOCH + timedelta(days=int(mjd))
    return last - timedelta(days=round(months * 30.5)), last
