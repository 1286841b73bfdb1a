"""QC1 values as files: CSV, FITS binary table and VOTable, made piece by piece."""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final
from xml.sax.saxutils import quoteattr

import numpy as np

from service.columns import ExportColumn, chunks, export_columns
from service.series import SeriesAnswer, series_json

__all__ = ["FORMATS", "MEDIA_TYPES", "csv_text", "fits_table", "votable"]

_FITS_BLOCK: Final = 2880
_NULL: Final = -1
_FITS_FORMATS: Final = {"f8": "D", "i2": "I", "i4": "J", "i8": "K"}
_VOTABLE_TYPES: Final = {"f8": "double", "i2": "short", "i4": "int", "i8": "long", "b1": "boolean"}


def csv_text(answer: SeriesAnswer) -> Iterator[bytes]:
    """CSV: the first line names the columns, ``value_unit`` has the unit of each value.

    What is missing is empty; texts stand among the values.
    """
    columns = export_columns(answer)
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([column.name for column in columns if column.name != "text"])
    for rows in chunks(answer):
        cells = {column.name: _as_text(column, column.of_rows(rows)) for column in columns}
        if texts := cells.pop("text", None):
            cells["value"] = [text or value for text, value in zip(texts, cells["value"], strict=True)]
        writer.writerows(zip(*cells.values(), strict=True))
        yield buffer.getvalue().encode()
        buffer.seek(0)
        buffer.truncate()
    yield buffer.getvalue().encode()


def _as_text(column: ExportColumn, values: np.ndarray) -> list[Any]:
    if column.dtype.kind == "S":
        return values.astype(f"U{max(column.dtype.itemsize, 1)}").tolist()
    if column.dtype.kind == "b":
        return values.astype(np.int8).tolist()
    if column.nullable:
        return ["" if value == _NULL else value for value in values.tolist()]
    return ["" if value != value else repr(value) for value in values.tolist()]


def fits_table(answer: SeriesAnswer) -> Iterator[bytes]:
    """A FITS file with one binary table; nulls are declared with TNULL, and are NaN in columns of real numbers."""
    from astropy.io import fits

    columns = export_columns(answer)
    table = fits.BinTableHDU.from_columns([_fits_column(column) for column in columns], name=answer.request.table)
    header = table.header
    header["NAXIS2"] = len(answer)
    header["TIMESYS"] = ("UTC", "time scale of mjd_obs and date_obs")
    header["TREFPOS"] = ("TOPOCENTER", "where times were measured")
    for number, column in enumerate(columns, 1):
        header[f"TCOMM{number}"] = column.description
        header[f"TUCD{number}"] = column.ucd
        if column.utype:
            header[f"TUTYP{number}"] = column.utype
    yield fits.PrimaryHDU().header.tostring().encode("ascii")
    yield header.tostring().encode("ascii")
    size = 0
    for rows in chunks(answer):
        data = _packed(columns, rows, lambda values: np.where(values, b"T", b"F"))
        size += len(data)
        yield data
    yield b"\0" * (-size % _FITS_BLOCK)


def _fits_column(column: ExportColumn) -> Any:
    from astropy.io import fits

    kind = column.dtype.kind
    code = f"{column.dtype.itemsize}A" if kind == "S" else "L" if kind == "b" else _FITS_FORMATS[column.dtype.str[1:]]
    return fits.Column(
        name=column.name,
        format=code,
        unit=_standard_unit(column.unit, "fits") or None,
        null=_NULL if column.nullable else None,
    )


