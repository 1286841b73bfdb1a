"""Data units as arrays: images mapped from disk, columns of binary tables.

Source: FITS standard 4.0, sections 5, 7.1 and 7.3.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from core.errors import BadFitsError
from core.fitsfile.header import Header
from core.fitsfile.scan import HduScan

__all__ = ["INT_NULL", "column_cards", "map_image", "read_columns", "scaling"]

INT_NULL: Final = -2147483648  # what NULL cells of 32- and 64-bit integer columns are read as

_DTYPES: Final = {8: "u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}
_CELLS: Final = {"L": "S1", "B": "u1", "I": ">i2", "J": ">i4", "K": ">i8", "E": ">f4", "D": ">f8"}
_FORM: Final = re.compile(r"(\d*)([A-Z])")
_DIMENSIONS: Final = re.compile(r"\(\s*\d+(\s*,\s*\d+)*\s*\)")


def map_image(path: Path, hdu: HduScan) -> npt.NDArray[Any]:
    """The pixels of an uncompressed image as they are on disk: big-endian and not scaled, mapped, not read."""
    return np.memmap(path, dtype=_DTYPES[hdu.bitpix], mode="r", offset=hdu.data_offset, shape=hdu.shape)


def scaling(header: Header) -> tuple[float, float]:
    """``BZERO`` and ``BSCALE``: physical value = BZERO + BSCALE * pixel."""
    return float(_number(header, "BZERO", 0)), float(_number(header, "BSCALE", 1))


def _number(header: Header, keyword: str, default: int) -> int | float:
    value = header.get(keyword)
    if value is None:
        return default
    if not isinstance(value, int | float):
        raise BadFitsError(f"keyword {keyword} is {value!r}, not a number", keyword=keyword)
    return value


def column_cards(header: Header, card: str) -> list[str]:
    """One kind of card (``TTYPE``, ``TUNIT``, ...) of all columns as text, empty where there is none."""
    return [str(header.get(f"{card}{n}", "") or "").strip() for n in range(1, int(_number(header, "TFIELDS", 0)) + 1)]


def read_columns(path: Path, hdu: HduScan, limit: int | None = None) -> dict[str, npt.NDArray[Any]]:
    """Columns of a binary table by name, in order.

    Parameters
    ----------
    path : pathlib.Path
    hdu : HduScan
        Of kind ``table``.
    limit : int, optional
        Only the first rows.

    Returns
    -------
    dict of str to ndarray
        Native byte order, scaled by ``TSCAL`` and ``TZERO``; array cells of shape ``(rows, n)`` or as ``TDIM`` says.
        NULL cells of 32- and 64-bit integer columns are `INT_NULL`, of scaled ones NaN. Strings are ``S`` without
        blanks at the end.

    Raises
    ------
    BadFitsError
        If a column has a form that is not read (bits, complex numbers, variable length), the forms do not add up to
        the length of a row, or the file is cut.
    """
    header = hdu.header
    if str(header.get("XTENSION", "")).strip() != "BINTABLE" or len(hdu.shape) != 2:
        raise BadFitsError(f"HDU {hdu.index} is no binary table", file=path, keyword="XTENSION")
    names = column_cards(header, "TTYPE")
    names = [name or f"col{number}" for number, name in enumerate(names, 1)]
    if len(set(names)) != len(names):
        raise BadFitsError(f"columns of the table have the same name: {', '.join(names)}", file=path, keyword="TTYPE")
    kinds = [
        _cell_type(form, dimensions, name, path)
        for name, form, dimensions in zip(
            names, column_cards(header, "TFORM"), column_cards(header, "TDIM"), strict=True
        )
    ]
    record = np.dtype([(f"f{number}", *kind) for number, kind in enumerate(kinds)])
    n_rows, width = hdu.shape
    if record.itemsize != width:
        raise BadFitsError(
            f"the columns of the table add up to {record.itemsize} bytes, a row has {width}",
            file=path,
            keyword="NAXIS1",
        )
    wanted = n_rows if limit is None else min(limit, n_rows)
    with path.open("rb") as stream:
        stream.seek(hdu.data_offset)
        rows = np.fromfile(stream, record, wanted) if width else np.zeros(wanted, record)
    if len(rows) != wanted:
        raise BadFitsError(f"the file is cut inside a table of {n_rows} rows", file=path)
    return {name: _decode(rows[f"f{number}"], header, number + 1) for number, name in enumerate(names)}


def _cell_type(form: str, dimensions: str, name: str, path: Path) -> tuple[str, tuple[int, ...]]:
    match = _FORM.match(form)
    if match is None or (match.group(2) != "A" and match.group(2) not in _CELLS):
        raise BadFitsError(f"column {name} has the form {form!r}, which is not read", file=path, keyword="TFORM")
    repeat, letter = int(match.group(1) or 1), match.group(2)
    if letter == "A" and not dimensions:
        return f"S{repeat}", ()
    if letter == "A":
        raise BadFitsError(f"column {name} is an array of strings, which is not read", file=path, keyword="TDIM")
    if _DIMENSIONS.fullmatch(dimensions):
        shape = tuple(int(length) for length in reversed(dimensions.strip("() ").split(",")))
        if np.prod(shape) == repeat:
            return _CELLS[letter], shape
    return _CELLS[letter], () if repeat == 1 else (repeat,)


def _decode(values: npt.NDArray[Any], header: Header, number: int) -> npt.NDArray[Any]:
    if str(header[f"TFORM{number}"]).strip().endswith("L"):
        return values == b"T"
    if values.dtype.kind == "S":
        return np.char.rstrip(values)
    native = values.astype(values.dtype.newbyteorder("="))
    null = header.get(f"TNULL{number}") if native.dtype.kind in "iu" else None
    nulls = native == null if isinstance(null, int) else np.zeros(native.shape, np.bool_)
    zero, scale = (_number(header, card, default) for card, default in ((f"TZERO{number}", 0), (f"TSCAL{number}", 1)))
    if (zero, scale) != (0, 1):
        if scale == 1 and float(zero).is_integer() and native.dtype.kind in "iu" and native.itemsize < 8:  # unsigned
            native = native.astype(np.int64) + int(zero)
        else:
            native = native * float(scale) + float(zero)
    if native.dtype.kind == "f":
        native[nulls] = np.nan
    elif native.itemsize >= 4:
        native[nulls] = INT_NULL
    return native
