"""Where the rows of a pixel table come from: the column ``origin``, and the exposures of a combined table.

``origin`` packs the place of a pixel on the detector into 31 bits: column minus an offset of the slice (7 bits), row
(13), IFU (5), slice on the CCD (6). The offsets stand in the header, for each exposure, IFU and slice; exposure 0 is
that of a table which is no combination. The rows of an exposure follow each other.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from numba import njit

from core.errors import DataError
from core.fitsfile.header import Header
from core.fitsfile.keywords import get_key, iter_keys, set_key
from core.instruments.muse.facts import N_IFU, N_SLICES

__all__ = [
    "PREFIX",
    "CcdPositions",
    "decode_origin",
    "encode_origin",
    "exposure_of",
    "exposure_ranges",
    "origin_offset",
    "read_offsets",
    "set_exposures",
    "set_offset",
]

PREFIX: Final = "DRS.MUSE.PIXTABLE"
_EDGE_MARGIN: Final = 20  # [pix] that the left edge may move along a slice
_OFFSET_KEY: Final = r"DRS\.MUSE\.PIXTABLE\.EXP(\d+)\.IFU(\d+)\.SLICE(\d+)\.XOFFSET\Z"

Int32 = npt.NDArray[np.int32]


@dataclass(frozen=True)
class CcdPositions:
    """Places on the trimmed detectors, arrays of int32 of one shape: 1-based ``x`` and ``y``, ``ifu``, ``slice_no``."""

    x: Int32
    y: Int32
    ifu: Int32
    slice_no: Int32


def origin_offset(left_at_bottom: float) -> int:
    """Offset of the columns of a slice in ``origin``, from its left edge at row 1 [pix]."""
    return int(np.floor(left_at_bottom)) - _EDGE_MARGIN


def encode_origin(
    x: npt.NDArray[np.integer[Any]], y: npt.NDArray[np.integer[Any]], ifu: int, slice_no: int, offset: int
) -> Int32:
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
    packed: Int32 = np.empty(x.shape, np.int32)
    columns, rows = (np.ascontiguousarray(values, np.int32) for values in (x, y))
    known = 1 <= ifu <= N_IFU and 1 <= slice_no <= N_SLICES
    if not known or not _pack(columns, rows, offset, (ifu << 6) | slice_no, packed):
        raise DataError(f"pixels of slice {slice_no} do not fit a pixel table", ifu=ifu, slice=slice_no)
    return packed


@njit(cache=True, nogil=True)
def _pack(x, y, offset, rest, packed):  # type: ignore[no-untyped-def]
    """Pack places; whether all fit their bits."""
    beyond = 0
    for k in range(x.size):
        column = x[k] - offset
        beyond |= column | (127 - column) | (x[k] - 1) | (y[k] - 1) | (8191 - y[k])  # its sign is of any that is
        packed[k] = np.int32((column << 24) | (y[k] << 11) | rest)
    return beyond >= 0


def decode_origin(origin: Int32, offsets: Int32, exposure: int | Int32 = 0) -> CcdPositions:
    """Detector positions of rows.

    Parameters
    ----------
    origin : ndarray of int32
    offsets : ndarray of int32, shape (exposures, IFUs + 1, slices + 1)
        As `read_offsets` gives them.
    exposure : int or ndarray of int32
        Exposure of the rows, see `exposure_of`.
    """
    ifu, slice_no = (origin >> 6) & 31, origin & 63
    if origin.size and (ifu.max() > N_IFU or slice_no.max() > N_SLICES):
        raise DataError("the column origin of a pixel table names IFUs or slices that there are not")
    return CcdPositions((origin >> 24) + offsets[exposure, ifu, slice_no], (origin >> 11) & 8191, ifu, slice_no)


def set_offset(header: Header, exposure: int, ifu: int, slice_no: int, offset: int) -> None:
    """Write the offset of a slice into a header."""
    key = f"{PREFIX}.EXP{exposure}.IFU{ifu:02d}.SLICE{slice_no:02d}.XOFFSET"
    set_key(header, key, offset, "x-offset of given slice")


def read_offsets(header: Header) -> Int32:
    """Offsets of all slices.

    Returns
    -------
    ndarray of int32, shape (exposures, IFUs + 1, slices + 1)
        By number; 0 where the header has none. Exposure 0 is that of a table of one exposure.
    """
    found = []
    for name, value in iter_keys(header, _OFFSET_KEY):
        match = re.match(_OFFSET_KEY, name)
        if match and isinstance(value, int):
            found.append((*map(int, match.groups()), value))
    offsets = np.zeros((1 + max((entry[0] for entry in found), default=0), N_IFU + 1, N_SLICES + 1), np.int32)
    for exposure, ifu, slice_no, value in found:
        if not (1 <= ifu <= N_IFU and 1 <= slice_no <= N_SLICES):
            raise DataError(f"a pixel table has an offset of IFU {ifu}, slice {slice_no}", ifu=ifu, slice=slice_no)
        offsets[exposure, ifu, slice_no] = value
    return offsets


def set_exposures(header: Header, counts: Sequence[int]) -> None:
    """Write the ranges of rows of the exposures of a combined table, in order, into a header."""
    first = 0
    for number, count in enumerate(counts, 1):
        set_key(header, f"{PREFIX}.EXP{number}.FIRST", first, "first row index of this exposure")
        set_key(header, f"{PREFIX}.EXP{number}.LAST", first + count - 1, "last row index of this exposure")
        first += count
    set_key(header, f"{PREFIX}.COMBINED", len(counts), "number of exposures in this table")


def exposure_ranges(header: Header) -> npt.NDArray[np.int64]:
    """First and last row of each exposure, shape (exposures, 2); none in a table of one exposure.

    Raises
    ------
    DataError
        If an exposure has no last row, or they do not follow each other.
    """
    ranges: list[tuple[int, int]] = []
    while (first := get_key(header, f"{PREFIX}.EXP{len(ranges) + 1}.FIRST", int, default=None)) is not None:
        last = get_key(header, f"{PREFIX}.EXP{len(ranges) + 1}.LAST", int, default=None)
        if last is None or first != (ranges[-1][1] + 1 if ranges else 0) or last < first - 1:
            raise DataError(f"rows {first} to {last} of exposure {len(ranges) + 1} do not follow those before")
        ranges.append((first, last))
    return np.array(ranges, np.int64).reshape(-1, 2)


def exposure_of(rows: npt.NDArray[np.int64], ranges: npt.NDArray[np.int64]) -> Int32:
    """Number of the exposure that rows belong to: the first whose last row is not before; 0 without ranges."""
    if len(ranges) == 0:
        return np.zeros(len(rows), np.int32)
    return (np.searchsorted(ranges[:, 1], rows) + 1).astype(np.int32)
