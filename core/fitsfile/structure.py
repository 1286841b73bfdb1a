"""Mandatory cards of HDUs, and arrays as the bytes that follow them.

Source: FITS standard 4.0, sections 4.4.1 and 7.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from core.fitsfile.byteorder import pixels_to_disk
from core.fitsfile.header import Header

__all__ = ["big_endian_chunks", "encoded_table", "image_cards", "primary_cards", "table_cards"]

_CHUNK: Final = 2 << 20  # bytes converted at a time
_PIXELS: Final = (np.float32, np.int32)
_LETTERS: Final = {"i4": "J", "f4": "E", "f8": "D"}
_BITPIX: Final = {"u1": 8, "i2": 16, "i4": 32, "i8": 64, "f4": -32, "f8": -64}


def primary_cards(dtype: npt.DTypeLike = np.uint8, shape: tuple[int, ...] = ()) -> Header:
    """Cards a primary HDU begins with; without a shape it has no data."""
    cards = Header()
    cards["SIMPLE"] = (True, "file conforms to FITS standard")
    for card in image_cards(dtype, shape).cards:
        if card.keyword not in ("XTENSION", "PCOUNT", "GCOUNT"):
            cards.append(card)
    cards["EXTEND"] = (True, "FITS dataset may contain extensions")
    return cards


def image_cards(dtype: npt.DTypeLike, shape: tuple[int, ...]) -> Header:
    """Cards an image extension begins with; uint16 is stored with ``BZERO`` 32768."""
    kind = np.dtype(dtype)
    unsigned = kind == np.uint16
    cards = Header()
    cards["XTENSION"] = ("IMAGE", "IMAGE extension")
    cards["BITPIX"] = (16 if unsigned else _BITPIX[kind.str[1:]], "number of bits per data pixel")
    cards["NAXIS"] = (len(shape), "number of data axes")
    for axis, length in enumerate(reversed(shape), 1):
        cards[f"NAXIS{axis}"] = (length, f"length of data axis {axis}")
    cards["PCOUNT"] = (0, "required keyword; must = 0")
    cards["GCOUNT"] = (1, "required keyword; must = 1")
    if unsigned:
        cards["BZERO"] = (32768, "offset data range to that of unsigned short")
        cards["BSCALE"] = (1, "default scaling factor")
    return cards


def table_cards(row_bytes: int, rows: int, fields: int) -> Header:
    """Cards a binary table begins with."""
    cards = Header()
    cards["XTENSION"] = ("BINTABLE", "binary table extension")
    cards["BITPIX"] = (8, "8-bit bytes")
    cards["NAXIS"] = (2, "2-dimensional binary table")
    cards["NAXIS1"] = (row_bytes, "width of table in bytes")
    cards["NAXIS2"] = (rows, "number of rows in table")
    cards["PCOUNT"] = (0, "size of special data area")
    cards["GCOUNT"] = (1, "one data group (required keyword)")
    cards["TFIELDS"] = (fields, "number of fields in each row")
    return cards


def encoded_table(
    name: str,
    columns: Mapping[str, npt.NDArray[Any]],
    units: Mapping[str, str] | None = None,
    more: Header | None = None,
) -> tuple[Header, npt.NDArray[np.uint8]]:
    """A small binary table as the header and the bytes of an extension.

    Parameters
    ----------
    name : str
        Its ``EXTNAME``.
    columns : mapping of str to ndarray (rows, ...)
        int32, float32 or float64, native byte order; cells may be arrays.
    units : mapping, optional
        Column to unit.
    more : Header, optional
        Further cards.
    """
    layout = np.dtype([(key, cells.dtype.newbyteorder(">"), cells.shape[1:]) for key, cells in columns.items()])
    rows = len(next(iter(columns.values())))
    header = table_cards(layout.itemsize, rows, len(columns))
    record = np.empty(rows, layout)
    for number, (key, cells) in enumerate(columns.items(), 1):
        record[key] = cells
        header[f"TTYPE{number}"] = key
        header[f"TFORM{number}"] = f"{int(np.prod(cells.shape[1:], dtype=int))}{_LETTERS[cells.dtype.str[1:]]}"
        if cells.ndim > 2:
            header[f"TDIM{number}"] = f"({','.join(map(str, reversed(cells.shape[1:])))})"
        if units and key in units:
            header[f"TUNIT{number}"] = units[key]
    header["EXTNAME"] = name
    if more is not None:
        header.extend(more.cards)
    return header, record.view(np.uint8).reshape(-1)


def big_endian_chunks(array: npt.NDArray[Any]) -> Iterator[npt.NDArray[np.uint8]]:
    """Bytes of a native array as they are on disk, some megabytes at a time; valid until the next but one is made."""
    flat = np.ascontiguousarray(array).reshape(-1)
    step = max(_CHUNK // flat.itemsize, 1)
    room = [np.empty(min(step, flat.size), flat.dtype) for _ in range(2)] if flat.dtype in _PIXELS else []
    for start in range(0, flat.size, step):
        part = flat[start : start + step]
        if room:
            pixels = room[start // step % 2][: part.size]
            pixels[:] = part
            pixels_to_disk(pixels)
            yield pixels.view(np.uint8)
            continue
        if part.dtype == np.uint16:
            part = part ^ np.uint16(0x8000)
        yield part.byteswap().view(np.uint8) if part.itemsize > 1 else part.view(np.uint8)