def votable(answer: SeriesAnswer) -> Iterator[bytes]:
    """A VOTable 1.4 in BINARY2, which says of each number whether it is there."""
    columns = export_columns(answer)
    yield (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">\n<RESOURCE>\n'
        '<TIMESYS ID="utc" timeorigin="MJD-origin" timescale="UTC" refposition="TOPOCENTER"/>\n'
        f"<TABLE name={quoteattr(answer.request.table)} nrows={quoteattr(str(len(answer)))}>\n"
        f"{''.join(_field(column) for column in columns)}"
        '<DATA><BINARY2><STREAM encoding="base64">\n'
    ).encode()
    rest = b""
    for rows in chunks(answer):
        data = rest + _with_flags(columns, rows)
        whole = len(data) // 57 * 57  # 76 characters a line, and no filling before the end
        yield base64.encodebytes(data[:whole])
        rest = data[whole:]
    yield base64.encodebytes(rest)
    yield b"</STREAM></BINARY2></DATA>\n</TABLE>\n</RESOURCE>\n</VOTABLE>\n"


def _field(column: ExportColumn) -> str:
    attributes = {"name": column.name, "ucd": column.ucd}
    if column.dtype.kind == "S":
        attributes |= {"datatype": "char", "arraysize": str(column.dtype.itemsize)}
    else:
        attributes["datatype"] = _VOTABLE_TYPES[column.dtype.str[1:]]
    if column.utype:
        attributes["utype"] = column.utype
    if column.unit:
        attributes["unit"] = _standard_unit(column.unit, "vounit")
    if column.unit == "d":
        attributes["ref"] = "utc"
    text = " ".join(f"{name}={quoteattr(value)}" for name, value in attributes.items())
    return f"<FIELD {text}><DESCRIPTION>{column.description}</DESCRIPTION></FIELD>\n"


def _with_flags(columns: tuple[ExportColumn, ...], rows: np.ndarray) -> bytes:
    missing = [_missing(column, column.of_rows(rows)) for column in columns]
    flags = np.packbits(np.array(missing), axis=0).T
    data = np.frombuffer(_packed(columns, rows, lambda values: np.where(values, b"T", b"F")), np.uint8)
    return np.hstack([flags, data.reshape(len(rows), -1)]).tobytes()


def _missing(column: ExportColumn, values: np.ndarray) -> np.ndarray:
    if column.nullable:
        return values == _NULL
    return np.isnan(values) if column.dtype.kind == "f" else np.zeros(len(values), np.bool_)


def _packed(columns: tuple[ExportColumn, ...], rows: np.ndarray, logical: Callable[[np.ndarray], np.ndarray]) -> bytes:
    """Rows as FITS and VOTable have them: big-endian, one after another."""
    kinds = [(c.name, "S1" if c.dtype.kind == "b" else c.dtype.newbyteorder(">")) for c in columns]
    table = np.zeros(len(rows), kinds)
    for column in columns:
        values = column.of_rows(rows)
        table[column.name] = logical(values) if column.dtype.kind == "b" else values
    return table.tobytes()


def _standard_unit(unit: str, standard: str) -> str:
    """A unit as FITS or the VO writes it; the VO has no Angstrom and no erg any more."""
    from astropy import units

    if not unit or (unit == "%" and standard == "vounit"):
        return unit
    above, *below = unit.split("/")
    parsed = units.Unit(f"{above}/({'.'.join(below)})" if below else above)  # no standard has two strokes
    if standard == "vounit":
        modern = {units.Angstrom: (0.1, units.nm), units.erg: (1e-7, units.J)}
        scale, bases = float(parsed.scale), []
        for base, power in zip(parsed.bases, parsed.powers, strict=True):
            factor, other = modern.get(base, (1.0, base))
            scale *= factor ** float(power)
            bases.append(other)
        parsed = units.CompositeUnit(float(f"{scale:.12g}"), bases, parsed.powers)
    return str(parsed.to_string(standard))


FORMATS: Final[Mapping[str, Callable[[SeriesAnswer], Iterator[bytes]]]] = {
    "json": series_json,
    "csv": csv_text,
    "fits": fits_table,
    "vot": votable,
}
MEDIA_TYPES: Final[Mapping[str, str]] = {
    "json": "application/json",
    "csv": "text/csv; charset=utf-8",
    "fits": "application/fits",
    "vot": "application/x-votable+xml",
}
