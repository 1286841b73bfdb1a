"""Pixel tables of any form read by wavelength: only the rows of a slab are touched.

Rows lie in the order slice, y, x, and the wavelength runs with y, so a block of some hundred rows of a slice covers few
Angstrom. One pass over the columns ``lambda`` and ``origin`` gives the range of each block; from then on a slab costs
what its rows cost. The index of an exposure has some 660 000 blocks, 13 MB.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from numba import njit

from core.errors import BadFitsError
from core.fitsfile.byteorder import pixels_from_disk
from core.fitsfile.dataunit import column_cards, column_names, read_columns
from core.fitsfile.header import Header
from core.fitsfile.keywords import get_key, has_key
from core.fitsfile.scan import FitsScan, HduScan, scan_fits
from core.fitsfile.transfer import read_at
from core.formats.pixtable import FLAT_FIELD, PixtableForm
from core.formats.pixtable_compact import COMPACT, MEASURED, VERSION, FlagRuns, read_flags, read_slices
from core.formats.pixtable_header import COLUMNS, PixtableLimits, pixtable_units
from core.formats.pixtable_origin import PREFIX
from core.formats.pixtable_ranges import Kept, Ranges, count, numbers, only_kept, portions, single, split
from core.formats.pixtable_slices import SliceRows
from core.spread import spread_out

__all__ = ["CompactTable", "PixelRows", "PixelTable", "WaveIndex", "open_pixtable"]

_BLOCK_ROWS: Final = 512  # of one slice at most: 7 rows of the CCD, 9 Angstrom
_SCAN_ROWS: Final = 1 << 20  # read at a time to make the index; a multiple of the block
_TYPES: Final = {-32: np.dtype(np.float32), 32: np.dtype(np.int32)}
_FORMS: Final = {
    "E": np.dtype(np.float32),
    "1E": np.dtype(np.float32),
    "J": np.dtype(np.int32),
    "1J": np.dtype(np.int32),
}


@dataclass(frozen=True)
class WaveIndex:
    """Blocks of rows and their wavelengths.

    Attributes
    ----------
    bounds : ndarray of int64, shape (blocks + 1,)
        First row of each block, and the number of rows. A block belongs to one slice of one IFU.
    low, high : ndarray of float32, shape (blocks,)
        Wavelengths [Angstrom]; NaN where no row has one.
    place : ndarray of int32, shape (blocks,)
        IFU and slice, as the last bits of ``origin`` have them.
    """

    bounds: npt.NDArray[np.int64]
    low: npt.NDArray[np.float32]
    high: npt.NDArray[np.float32]
    place: npt.NDArray[np.int32]

    def ranges(self, low: float, high: float) -> npt.NDArray[np.int64]:
        """Ranges of rows, shape (n, 2), that may have wavelengths from ``low`` to ``high``; neighbours are joined."""
        hit = np.concatenate([[False], (self.high >= low) & (self.low <= high), [False]])
        edges = np.flatnonzero(hit[1:] != hit[:-1])
        return self.bounds[edges].reshape(-1, 2)


@dataclass(frozen=True)
class PixelRows:
    """Some rows of a pixel table.

    Attributes
    ----------
    rows : ndarray of int64, shape (n,)
        Their numbers, ascending.
    columns : dict of str to ndarray, shape (n,)
        float32 or int32, native byte order.
    """

    rows: npt.NDArray[np.int64]
    columns: dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class PixelTable(ABC):
    """A pixel table on disk, of any form; pickles with its index, if that has been made.

    Attributes
    ----------
    path : pathlib.Path
    header : Header
        Keywords of the primary HDU.
    form : {'image', 'table', 'compact'}
    n_rows : int
    columns : dict of str to dtype
        In the order of the manual's forms: float32 or int32.
    units : dict of str to str
        Of the columns that have one.
    """

    path: Path
    header: Header
    form: PixtableForm
    n_rows: int
    columns: dict[str, np.dtype[Any]]
    units: dict[str, str]

    @abstractmethod
    def gather(
        self, ranges: Ranges, names: Sequence[str] | None = None, kept: Kept = None
    ) -> dict[str, npt.NDArray[Any]]:
        """Columns of ranges of rows, one after the other, in native byte order.

        What is done to each portion of a table costs little beside what is done to its rows if these are many; so
        neighbours of one slab, from all slices, are best asked for together (`core.formats.pixtable_ranges`).

        Parameters
        ----------
        ranges : ndarray of int64, shape (n, 2)
        names : sequence of str, optional
            All unless told otherwise.
        kept : ndarray of bool, optional
            Of each of these rows whether it is wanted; all are unless told otherwise.

        Raises
        ------
        BadFitsError
            If the file is cut.
        """

    def read(self, first: int, last: int, names: Sequence[str] | None = None) -> dict[str, npt.NDArray[Any]]:
        """Columns (all unless told otherwise) of rows ``first`` up to but not including ``last``; see `gather`."""
        return self.gather(single(first, last), names)

    @cached_property
    def exact_limits(self) -> PixtableLimits | None:
        """Extremes of the rows, if they are known better than from the header, which has 7 digits."""
        return None

    @cached_property
    def bounds(self) -> npt.NDArray[np.int64]:
        """Rows that are well read at a time: the first of each piece, and the number of rows; shape (pieces + 1,)."""
        return np.append(np.arange(0, self.n_rows, _SCAN_ROWS), self.n_rows)

    @cached_property
    def index(self) -> WaveIndex:
        """Wavelengths of blocks of rows, made when first asked for by one pass in bounded memory."""

        def blocks(first: int) -> tuple[npt.NDArray[Any], ...]:
            cells = self.read(first, min(first + _SCAN_ROWS, self.n_rows), ("lambda", "origin"))
            starts, *found = _blocks(cells["lambda"], cells["origin"], _BLOCK_ROWS)
            return starts + first, *found

        scanned = spread_out(blocks, range(0, self.n_rows, _SCAN_ROWS)) or [blocks(0)]
        starts, low, high, place = (np.concatenate(part) for part in zip(*scanned, strict=True))
        return WaveIndex(np.append(starts, self.n_rows), low, high, place)

    def ranges_near(self, wave_low: float, wave_high: float) -> Ranges:
        """Ranges of rows among which are all whose wavelengths lie between two [Angstrom], both included."""
        return self.index.ranges(float(np.float32(wave_low)), float(np.float32(wave_high)))

    def rows(
        self, wave_low: float, wave_high: float, names: Sequence[str] | None = None, max_rows: int = 1 << 20
    ) -> Iterator[PixelRows]:
        """The rows whose wavelengths lie in a range, both ends included, in order.

        Parameters
        ----------
        wave_low, wave_high : float
            Angstrom. They are compared as float32, as the column is.
        names : sequence of str, optional
            Columns, all unless told otherwise.
        max_rows : int
            Rows that are read at a time.

        Yields
        ------
        PixelRows
            None of them empty.
        """
        wanted = list(self.columns) if names is None else list(names)
        low, high = np.float32(wave_low), np.float32(wave_high)
        for ranges in portions(self.ranges_near(wave_low, wave_high), max_rows):
            cells = self.gather(ranges, [*dict.fromkeys(["lambda", *wanted])])
            inside = (cells["lambda"] >= low) & (cells["lambda"] <= high)
            if inside.any():
                yield PixelRows(numbers(ranges)[inside], {name: cells[name][inside] for name in wanted})

    def flat_field(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None:
        """Wavelengths [Angstrom] and values of the spectrum of the flat field, if the table has one."""
        hdu = scan_fits(self.path).extension(FLAT_FIELD)
        if hdu is None:
            return None
        columns = read_columns(self.path, hdu, needed=("lambda", "data"))
        if not {"lambda", "data"} <= columns.keys():
            raise BadFitsError(f"extension {FLAT_FIELD} lacks lambda or data", file=self.path)
        return columns["lambda"].astype(np.float64), columns["data"].astype(np.float64)


@dataclass(frozen=True)
class _PlainTable(PixelTable):
    """The manual's forms: all columns are on disk."""

    _offsets: dict[str, int] = field(repr=False)  # of the first cell of a column in the file
    _row_bytes: int = field(repr=False)  # of the binary table

    def gather(
        self, ranges: Ranges, names: Sequence[str] | None = None, kept: Kept = None
    ) -> dict[str, npt.NDArray[Any]]:
        """See `PixelTable.gather`."""
        found = _room(self, ranges, names)
        with self.path.open("rb", buffering=0) as stream:
            start = 0
            for first, last in ranges.tolist():
                stop = start + last - first
                self._fill(stream.fileno(), {name: cells[start:stop] for name, cells in found.items()}, first, last)
                start = stop
        for cells in found.values():
            pixels_from_disk(cells)
        return only_kept(found, kept)

    def _fill(self, number: int, cells: Mapping[str, npt.NDArray[Any]], first: int, last: int) -> None:
        """Bytes of rows, as they are on disk."""
        if self.form == "image":
            for name, values in cells.items():
                _fill(self.path, number, values, self._offsets[name] + 4 * first)
            return
        origin = min(self._offsets.values())
        content = np.empty((last - first, self._row_bytes), np.uint8)
        _fill(self.path, number, content, origin + first * self._row_bytes)
        for name, values in cells.items():
            start = self._offsets[name] - origin
            values.view(np.uint8).reshape(-1, 4)[:] = content[:, start : start + 4]


