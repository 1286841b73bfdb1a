"""Some rows of a pixel table: which they are, and a new file of them in the form of the old one.

What is in memory is a piece of the table and a bit for each row: 41 MB for an exposure.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from numba import njit

from core.errors import DataError
from core.fitsfile.header import Header
from core.fitsfile.keywords import del_keys, set_key
from core.formats.pixtable import PixtableFile, PixtableForm, flat_field_table
from core.formats.pixtable_compact import COMPACT
from core.formats.pixtable_header import PixtableLimits, own_cards, zero_point
from core.formats.pixtable_origin import exposure_of, exposure_ranges, set_exposures
from core.formats.pixtable_ranges import Kept, Ranges, count, cut, portions, single
from core.formats.pixtable_read import CompactTable, PixelTable, WaveIndex
from core.formats.pixtable_slices import SliceRows
from core.formats.pixtable_slicewise import SlicewiseTable
from core.instruments.muse.facts import SAMPLING
from core.spread import spread_out

__all__ = [
    "ChosenRows",
    "RowTest",
    "choose_rows",
    "except_slice",
    "of_unit",
    "on_mask",
    "within",
    "write_plain",
    "write_rows",
]

Columns = Mapping[str, npt.NDArray[Any]]
Mask = npt.NDArray[np.bool_]
Limits = tuple[float, float]

_RANK_BYTES: Final = 512


@dataclass(frozen=True)
class RowTest:
    """Whether rows are wanted.

    Attributes
    ----------
    needs : tuple of str
        Columns that it looks at.
    passes : callable
        Takes these columns, returns a mask.
    wave : tuple of float, optional
        Wavelengths that it keeps [Angstrom], if it is one of wavelengths.
    """

    needs: tuple[str, ...]
    passes: Callable[[Columns], Mask]
    wave: Limits | None = None


def within(column: str, low: float, high: float, zero: float = 0.0) -> RowTest:
    """Rows whose value in a column lies in a range, both ends included.

    Parameters
    ----------
    column : str
        ``xpos``, ``ypos`` or ``lambda``.
    low, high : float
        In the unit of the column. They are compared as float32, as the column is.
    zero : float
        What is to be added to the column (`core.formats.pixtable_header.zero_point`).
    """
    least, most = np.float32(low - zero), np.float32(high - zero)
    return RowTest(
        (column,),
        lambda columns: (columns[column] >= least) & (columns[column] <= most),
        (low, high) if column == "lambda" else None,
    )


def of_unit(ifu: int | None = None, slice_no: int | None = None) -> RowTest:
    """Rows of an IFU, of a slice on the detector, or of a slice of an IFU."""
    return RowTest(("origin",), lambda columns: _is_of(columns["origin"], ifu, slice_no))


def except_slice(ifu: int, slice_no: int) -> RowTest:
    """Rows of all slices but one of an IFU."""
    return RowTest(("origin",), lambda columns: ~_is_of(columns["origin"], ifu, slice_no))


def on_mask(mask: Mask, first: tuple[float, float], step: tuple[float, float]) -> RowTest:
    """Rows whose nearest pixel of a mask is true, and those beyond the mask.

    Parameters
    ----------
    mask : ndarray of bool (ny, nx)
    first, step : tuple of float
        xpos and ypos of the centre of its first pixel, and the size of a pixel, in the unit of the columns.
    """

    def passes(columns: Columns) -> Mask:
        x, y = (np.asarray(columns[name], np.float64) for name in ("xpos", "ypos"))
        passed = np.empty(x.size, np.bool_)
        _on_mask(x, y, mask, *first, *step, passed)
        return passed

    return RowTest(("xpos", "ypos"), passes)


def _is_of(origin: npt.NDArray[np.int32], ifu: int | None, slice_no: int | None) -> Mask:
    found = np.ones(len(origin), np.bool_)
    if ifu is not None:
        found &= ((origin >> 6) & 31) == ifu
    if slice_no is not None:
        found &= (origin & 63) == slice_no
    return found


@dataclass(frozen=True, eq=False)
class ChosenRows:
    """Rows of a table.

    Attributes
    ----------
    table : PixelTable
    counts : ndarray of int64
        Of each piece of the table (`PixelTable.bounds`) the rows that are chosen.
    flat_range : tuple of float, optional
        Wavelengths that the spectrum of the flat field is to cover [Angstrom]; all if not told.
    """

    table: PixelTable
    counts: npt.NDArray[np.int64]
    flat_range: Limits | None
    _bits: tuple[npt.NDArray[np.uint8], ...]

    @property
    def n_rows(self) -> int:
        """How many rows are chosen."""
        return int(self.counts.sum())

    def mask(self, piece: int) -> Mask:
        """Of each row of a piece whether it is chosen."""
        n_rows = int(self.table.bounds[piece + 1] - self.table.bounds[piece])
        return np.unpackbits(self._bits[piece], count=n_rows).view(np.bool_)

    @cached_property
    def starts(self) -> npt.NDArray[np.int64]:
        """Number of the first chosen row of each piece, counted among the chosen, and how many there are."""
        return np.concatenate([[0], np.cumsum(self.counts)])

    def gather(
        self, ranges: Ranges, names: Sequence[str] | None = None, kept: Kept = None
    ) -> dict[str, npt.NDArray[Any]]:
        """Columns of ranges of the chosen rows, counted among the chosen; see `PixelTable.gather`."""
        if self.n_rows == self.table.n_rows:
            return self.table.gather(ranges, names, kept)
        spans, masks = [np.zeros((0, 2), np.int64)], []
        for piece, inside, wanted in cut(ranges, self.starts, kept):
            start, stop = int(self.table.bounds[piece]), int(self.table.bounds[piece + 1])
            if self.counts[piece] == stop - start:
                spans.append(start + inside)
                masks.append(np.ones(count(inside), np.bool_) if wanted is None else wanted)
                continue
            bits = self._bits[piece]
            own = np.empty_like(inside)
            _rows_of(bits, self._ranks[piece], inside, own)
            there = np.empty(count(own), np.bool_)
            _chosen_of(bits, own, there)
            if wanted is not None:
                there[there] = wanted
            spans.append(start + own)
            masks.append(there)
        chosen = np.concatenate([np.zeros(0, np.bool_), *masks])
        return self.table.gather(np.concatenate(spans), names, None if chosen.all() else chosen)

    def read(self, first: int, last: int, names: Sequence[str] | None = None) -> dict[str, npt.NDArray[Any]]:
        """Columns (all unless told otherwise) of the chosen rows ``first`` to ``last`` - 1, counted among the chosen.

        Raises
        ------
        BadFitsError
            If the file is cut.
        """
        return self.gather(single(first, last), names)

    @property
    def index(self) -> WaveIndex:
        """Wavelengths of the chosen rows, by the blocks of the table."""
        whole, before = self.table.index, [np.zeros(1, np.int64)]
        for piece, (start, stop) in enumerate(pairwise(self.table.bounds.tolist())):
            first, last = np.searchsorted(whole.bounds, (start, stop), "right").tolist()
            own = np.empty(last - first, np.int64)
            _count_before(self._bits[piece], whole.bounds[first:last] - start, own)
            before.append(self.starts[piece] + own)
        bounds = np.concatenate(before)
        there = np.diff(bounds) > 0
        bounds = np.append(bounds[:-1][there], self.n_rows)
        return WaveIndex(bounds, whole.low[there], whole.high[there], whole.place[there])

    @cached_property
    def _ranks(self) -> tuple[npt.NDArray[np.int64], ...]:
        """How many rows are chosen before every so many rows of each piece, to find rows by their numbers."""
        found = []
        for bits in self._bits:
            counts = np.add.reduceat(np.bitwise_count(bits), np.arange(0, bits.size, _RANK_BYTES), dtype=np.int64)
            found.append(np.cumsum(counts) - counts)
        return tuple(found)

    def pieces(self, names: Sequence[str] | None = None) -> Iterator[dict[str, npt.NDArray[Any]]]:
        """Columns (all unless told otherwise) of the chosen rows, piece by piece; empty pieces are left out."""
        for first, last in pairwise(np.unique(self.starts).tolist()):
            yield self.read(first, last, names)

    def limits(self) -> PixtableLimits:
        """Extremes of the chosen rows, by a pass over them; DataError if there are none."""
        names = ("xpos", "ypos", "lambda", "origin")
        ranges = portions(single(0, self.n_rows))
        parts = spread_out(lambda portion: PixtableLimits.of(self.gather(portion, names)), ranges)
        if not parts:
            raise DataError("no row of the pixel table is left", file=self.table.path)
        return reduce(lambda mine, its: mine | its, parts)

    def of_exposures(self) -> npt.NDArray[np.int64] | None:
        """Chosen rows of each exposure; None if the table is no combination."""
        ranges = exposure_ranges(self.table.header)
        if not len(ranges):
            return None
        counts = np.zeros(len(ranges) + 2, np.int64)
        for piece in np.flatnonzero(self.counts):
            rows = np.flatnonzero(self.mask(int(piece))) + self.table.bounds[piece]
            counts += np.bincount(exposure_of(rows, ranges), minlength=len(counts))
        if counts[-1]:
            raise DataError(f"{counts[-1]} rows are of no exposure", file=self.table.path)
        return counts[1:-1]

    def flat_field(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None:
        """The spectrum of the flat field, where there are rows."""
        flat = self.table.flat_field()
        if flat is None or self.flat_range is None:
            return flat
        wave, values = flat
        margin = 2.0 * SAMPLING
        inside = (wave >= self.flat_range[0] - margin) & (wave <= self.flat_range[1] + margin)
        return wave[inside], values[inside]


def choose_rows(table: PixelTable, tests: Sequence[RowTest]) -> ChosenRows:
    """The rows that pass all tests (all rows if there is none).

    Raises
    ------
    BadFitsError
        If the file is cut.
    """
    names = tuple(dict.fromkeys(name for test in tests for name in test.needs))

    def tried(piece: tuple[int, int]) -> tuple[npt.NDArray[np.uint8], int]:
        mask = np.ones(piece[1] - piece[0], np.bool_)
        for ranges in portions(single(0, len(mask))) if tests else ():
            columns = table.gather(piece[0] + ranges, names)
            for test in tests:
                mask[ranges[0, 0] : ranges[-1, 1]] &= test.passes(columns)
        return np.packbits(mask), int(np.count_nonzero(mask))

    found = spread_out(tried, pairwise(table.bounds.tolist()))
    bits, counts = [own for own, _ in found], [n for _, n in found]
    waves = [test.wave for test in tests if test.wave is not None]
    flat_range = (max(low for low, _ in waves), min(high for _, high in waves)) if waves else None
    return ChosenRows(table, np.array(counts, np.int64), flat_range, tuple(bits))


def write_rows(chosen: ChosenRows, path: str | os.PathLike[str]) -> Path:
    """Write the chosen rows into a file of the form of their table, which may be that file.

    Limits, ranges of exposures and the spectrum of the flat field are those of the rows.

    Raises
    ------
    DataError
        If no row is chosen.
    ProductStoreError
        If the file cannot be written.
    """
    if isinstance(chosen.table, CompactTable):
        return _write_compact(chosen, chosen.table, path)
    return write_plain(chosen, path, chosen.table.form)


def write_plain(
    chosen: ChosenRows, path: str | os.PathLike[str], form: PixtableForm, header: Header | None = None
) -> Path:
    """Write the chosen rows into a file with all columns.

    Parameters
    ----------
    chosen : ChosenRows
    path : path-like
    form : {'image', 'table'}
    header : Header, optional
        Cards of the primary HDU; those of the table unless told otherwise.

    Raises
    ------
    DataError
        If no row is chosen.
    ProductStoreError
        If the file cannot be written.
    """
    table = chosen.table
    cards = _cards(chosen, path, header)
    del_keys(cards, rf"{COMPACT}\Z")  # of the tables that the rows are read from
    counts = [int(count) for count in chosen.counts if count]
    with PixtableFile.create(path, cards, counts, table.units, columns=table.columns, form=form, room=36) as file:
        try:
            limits = []
            for number, columns in enumerate(chosen.pieces()):
                limits.append(PixtableLimits.of(columns))
                with file.part(number) as part:
                    part.append(columns)
            if chosen.n_rows < table.n_rows:
                reduce(lambda mine, its: mine | its, limits).write(cards, zero_point(cards))
            return file.finish(cards, _flat_tables(chosen))
        except BaseException:
            file.discard()
            raise


def _write_compact(chosen: ChosenRows, table: CompactTable, path: str | os.PathLike[str]) -> Path:
    cards = _cards(chosen, path, None)
    slices = [_only(rows, chosen.mask(number)) for number, rows in enumerate(table.slices)]
    flat, flux = chosen.flat_field(), table.units["data"]
    with SlicewiseTable.create(path, cards, slices, form="compact", flux=flux, flat_field=flat) as file:
        measured = chosen.pieces(("data", "dq", "stat"))
        for number, (rows, columns) in enumerate(zip(file.slices, measured, strict=True)):
            file.put(number, rows.columns(), columns["data"], columns["dq"], columns["stat"])
        file.describe(cards)
        return file.finish(cards)


def _only(rows: SliceRows, mask: Mask) -> SliceRows:
    wanted = np.zeros(rows.map.n_rows, np.bool_)
    wanted[rows.pixels()[mask]] = True
    return rows.only(wanted)


def _cards(chosen: ChosenRows, path: str | os.PathLike[str], header: Header | None) -> Header:
    if not chosen.n_rows:
        raise DataError("no row of the pixel table is left", file=chosen.table.path)
    cards = own_cards(chosen.table.header if header is None else header)
    set_key(cards, "PIPEFILE", Path(path).name, "Filename of data product")
    if (counts := chosen.of_exposures()) is not None and chosen.n_rows < chosen.table.n_rows:
        set_exposures(cards, counts.tolist())
    return cards


def _flat_tables(chosen: ChosenRows) -> list[tuple[Header, npt.NDArray[np.uint8]]]:
    flat = chosen.flat_field()
    return [] if flat is None else [flat_field_table(*flat)]


@njit(cache=True, nogil=True)
def _is_chosen(bits, row):  # type: ignore[no-untyped-def]
    return (bits[row >> 3] >> (7 - (row & 7))) & 1


@njit(cache=True, nogil=True)
def _rows_of(bits, ranks, ranges, rows):  # type: ignore[no-untyped-def]
    """From the first to the one after the last row of some ranges that are counted among the chosen."""
    for k in range(ranges.shape[0]):
        for end in range(2):
            number = ranges[k, end] - end  # the last row of a range, not the next one that is chosen
            block = np.searchsorted(ranks, number, side="right") - 1
            row, before = 8 * _RANK_BYTES * block, ranks[block]
            while before + _is_chosen(bits, row) <= number:
                before += _is_chosen(bits, row)
                row += 1
            rows[k, end] = row + end


@njit(cache=True, nogil=True)
def _chosen_of(bits, ranges, chosen):  # type: ignore[no-untyped-def]
    """Of each row of some ranges whether it is chosen."""
    n = 0
    for k in range(ranges.shape[0]):
        for row in range(ranges[k, 0], ranges[k, 1]):
            chosen[n] = _is_chosen(bits, row)
            n += 1


@njit(cache=True, nogil=True)
def _count_before(bits, rows, counts):  # type: ignore[no-untyped-def]
    """How many rows are chosen before some rows, which ascend."""
    row, n = 0, 0
    for k in range(rows.size):
        while row < rows[k]:
            n += _is_chosen(bits, row)
            row += 1
        counts[k] = n


@njit(cache=True, nogil=True)
def _on_mask(x, y, mask, x0, y0, step_x, step_y, passed):  # type: ignore[no-untyped-def]
    for i in range(x.size):
        column, line = np.floor((x[i] - x0) / step_x + 0.5), np.floor((y[i] - y0) / step_y + 0.5)
        inside = 0 <= column < mask.shape[1] and 0 <= line < mask.shape[0]
        passed[i] = mask[int(line), int(column)] if inside else True
