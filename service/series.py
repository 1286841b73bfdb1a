"""QC1 series as JSON columns, CSV, VOTable and FITS."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final, Literal

import numpy as np
from sqlalchemy.orm import Session

from core.archive.models import Qc1Parameter
from core.archive.pages.qc1 import INDEX_COLUMNS, Series, SeriesFilter, parameters_of_table, series
from core.errors import NotFoundError, ParameterError
from core.instruments.muse.facts import LAMPS, N_IFU, N_PORTS, N_SLICES

__all__ = [
    "MAX_POINTS",
    "SeriesAnswer",
    "SeriesRequest",
    "csv_lines",
    "last_months",
    "mjd_of_text",
    "numbers_of_text",
    "read_series",
    "series_json",
    "table_file",
    "whole",
]

MAX_POINTS: Final = 400_000
_MJD_EPOCH: Final = date(1858, 11, 17)


def mjd_of_text(text: str | None, *, end: bool = False) -> float | None:
    """MJD of a date or of a number; as an end, a date includes its whole day.

    Raises
    ------
    ParameterError
        If it is neither.
    """
    if text is None or not text.strip():
        return None
    try:
        return float(text)
    except ValueError:
        pass
    try:
        day = date.fromisoformat(text.strip())
    except ValueError as error:
        raise ParameterError(f"{text!r} is neither a date like 2026-11-01 nor an MJD", parameter="from, to") from error
    return float((day - _MJD_EPOCH).days + (1 if end else 0))


def numbers_of_text(text: str | None, name: str, largest: int) -> tuple[int, ...]:
    """Numbers of a list with ranges: ``1,3-6`` is 1, 3, 4, 5, 6; empty means all.

    Raises
    ------
    ParameterError
        If it is no such list, or a number is not between 1 and ``largest``.
    """
    found: set[int] = set()
    for part in (text or "").replace(" ", "").split(","):
        if not part:
            continue
        first, _, last = part.partition("-")
        if not first.isdecimal() or (last and not last.isdecimal()):
            raise ParameterError(f"{name}={text!r} is no list like 1,3-6", parameter=name)
        found.update(range(int(first), min(int(last or first), largest + 1) + 1))
    if found and not (min(found) >= 1 and max(found) <= largest):
        raise ParameterError(f"{name}={text!r} is not between 1 and {largest}", parameter=name)
    return tuple(sorted(found))


@dataclass(frozen=True)
class SeriesRequest:
    """Which values are asked for."""

    table: str
    columns: tuple[str, ...]
    wanted: SeriesFilter
    limit: int = MAX_POINTS

    @classmethod
    def make(
        cls,
        *,
        table: str,
        columns: Sequence[str],
        units: str | None = None,
        quadrants: str | None = None,
        slices: str | None = None,
        lamps: str | None = None,
        mode: str | None = None,
        start: str | None = None,
        end: str | None = None,
        block_id: int | None = None,
        limit: int = MAX_POINTS,
    ) -> SeriesRequest:
        """From texts, as they come over HTTP; times are dates or MJD, numbers lists like ``1,3-6``.

        Raises
        ------
        ParameterError
            If a time or a list cannot be read.
        """
        wanted = SeriesFilter(
            from_mjd=mjd_of_text(start),
            to_mjd=mjd_of_text(end, end=True),
            mode=mode or None,
            units=numbers_of_text(units, "unit", N_IFU),
            quadrants=numbers_of_text(quadrants, "quadrant", N_PORTS),
            slices=numbers_of_text(slices, "slice", N_SLICES),
            lamps=numbers_of_text(lamps, "lamp", max(LAMPS)),
            block_id=block_id,
        )
        return cls(table, tuple(dict.fromkeys(columns)), wanted, limit)

    def parameters(self, session: Session) -> list[Qc1Parameter]:
        """Definitions of the columns, in the order asked for.

        Raises
        ------
        NotFoundError
            Naming the columns that the table has.
        """
        known = {item.column_name: item for item in parameters_of_table(session, self.table)}
        for name in self.columns:
            if name not in known:
                raise NotFoundError(
                    f"QC1 table {self.table} has no column {name}; it has: {', '.join(known)}",
                    table=self.table,
                    column=name,
                )
        return [known[name] for name in self.columns]


@dataclass(frozen=True)
class SeriesAnswer:
    """Values with the definitions of their parameters."""

    request: SeriesRequest
    parameters: list[Qc1Parameter]
    series: Series


def read_series(session: Session, request: SeriesRequest) -> SeriesAnswer:
    """Read the values of a request."""
    parameters = request.parameters(session)
    values = series(session, [item.id for item in parameters], request.wanted, request.limit)
    return SeriesAnswer(request, parameters, values)


def whole(answer: SeriesAnswer) -> SeriesAnswer:
    """The answer, unless values are lacking that were asked for: a file cannot say that it is not whole.

    Raises
    ------
    ParameterError
        Saying how to ask for less.
    """
    if answer.series.truncated and answer.request.limit == MAX_POINTS:
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


def _outlier_positions(values: Series) -> list[int]:
    """Where the marked values stand in the columns."""
    marked = {(mark.parameter_id, mark.block_id, *mark.index) for mark in values.outliers}
    blocks = {mark.block_id for mark in values.outliers}
    columns = values.columns
    return [
        number
        for number, block in enumerate(columns["block"])
        if block in blocks
        and (columns["parameter"][number], block, *(columns[name][number] for name in INDEX_COLUMNS)) in marked
    ]


def series_json(answer: SeriesAnswer) -> bytes:
    """Compact JSON of a series; see ``GET /api/qc1/{table}/series``."""
    columns, blocks = answer.series.columns, answer.series.blocks
    block_index = {identity: number for number, identity in enumerate(blocks)}
    parameter_index = {item.id: number for number, item in enumerate(answer.parameters)}
    used = [name for name in INDEX_COLUMNS if any(value is not None for value in columns[name])]
    data: dict[str, Any] = {
        "table": answer.request.table,
        "parameters": [
            {
                "column": item.column_name,
                "keyword": item.keyword,
                "unit": item.unit,
                "class": item.qc_class,
                "axes": item.axes.split(",") if item.axes else [],
                "description": item.description,
            }
            for item in answer.parameters
        ],
        "blocks": [
            {"name": key.name, "night": key.night, "mode": key.mode, "version": key.recipe_version}
            for key in blocks.values()
        ],
        "p": [parameter_index[value] for value in columns["parameter"]],
        "b": [block_index[value] for value in columns["block"]],
        "t": _rounded(columns["mjd"], 11),
        "v": _rounded(columns["value"], 7),
        "product": columns["product"],
        **{name: columns[name] for name in used},
        "outliers": _outlier_positions(answer.series),
        "bands": [
            {
                "p": parameter_index[band.parameter_id],
                "b": block_index[band.block_id],
                "rule": band.rule,
                "low": band.low,
                "high": band.high,
            }
            for band in answer.series.bands
        ],
        "truncated": answer.series.truncated,
    }
    return json.dumps(data, separators=(",", ":"), ensure_ascii=False).encode()


def _rows(answer: SeriesAnswer) -> Iterator[tuple[Any, ...]]:
    names = {item.id: item.column_name for item in answer.parameters}
    columns, blocks = answer.series.columns, answer.series.blocks
    order = ("parameter", "mjd", "value", "block", "product", *INDEX_COLUMNS)
    for parameter, mjd, value, block, product, *index in zip(*(columns[name] for name in order), strict=True):
        key = blocks[block]
        yield (names[parameter], mjd, value, *index, key.night, key.mode, key.name, product)


_HEADER: Final = ("parameter", "mjd_obs", "value", *INDEX_COLUMNS, "night", "mode", "block", "product")


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
    from astropy.table import Table

    rows = list(_rows(answer))
    integers = {*INDEX_COLUMNS, "product"}
    values = list(zip(*rows, strict=True)) if rows else [()] * len(_HEADER)
    columns: dict[str, list[Any]] = {}
    for name, column in zip(_HEADER, values, strict=True):
        columns[name] = [-1 if value is None else value for value in column] if name in integers else list(column)
    kinds = ["int32" if name in integers else "f8" if name in ("mjd_obs", "value") else "U160" for name in _HEADER]
    table = Table(columns, names=_HEADER, dtype=kinds)
    table["mjd_obs"].unit = "d"
    units = {item.unit for item in answer.parameters}
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
    last = _MJD_EPOCH + timedelta(days=int(mjd))
    return last - timedelta(days=round(months * 30.5)), last
