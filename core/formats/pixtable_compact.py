"""The compact form of a pixel table: what was measured, and the few numbers that all positions follow from.

A pixel table of one exposure takes 28 bytes a pixel, 9.2 GB; of these ``xpos``, ``ypos``, ``lambda`` and ``origin`` are
16 that trace, wavelength solution and geometry say anew at any time, bit for bit (`core.formats.pixtable_slices`). The
compact form keeps 8 bytes a pixel and little else. A file has, after the primary HDU of any pixel table with
``DRS.MUSE.PIXTABLE.COMPACT`` = 1 (the version of the form):

``data``, ``stat``
    Images of NAXIS1 = 1, a value for each row, as in the image form.
``PIXTABLE_SLICES``
    A row for each slice in the order of the file: ``ifu``, ``slice``, ``rows`` (of the table), ``shift`` of the
    wavelengths, ``x``, ``y``, ``angle``, ``width`` of the geometry, and the polynomials ``left``, ``right`` (powers of
    y) and ``wave`` (powers of x, then of y). ``NX``, ``NY`` are the size of the detector.
``PIXTABLE_RUNS``
    Which pixels of its slice the table has: ``entry`` (row of PIXTABLE_SLICES, from 0), ``first``, ``count``; pixels of
    a slice are numbered from 0, row by row of the detector, between the edges.
``PIXTABLE_FLAGS``
    Runs of table rows with the same flags other than 0: ``first`` (from 0), ``count``, ``dq``.
``PIXTABLE_FLAT_FIELD``
    As in the other forms.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from numba import njit

from core.errors import BadFitsError
from core.fitsfile.dataunit import read_columns
from core.fitsfile.header import Header
from core.fitsfile.scan import FitsScan
from core.fitsfile.structure import encoded_table
from core.formats.pixtable_ranges import Ranges, count
from core.formats.pixtable_slices import SliceRows
from core.spatial.positions import FieldPlace, SliceMap

__all__ = ["COMPACT", "MEASURED", "VERSION", "FlagRuns", "read_flags", "read_slices", "slice_tables"]

COMPACT: Final = "DRS.MUSE.PIXTABLE.COMPACT"
VERSION: Final = 1
MEASURED: Final[dict[str, npt.DTypeLike]] = {"data": np.float32, "stat": np.float32}
SLICES: Final = "PIXTABLE_SLICES"
RUNS: Final = "PIXTABLE_RUNS"
FLAGS: Final = "PIXTABLE_FLAGS"
_OF_SLICES: Final = {  # columns of PIXTABLE_SLICES, and their dimensions
    **dict.fromkeys(("ifu", "slice", "rows", "shift", "x", "y", "angle", "width"), 1),
    **dict.fromkeys(("left", "right"), 2),
    "wave": 3,
}


class FlagRuns:
    """Flags of the rows of a table, as runs.

    Parameters
    ----------
    first, count, dq : ndarray of int32 (n,)
        First row of a run, its rows, and their flags, not 0; ascending.
    """

    def __init__(self, first: npt.NDArray[np.int32], count: npt.NDArray[np.int32], dq: npt.NDArray[np.int32]) -> None:
        self.first, self.count, self.dq = first, count, dq

    @classmethod
    def of(cls, dq: npt.NDArray[np.int32], first: int = 0) -> FlagRuns:
        """Runs in the flags of rows, the first of which has the number ``first``."""
        return cls(*_runs_of_flags(dq, np.int32(first)))

    @classmethod
    def joined(cls, parts: Sequence[FlagRuns]) -> FlagRuns:
        """Runs of parts that follow each other."""
        empty = np.empty(0, np.int32)
        return cls(
            *(np.concatenate([empty, *(getattr(part, name) for part in parts)]) for name in ("first", "count", "dq"))
        )

    def flags(self, ranges: Ranges, out: npt.NDArray[np.int32] | None = None) -> npt.NDArray[np.int32]:
        """Flags of ranges of rows, one after the other, in ``out`` if that is given."""
        if out is None:
            out = np.empty(count(ranges), np.int32)
        _fill(self.first, self.count, self.dq, ranges, out)
        return out


@njit(cache=True, nogil=True)
def _runs_of_flags(dq, origin):  # type: ignore[no-untyped-def]
    """First rows, lengths and flags of the runs of equal flags that are not 0."""
    n = 0
    for k in range(dq.size):
        n += dq[k] != 0 and (k == 0 or dq[k] != dq[k - 1])
    first, count, flags = np.empty(n, np.int32), np.empty(n, np.int32), np.empty(n, np.int32)
    run = -1
    for k in range(dq.size):
        if dq[k] == 0:
            continue
        if k == 0 or dq[k] != dq[k - 1]:
            run += 1
            first[run], count[run], flags[run] = origin + k, 0, dq[k]
        count[run] += 1
    return first, count, flags


@njit(cache=True, nogil=True)
def _fill(first, length, dq, ranges, out):  # type: ignore[no-untyped-def]
    out[:] = 0
    start = 0
    for k in range(ranges.shape[0]):
        low, high = ranges[k, 0], ranges[k, 1]
        run = np.searchsorted(first, low, side="right")
        run -= run > 0 and first[run - 1] + length[run - 1] > low
        while run < first.size and first[run] < high:
            begin, end = max(first[run], low), min(first[run] + length[run], high)
            for row in range(begin, end):
                out[start + row - low] = dq[run]
            run += 1
        start += high - low


def slice_tables(slices: Sequence[SliceRows], flags: FlagRuns) -> list[tuple[Header, npt.NDArray[np.uint8]]]:
    """The tables of a compact file, as HDUs."""
    ny, nx = slices[0].map.shape
    size = Header()
    size["NX"], size["NY"] = (nx, "[pix] columns of the trimmed detector"), (ny, "[pix] its rows")
    of_slices = {
        "ifu": np.array([item.ifu for item in slices], np.int32),
        "slice": np.array([item.map.slice_no for item in slices], np.int32),
        "rows": np.array([item.n_rows for item in slices], np.int32),
        "shift": np.array([item.shift for item in slices]),
        **{name: np.array([getattr(item.map.place, name) for item in slices]) for name in ("x", "y", "angle", "width")},
        "left": np.stack([item.map.left for item in slices]),
        "right": np.stack([item.map.right for item in slices]),
        "wave": np.stack([item.map.wave for item in slices]),
    }
    units = {"shift": "Angstrom", "x": "pix", "y": "pix", "angle": "deg", "width": "pix", "wave": "Angstrom"}
    runs = {
        "entry": np.repeat(np.arange(len(slices), dtype=np.int32), [len(item.runs) for item in slices]),
        "first": np.concatenate([item.runs[:, 0] for item in slices]).astype(np.int32),
        "count": np.concatenate([item.runs[:, 1] - item.runs[:, 0] for item in slices]).astype(np.int32),
    }
    flagged = {"first": flags.first, "count": flags.count, "dq": flags.dq}
    return [encoded_table(SLICES, of_slices, units, size), encoded_table(RUNS, runs), encoded_table(FLAGS, flagged)]


def read_slices(scan: FitsScan) -> tuple[SliceRows, ...]:
    """The slices of a compact file.

    Raises
    ------
    BadFitsError
        If tables or columns are missing, or do not fit each other.
    """
    table, header = _read(scan, SLICES, _OF_SLICES)
    runs, _ = _read(scan, RUNS, dict.fromkeys(("entry", "first", "count"), 1))
    ny, nx = header.get("NY"), header.get("NX")
    if not (isinstance(ny, int) and isinstance(nx, int) and ny > 0 and nx > 0):
        raise BadFitsError(f"{SLICES} does not say the size of the detector", file=scan.path, keyword="NX")
    slices = []
    for entry in range(len(table["ifu"])):
        numbers = {name: float(table[name][entry]) for name in ("x", "y", "angle", "width", "shift")}
        for name, value in numbers.items():
            if not math.isfinite(value):
                raise BadFitsError(f"{SLICES} has no {name} of entry {entry}", file=scan.path, keyword=name)
        shift = numbers.pop("shift")
        place = FieldPlace(**numbers)
        left, right, wave = (table[name][entry] for name in ("left", "right", "wave"))
        slice_map = SliceMap(int(table["slice"][entry]), left, right, wave, place, (ny, nx))
        own = runs["entry"] == entry
        first = runs["first"][own].astype(np.int64)
        pairs = np.stack([first, first + runs["count"][own]], axis=1)
        rows = SliceRows(int(table["ifu"][entry]), slice_map, pairs, shift)
        inside = not len(pairs) or (pairs[0, 0] >= 0 and pairs[-1, 1] <= slice_map.n_rows)
        ordered = inside and np.all(np.diff(pairs.reshape(-1)) >= 0)
        if rows.n_rows != table["rows"][entry] or not ordered:
            raise BadFitsError(f"{RUNS} and {SLICES} do not agree about entry {entry}", file=scan.path)
        slices.append(rows)
    if not slices:
        raise BadFitsError(f"{SLICES} is empty", file=scan.path)
    return tuple(slices)


def read_flags(scan: FitsScan) -> FlagRuns:
    """The flags of a compact file; BadFitsError if their table is missing."""
    table, _ = _read(scan, FLAGS, dict.fromkeys(("first", "count", "dq"), 1))
    return FlagRuns(*(table[name].astype(np.int32) for name in ("first", "count", "dq")))


def _read(scan: FitsScan, name: str, needed: Mapping[str, int]) -> tuple[dict[str, npt.NDArray[Any]], Header]:
    """Columns of a table and its header; ``needed`` has the dimensions of those that must be there."""
    hdu = scan.extension(name)
    if hdu is None:
        raise BadFitsError(f"a compact pixel table without its extension {name}", file=scan.path)
    columns = read_columns(scan.path, hdu, needed=needed)
    if missing := [column for column in needed if column not in columns]:
        raise BadFitsError(f"extension {name} lacks {', '.join(missing)}", file=scan.path, keyword=missing[0])
    for column, dimensions in needed.items():
        cells = columns[column]
        if (cells.ndim, dimensions) == (1, 2):  # a polynomial of order 0
            cells = columns[column] = cells[:, None]
        if cells.ndim != dimensions or cells.dtype.kind not in "if":
            raise BadFitsError(
                f"column {column} of extension {name} is {cells.dtype} of {cells.ndim} dimensions, not {dimensions}",
                file=scan.path,
                keyword=column,
            )
    return columns, hdu.header
