"""Pixel tables on disk: one image extension per column, one row per pixel.

The format is the reference's default: primary HDU with all keywords, then extensions of ``NAXIS1 = 1`` and
``NAXIS2`` = number of pixels, named after their column, with ``BUNIT`` where there is a unit. A column ``origin`` packs
the place of a pixel on the detector into 31 bits: column minus an offset of the slice (7 bits), row (13), IFU (5),
slice (6); the offsets stand in the header.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from core.errors import DataError
from core.fitsfile.header import Header
from core.fitsfile.keywords import set_key
from core.fitsfile.writer import FitsWriter
from core.instruments.muse.facts import chip_name

__all__ = ["PIXTABLE_UNITS", "encode_origin", "origin_offset", "set_limits", "write_pixtable"]

PIXTABLE_UNITS: Final = {
    "xpos": "pix",
    "ypos": "pix",
    "lambda": "Angstrom",
    "data": "count",
    "stat": "count**2",
    "orig": "count",
}
_PREFIX: Final = "DRS.MUSE.PIXTABLE"
_EDGE_MARGIN: Final = 20  # [pix] that the left edge may move along a slice


def origin_offset(left_at_bottom: float) -> int:
    """Offset of the columns of a slice in ``origin``, from its left edge at row 1 [pix]."""
    return int(np.floor(left_at_bottom)) - _EDGE_MARGIN


def encode_origin(
    x: npt.NDArray[np.integer[Any]], y: npt.NDArray[np.integer[Any]], ifu: int, slice_no: int, offset: int
) -> npt.NDArray[np.int32]:
    """Packed detector positions.

    Parameters
    ----------
    x, y : ndarray of integers (n,)
        CCD position (1-based).
    ifu, slice_no, offset : int

    Raises
    ------
    DataError
        If a value does not fit its bits.
    """
    column = x.astype(np.int64) - offset
    if x.size and not (column.min() >= 0 and column.max() < 128 and y.min() >= 1 and y.max() < 8192):
        raise DataError(f"pixels of slice {slice_no} do not fit a pixel table", ifu=ifu, slice=slice_no)
    packed: npt.NDArray[np.int32] = ((column << 24) | (y.astype(np.int64) << 11) | (ifu << 6) | slice_no).astype(
        np.int32
    )
    return packed


def set_limits(header: Header, columns: Mapping[str, npt.NDArray[Any]], ifu: int, slices: list[int]) -> None:
    """Write the extremes of the columns, the IFU and the slices into a header."""
    for key, name in (("X", "xpos"), ("Y", "ypos"), ("LAMBDA", "lambda")):
        values = columns[name]
        low, high = (values.min(), values.max()) if values.size else (np.float32(0), np.float32(0))
        set_key(header, f"{_PREFIX}.LIMITS.{key}.LOW", np.float32(low))
        set_key(header, f"{_PREFIX}.LIMITS.{key}.HIGH", np.float32(high))
    for key, low_no, high_no in (("IFU", ifu, ifu), ("SLICE", min(slices), max(slices))):
        set_key(header, f"{_PREFIX}.LIMITS.{key}.LOW", low_no)
        set_key(header, f"{_PREFIX}.LIMITS.{key}.HIGH", high_no)


def write_pixtable(
    path: str | os.PathLike[str], header: Header, columns: Mapping[str, npt.NDArray[Any]], ifu: int | None = None
) -> Path:
    """Write a pixel table, atomically.

    Parameters
    ----------
    path : path-like
    header : Header
        Keywords of the primary HDU.
    columns : mapping of str to ndarray (n,)
        float32 or int32, in the order of the file.
    ifu : int, optional
        Sets ``EXTNAME`` of the primary HDU.

    Raises
    ------
    DataError
        If the columns differ in length or have another type.
    """
    path = Path(path)
    primary = header.copy()
    if ifu is not None:
        set_key(primary, "EXTNAME", chip_name(ifu), "extension name")
    set_key(primary, "PIPEFILE", path.name, "Filename of data product")
    lengths = {len(values) for values in columns.values()}
    if len(lengths) != 1:
        raise DataError(f"the columns of a pixel table have different lengths: {sorted(lengths)}")
    with FitsWriter(path, datamd5=True) as writer:
        writer.primary(primary)
        for name, values in columns.items():
            if values.dtype not in (np.float32, np.int32):
                raise DataError(f"column {name} of a pixel table is {values.dtype}, not float32 or int32")
            own = Header()
            own["EXTNAME"] = name
            if name in PIXTABLE_UNITS:
                own["BUNIT"] = PIXTABLE_UNITS[name]
            writer.image(own, values.reshape(-1, 1))
    return path
