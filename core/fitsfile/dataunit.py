"""Data units as arrays: images mapped from disk, columns of binary tables.

Source: FITS standard 4.0, sections 5, 7.1 and 7.3.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
from collections.abc import Container, Mapping
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from core.errors import BadFitsError, error_context
from core.fitsfile.header import Header
from core.fitsfile.scan import HduScan
from core.fitsfile.transfer import read_at

__all__ = ["INT_NULL", "column_cards", "column_names", "map_image", "read_columns", "scaling"]

INT_NULL: Final = -2147483648  # what NULL cells of 32- and 64-bit integer columns are read as

_DTYPES: Final = {8: "u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}
_CELLS: Final = {"L": "S1", "B": "u1", "I": ">i2", "J": ">i4", "K": ">i8", "E": ">f4", "D": ">f8", "A": "S1"}
_OTHER_BYTES: Final = {"C": 8, "M": 16, "P": 8, "Q": 16}  # complex numbers, arrays of variable length: not read
_FORM: Final = re.compile(r"(\d*)([A-Z])")
_DIMENSIONS: Final = re.compile(r"\(\s*\d+(\s*,\s*\d+)*\s*\)")
_MAX_FIELDS: Final = 999  # by the standard
_MAX_AXES: Final = 32  # of an array in a cell; more are taken for damage, the array for a flat one
_UNSIGNED_64: Final = 2**63
_MAX_OFFSET: Final = 2**62  # added to integers of 32 bits it is still one of 64


def map_image(path: Path, hdu: HduScan) -> npt.NDArray[Any]:
    """The pixels of an uncompressed image as they are on disk: big-endian and not scaled, mapped, not read."""
    return np.memmap(path, dtype=_DTYPES[hdu.bitpix], mode="r", offset=hdu.data_offset, shape=hdu.shape)


def scaling(path: Path, header: Header) -> tuple[float, float]:
    """``BZERO`` and ``BSCALE``: physical value = BZERO + BSCALE * pixel.

    Raises
    ------
    BadFitsError
        If they are no numbers.
    """
    return float(_number(path, header, "BZERO", 0)), float(_number(path, header, "BSCALE", 1))


def _number(path: Path, header: Header, keyword: str, default: int) -> int | float:
    value = header.get(keyword)
    if value is None:
        return default
    if not isinstance(value, int | float):
        raise BadFitsError(f"keyword {keyword} is {value!r}, not a number", file=path, keyword=keyword)
    return value


def column_names(header: Header) -> list[str]:
    """Names of all columns of a table; ``coln`` for one that has none."""
    return [name or f"col{number}" for number, name in enumerate(column_cards(header, "TTYPE"), 1)]


def column_cards(header: Header, card: str) -> list[str]:
    """One kind of card (``TTYPE``, ``TUNIT``, ...) of all columns as text, empty where there is none.

    Raises
    ------
    BadFitsError
        If there are more columns than FITS allows.
    """
    fields = header.get("TFIELDS")
    number = fields if isinstance(fields, int) else 0
    if number > _MAX_FIELDS:
        raise BadFitsError(f"TFIELDS is {number}: a table has up to {_MAX_FIELDS} columns", keyword="TFIELDS")
    return [str(header.get(f"{card}{n}", "") or "").strip() for n in range(1, number + 1)]


@dataclass(frozen=True)
class _Column:
    """Where the cells of a column are in a row, and what they are; ``dtype`` is None if its form is not read."""

    number: int
    letter: str
    width: int
    dtype: str | None
    shape: tuple[int, ...]

    @classmethod
    def of(cls, number: int, form: str, dimensions: str) -> _Column:
        match = _FORM.match(form)
        repeat, letter = (int(match.group(1) or 1), match.group(2)) if match else (0, "")
        if letter == "X":
            return cls(number, letter, -(-repeat // 8), None, ())
        if letter not in _CELLS:
            return cls(number, letter, repeat * _OTHER_BYTES.get(letter, 0), None, ())
        width = repeat * np.dtype(_CELLS[letter]).itemsize
        shape: tuple[int, ...] = () if repeat == 1 and letter != "A" else (repeat,)
        if repeat and _DIMENSIONS.fullmatch(dimensions):
            told = tuple(int(length) for length in reversed(dimensions.strip("() ").split(",")))
            shape = told if math.prod(told) == repeat and len(told) <= _MAX_AXES else shape
        if letter != "A":
            return cls(number, letter, width, _CELLS[letter], shape)
        return cls(
            number, letter, width, f"S{shape[-1]}", shape[:-1]
        )  # the fastest dimension is the length of a string


def read_columns(
    path: Path, hdu: HduScan, limit: int | None = None, needed: Container[str] = (), content: int | None = None
) -> dict[str, npt.NDArray[Any]]:
    """Columns of a binary table by name, in order.

    Parameters
    ----------
    path : pathlib.Path
    hdu : HduScan
        Of kind ``table``.
    limit : int, optional
        Only the first rows.
    needed : container of str
        Columns that must not be left out.
    content : int, optional
        Descriptor of the unpacked file, of one that is compressed as a whole.

    Returns
    -------
    dict of str to ndarray
        Native byte order, scaled by ``TSCAL`` and ``TZERO``; array cells of shape ``(rows, n)`` or as ``TDIM`` says.
        NULL cells of 32- and 64-bit integer columns are `INT_NULL`, of scaled ones NaN. Strings are ``S`` without
        blanks at the end. Columns of bits, complex numbers and arrays of variable length are left out.

    Raises
    ------
    BadFitsError
        If a column that is needed has a form that is not read, the forms do not add up to the length of a row, a row
        has no bytes, there are more columns than FITS allows, a scale is no number, or the file is cut.
    """
    header = hdu.header
    if hdu.kind != "table" or len(hdu.shape) != 2:
        raise BadFitsError(f"HDU {hdu.index} is no binary table", file=path, keyword="XTENSION")
    with error_context(file=path):
        names = column_names(header)
    if len(set(names)) != len(names):
        raise BadFitsError(f"columns of the table have the same name: {', '.join(names)}", file=path, keyword="TTYPE")
    forms = column_cards(header, "TFORM")
    columns = {
        name: _Column.of(number, form, dimensions)
        for number, (name, form, dimensions) in enumerate(
            zip(names, forms, column_cards(header, "TDIM"), strict=True), 1
        )
    }
    for name, form in zip(names, forms, strict=True):
        if columns[name].dtype is None and name in needed:
            raise BadFitsError(f"column {name} has the form {form!r}, which is not read", file=path, keyword="TFORM")
    wanted = hdu.shape[0] if limit is None else min(limit, hdu.shape[0])
    rows = _read_rows(path, hdu, columns, wanted, content)
    return {
        name: _decode(path, rows[name], header, column) for name, column in columns.items() if column.dtype is not None
    }


def _read_rows(
    path: Path, hdu: HduScan, columns: Mapping[str, _Column], wanted: int, content: int | None
) -> dict[str, npt.NDArray[Any]]:
    """Cells as they are on disk."""
    n_rows, width = hdu.shape
    ends = list(accumulate(column.width for column in columns.values()))
    total = ends[-1] if ends else 0
    if total != width:
        raise BadFitsError(
            f"the columns of the table add up to {total} bytes, a row has {width}", file=path, keyword="NAXIS1"
        )
    if width == 0 and wanted:
        raise BadFitsError(f"the table has {n_rows} rows of no bytes", file=path, keyword="NAXIS1")
    if width > np.iinfo(np.int32).max:
        raise BadFitsError(f"a row of the table has {width} bytes", file=path, keyword="NAXIS1")
    with contextlib.ExitStack() as stack:
        number = stack.enter_context(path.open("rb", buffering=0)).fileno() if content is None else content
        # Looked at first: what a damaged header promises may be more than the memory.
        cut = hdu.data_offset + wanted * width > os.fstat(number).st_size
        records = np.empty((0 if cut else wanted, width), np.uint8)
        if cut or not read_at(number, records.reshape(-1).data, hdu.data_offset):
            raise BadFitsError(f"the file is cut inside a table of {n_rows} rows", file=path)
    cells: dict[str, npt.NDArray[Any]] = {}
    for (name, column), end in zip(columns.items(), ends, strict=True):
        if column.dtype is None:
            continue
        shape = (wanted, *column.shape)
        if column.dtype == "S0":  # numpy has no strings of no length; these take no memory either
            cells[name] = np.broadcast_to(np.array(b"", "S1"), shape)
        else:
            own = np.ascontiguousarray(records[:, end - column.width : end])
            cells[name] = own.reshape(-1).view(column.dtype).reshape(shape)
    return cells


def _decode(path: Path, values: npt.NDArray[Any], header: Header, column: _Column) -> npt.NDArray[Any]:
    if column.letter == "L":
        return values == b"T"
    if column.letter == "A":
        return np.char.rstrip(values) if column.width else values
    number = column.number
    native = values.astype(values.dtype.newbyteorder("="))
    null = header.get(f"TNULL{number}") if native.dtype.kind in "iu" else None
    nulls = native == null if isinstance(null, int) else np.zeros(native.shape, np.bool_)
    zero, scale = (_number(path, header, f"{card}{number}", default) for card, default in (("TZERO", 0), ("TSCAL", 1)))
    if (zero, scale) != (0, 1):
        whole = scale == 1 and native.dtype.kind in "iu" and float(zero).is_integer()
        if whole and native.itemsize < 8 and abs(zero) <= _MAX_OFFSET:  # unsigned
            native = native.astype(np.int64) + int(zero)
        elif whole and native.itemsize == 8 and zero == _UNSIGNED_64 and not nulls.any():
            return native.view(np.uint64) ^ np.uint64(_UNSIGNED_64)
        else:
            with np.errstate(all="ignore"):  # what damage makes of scale and offset may overflow
                native = native.astype(np.float64) * float(scale) + float(zero)
    if native.dtype.kind == "f":
        native[nulls] = np.nan
    elif native.itemsize >= 4:
        native[nulls] = INT_NULL
    return native