@dataclass(frozen=True)
class CompactTable(PixelTable):
    """The compact form: positions, wavelengths and origins are made when they are asked for."""

    _offsets: dict[str, int] = field(repr=False)
    _slices: tuple[SliceRows, ...] = field(repr=False)
    _flags: FlagRuns = field(repr=False)

    @cached_property
    def bounds(self) -> npt.NDArray[np.int64]:
        """See `PixelTable.bounds`: a slice is a piece."""
        return np.cumsum([0, *(item.n_rows for item in self._slices)])

    @property
    def slices(self) -> tuple[SliceRows, ...]:
        """The rows of each slice, in order."""
        return self._slices

    def gather(
        self, ranges: Ranges, names: Sequence[str] | None = None, kept: Kept = None
    ) -> dict[str, npt.NDArray[Any]]:
        """See `PixelTable.gather`."""
        found = _room(self, ranges, names)
        self.gather_into(found, ranges)
        return only_kept(found, kept)

    def gather_into(self, found: Mapping[str, npt.NDArray[Any]], ranges: Ranges) -> None:
        """Fill arrays for columns with ranges of rows; see `PixelTable.gather`."""
        measured = MEASURED.keys() & found.keys()
        derived = [name for name in found if name not in MEASURED and name != "dq"]
        with self.path.open("rb", buffering=0) as stream:
            start = 0
            for (first, last), piece in zip(*split(ranges, self.bounds), strict=True):
                stop = start + last - first
                for name in measured:
                    _fill(self.path, stream.fileno(), found[name][start:stop], self._offsets[name] + 4 * first)
                if derived:
                    origin = int(self.bounds[piece])
                    cells = {name: found[name][start:stop] for name in derived}
                    self._slices[piece].fill(first - origin, last - origin, cells)
                start = stop
        for name in measured:
            pixels_from_disk(found[name])
        if "dq" in found:
            self._flags.flags(ranges, found["dq"])


