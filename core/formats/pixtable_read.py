"""Pixel tables of any form read by wavelength: only the rows of a slab are touched.

Rows lie in the order slice, y, x, and the wavelength runs with y, so a block of some hundred rows of a slice covers few
Angstrom. One pass over the columns ``lambda`` and ``origin`` gives the range of each block; from then on a slab costs
what its rows cost. The index of an exposure has some 330 000 blocks, 8 MB.
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
from core.formats.pixtable_slices import SliceRows

__all__ = ["CompactTable", "PixelRows", "PixelTable", "WaveIndex", "open_pixtable"]

_BLOCK_ROWS: Final = 1024  # of one slice at most: 14 rows of the CCD, 17 Angstrom
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
    """

    bounds: npt.NDArray[np.int64]
    low: npt.NDArray[np.float32]
    high: npt.NDArray[np.float32]

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
    def read(self, first: int, last: int, names: Sequence[str] | None = None) -> dict[str, npt.NDArray[Any]]:
        """Columns (all unless told otherwise) of rows ``first`` up to but not including ``last``, native byte order.

        Raises
        ------
        BadFitsError
            If the file is cut.
        """

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
        bounds, low, high = [np.zeros(0, np.int64)], [np.zeros(0, np.float32)], [np.zeros(0, np.float32)]
        for first in range(0, self.n_rows, _SCAN_ROWS):
            cells = self.read(first, min(first + _SCAN_ROWS, self.n_rows), ("lambda", "origin"))
            starts, lowest, highest = _blocks(cells["lambda"], cells["origin"], _BLOCK_ROWS)
            bounds.append(starts + first)
            low.append(lowest)
            high.append(highest)
        return WaveIndex(np.concatenate([*bounds, [self.n_rows]]), np.concatenate(low), np.concatenate(high))

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
            Rows that are held at a time; more pieces of the table come with the next.

        Yields
        ------
        PixelRows
            None of them empty.
        """
        wanted = list(self.columns) if names is None else list(names)
        low, high = float(np.float32(wave_low)), float(np.float32(wave_high))
        held: list[PixelRows] = []
        for first, last in _pieces(self.index.ranges(low, high), max_rows):
            if held and sum(len(part.rows) for part in held) + last - first > max_rows:
                yield _joined(held)
                held = []
            part = self._selected(first, last, low, high, wanted)
            if len(part.rows):
                held.append(part)
        if held:
            yield _joined(held)

    def flat_field(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None:
        """Wavelengths [Angstrom] and values of the spectrum of the flat field, if the table has one."""
        hdu = scan_fits(self.path).extension(FLAT_FIELD)
        if hdu is None:
            return None
        columns = read_columns(self.path, hdu, needed=("lambda", "data"))
        if not {"lambda", "data"} <= columns.keys():
            raise BadFitsError(f"extension {FLAT_FIELD} lacks lambda or data", file=self.path)
        return columns["lambda"].astype(np.float64), columns["data"].astype(np.float64)

    def _selected(self, first: int, last: int, low: float, high: float, names: list[str]) -> PixelRows:
        cells = self.read(first, last, [*dict.fromkeys(["lambda", *names])])
        inside = (cells["lambda"] >= low) & (cells["lambda"] <= high)
        return PixelRows(first + np.flatnonzero(inside), {name: cells[name][inside] for name in names})


@dataclass(frozen=True)
class _PlainTable(PixelTable):
    """The manual's forms: all columns are on disk."""

    _offsets: dict[str, int] = field(repr=False)  # of the first cell of a column in the file
    _row_bytes: int = field(repr=False)  # of the binary table

    def read(self, first: int, last: int, names: Sequence[str] | None = None) -> dict[str, npt.NDArray[Any]]:
        """See `PixelTable.read`."""
        wanted = list(self.columns) if names is None else names
        with self.path.open("rb", buffering=0) as stream:
            if self.form == "table":
                return self._read_record(stream.fileno(), first, last, wanted)
            found = {}
            for name in wanted:
                cells = np.empty(last - first, self.columns[name])
                _fill(self.path, stream.fileno(), cells, self._offsets[name] + first * cells.itemsize)
                pixels_from_disk(cells)
                found[name] = cells
            return found

    @property
    def _data_offset(self) -> int:
        return min(self._offsets.values())

    def _read_record(self, number: int, first: int, last: int, names: Sequence[str]) -> dict[str, npt.NDArray[Any]]:
        content = np.empty((last - first, self._row_bytes), np.uint8)
        _fill(self.path, number, content, self._data_offset + first * self._row_bytes)
        found = {}
        for name in names:
            start = self._offsets[name] - self._data_offset
            cells = np.ascontiguousarray(content[:, start : start + 4]).reshape(-1).view(self.columns[name])
            pixels_from_disk(cells)
            found[name] = cells
        return found


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

    def read(self, first: int, last: int, names: Sequence[str] | None = None) -> dict[str, npt.NDArray[Any]]:
        """See `PixelTable.read`."""
        wanted = list(self.columns) if names is None else list(names)
        found: dict[str, npt.NDArray[Any]] = {name: np.empty(last - first, self.columns[name]) for name in wanted}
        self.read_into(found, first, last)
        return found

    def read_into(self, found: Mapping[str, npt.NDArray[Any]], first: int, last: int) -> None:
        """Fill arrays for columns with the rows ``first`` up to but not including ``last``; see `PixelTable.read`."""
        with self.path.open("rb", buffering=0) as stream:
            for name in MEASURED.keys() & found.keys():
                _fill(self.path, stream.fileno(), found[name], self._offsets[name] + 4 * first)
                pixels_from_disk(found[name])
        if "dq" in found:
            self._flags.flags(first, last, out=found["dq"])
        derived = [name for name in found if name not in MEASURED and name != "dq"]
        start = int(np.searchsorted(self.bounds, first, "right")) - 1
        while derived and start < len(self._slices) and self.bounds[start] < last:
            low, high = int(self.bounds[start]), int(self.bounds[start + 1])
            begin, end = max(first, low), min(last, high)
            columns = self._slices[start].columns(begin - low, end - low, derived)
            for name in derived:
                found[name][begin - first : end - first] = columns[name]
            start += 1


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


def _pieces(ranges: npt.NDArray[np.int64], max_rows: int) -> Iterator[tuple[int, int]]:
    for first, last in ranges.tolist():
        for start in range(first, last, max_rows):
            yield start, min(start + max_rows, last)


def _joined(parts: list[PixelRows]) -> PixelRows:
    return PixelRows(
        np.concatenate([part.rows for part in parts]),
        {name: np.concatenate([part.columns[name] for part in parts]) for name in parts[0].columns},
    )


@njit(cache=True, nogil=True)
def _blocks(wave, origin, block_rows):  # type: ignore[no-untyped-def]
    """Split rows where the slice changes and after so many rows; first row and range of wavelengths of each block."""
    starts = np.empty(wave.size, np.int64)
    low, high = np.full(wave.size, np.nan, np.float32), np.full(wave.size, np.nan, np.float32)
    n = 0
    for i in range(wave.size):
        slice_changes = n == 0 or (origin[i] & 0x7FF) != (origin[i - 1] & 0x7FF)
        if slice_changes or i - starts[n - 1] == block_rows:
            starts[n] = i
            n += 1
        value = wave[i]
        if np.isnan(value):
            continue
        if not low[n - 1] <= value:
            low[n - 1] = value
        if not high[n - 1] >= value:
            high[n - 1] = value
    return starts[:n].copy(), low[:n].copy(), high[:n].copy()