def _room(table: PixelTable, ranges: Ranges, names: Sequence[str] | None) -> dict[str, npt.NDArray[Any]]:
    n = count(ranges)
    return {name: np.empty(n, table.columns[name]) for name in (table.columns if names is None else names)}


def _fill(path: Path, number: int, array: npt.NDArray[Any], position: int) -> None:
    if not read_at(number, array.reshape(-1).view(np.uint8).data, position):
        raise BadFitsError("the file is cut", file=path)


def open_pixtable(path: str | os.PathLike[str]) -> PixelTable:
    """Open a pixel table for reading: images, a binary table, or the compact form.

    Raises
    ------
    BadFitsError
        If the file is no pixel table, lacks a column, or its columns have other types or different lengths.
    """
    path = Path(path)
    scan = scan_fits(path)
    if not has_key(scan.primary, f"{PREFIX}.TYPE"):
        raise BadFitsError(f"no pixel table: the header has no {PREFIX}.TYPE", file=path, keyword=f"{PREFIX}.TYPE")
    if scan.truncated:
        raise BadFitsError("the file is cut", file=path)
    if len(scan.hdus) < 2:
        raise BadFitsError("no pixel table: the file has no extensions", file=path)
    if (version := get_key(scan.primary, COMPACT, int, default=0)) > VERSION:
        raise BadFitsError(f"the compact form {version} is not known", file=path, keyword=COMPACT)
    if version:
        return _of_slices(scan)
    found = _of_table(scan, scan.hdus[1]) if scan.hdus[1].kind == "table" else _of_images(scan)
    for name, kind in COLUMNS.items():
        if found.columns.get(name) != kind:
            raise BadFitsError(f"column {name} is missing or not of the type {np.dtype(kind)}", file=path, keyword=name)
    return found


def _of_images(scan: FitsScan) -> _PlainTable:
    hdus = {hdu.extname: hdu for hdu in scan.hdus[1:] if hdu.kind == "image" and hdu.bitpix in _TYPES}
    shapes = {hdu.shape for hdu in hdus.values()}
    if len(shapes) != 1 or len(shape := shapes.pop()) != 2 or shape[1] != 1:
        raise BadFitsError("the columns of the pixel table are no images of one column and one length", file=scan.path)
    return _PlainTable(
        scan.path,
        scan.primary,
        "image",
        shape[0],
        {name: _TYPES[hdu.bitpix] for name, hdu in hdus.items()},
        {name: str(unit) for name, hdu in hdus.items() if (unit := hdu.header.get("BUNIT"))},
        {name: hdu.data_offset for name, hdu in hdus.items()},
        0,
    )


def _of_table(scan: FitsScan, hdu: HduScan) -> _PlainTable:
    names, forms = column_names(hdu.header), column_cards(hdu.header, "TFORM")
    for name, form in zip(names, forms, strict=True):
        if form not in _FORMS:
            raise BadFitsError(f"column {name} of a pixel table has the form {form!r}", file=scan.path, keyword="TFORM")
    if hdu.shape[1] != 4 * len(names):
        raise BadFitsError(f"a row of {len(names)} columns has {hdu.shape[1]} bytes", file=scan.path, keyword="NAXIS1")
    units = zip(names, column_cards(hdu.header, "TUNIT"), strict=True)
    return _PlainTable(
        scan.path,
        scan.primary,
        "table",
        hdu.shape[0],
        {name: _FORMS[form] for name, form in zip(names, forms, strict=True)},
        {name: unit for name, unit in units if unit},
        {name: hdu.data_offset + 4 * number for number, name in enumerate(names)},
        hdu.shape[1],
    )


def _of_slices(scan: FitsScan) -> CompactTable:
    hdus = {name: scan.extension(name) for name in MEASURED}
    slices = read_slices(scan)
    n_rows = sum(item.n_rows for item in slices)
    for name, hdu in hdus.items():
        if hdu is None or hdu.bitpix != -32 or hdu.shape != (n_rows, 1):
            raise BadFitsError(f"extension {name} is missing or has not {n_rows} rows", file=scan.path, keyword=name)
    told = pixtable_units()
    told.update({name: str(unit) for name, hdu in hdus.items() if hdu and (unit := hdu.header.get("BUNIT"))})
    return CompactTable(
        scan.path,
        scan.primary,
        "compact",
        n_rows,
        {name: np.dtype(kind) for name, kind in COLUMNS.items()},
        told,
        {name: hdu.data_offset for name, hdu in hdus.items() if hdu},
        slices,
        read_flags(scan),
    )


@njit(cache=True, nogil=True)
def _blocks(wave, origin, block_rows):  # type: ignore[no-untyped-def]
    """Split rows where the slice changes and after so many rows; first row, wavelengths and slice of each block."""
    starts, place = np.empty(wave.size, np.int64), np.empty(wave.size, np.int32)
    low, high = np.full(wave.size, np.nan, np.float32), np.full(wave.size, np.nan, np.float32)
    n = 0
    for i in range(wave.size):
        slice_changes = n == 0 or (origin[i] & 0x7FF) != (origin[i - 1] & 0x7FF)
        if slice_changes or i - starts[n - 1] == block_rows:
            starts[n], place[n] = i, origin[i] & 0x7FF
            n += 1
        value = wave[i]
        if np.isnan(value):
            continue
        if not low[n - 1] <= value:
            low[n - 1] = value
        if not high[n - 1] >= value:
            high[n - 1] = value
    return starts[:n].copy(), low[:n].copy(), high[:n].copy(), place[:n].copy()
