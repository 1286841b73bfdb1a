"""From one form of a pixel table to another, bit for bit.

A table becomes compact if its positions, wavelengths and origins are what trace, wavelength solution and geometry say.
The shift of the wavelengths, of which a header has 7 digits, is found from the wavelengths themselves.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from core.errors import DataError
from core.fitsfile.keywords import del_keys, set_key
from core.formats.pixtable import PixtableForm
from core.formats.pixtable_compact import COMPACT, VERSION
from core.formats.pixtable_header import COLUMNS, own_cards, pixtable_units
from core.formats.pixtable_read import PixelTable
from core.formats.pixtable_select import choose_rows, write_plain
from core.formats.pixtable_slices import DERIVED, SliceRows
from core.formats.pixtable_slicewise import SlicewiseTable
from core.spatial.positions import SliceMap

__all__ = ["common_shift", "write_as", "write_compact"]

SlicesOf = Callable[[int], Mapping[int, SliceMap]]


def write_as(table: PixelTable, path: str | os.PathLike[str], form: PixtableForm) -> Path:
    """Write a table in one of the manual's forms, ``image`` or ``table``.

    Raises
    ------
    BadFitsError
        If its file is cut.
    ProductStoreError
        If it cannot be written.
    """
    header = table.header.copy()
    del_keys(header, rf"{COMPACT}\Z")
    return write_plain(choose_rows(table, ()), path, form, header)


def write_compact(table: PixelTable, path: str | os.PathLike[str], slices_of: SlicesOf) -> Path:
    """Write a table in the compact form.

    Parameters
    ----------
    table : PixelTable
    path : path-like
    slices_of : callable
        Takes an IFU, returns the maps of its slices by number.

    Raises
    ------
    DataError
        Naming the column that does not follow from the maps, or what else the compact form has not: positions on the
        sky, other columns or units, rows of a slice in several places.
    ProductStoreError
        If it cannot be written.
    """
    flux = table.units.get("data", "")
    if list(table.columns) != list(COLUMNS) or table.units != pixtable_units(flux=flux):
        told = ", ".join(f"{name} [{table.units.get(name, '')}]" for name in table.columns)
        raise DataError(f"a table of {told} has no compact form", file=table.path)
    groups = list(_groups(table))
    if len({slice_of for slice_of, _, _ in groups}) < len(groups):
        raise DataError("the rows of a slice are in several places of the table", file=table.path)
    slices = _matching(table, groups, slices_of)
    header = own_cards(table.header)
    set_key(header, "PIPEFILE", Path(path).name, "Filename of data product")
    with SlicewiseTable.create(
        path, header, slices, form="compact", flux=flux, flat_field=table.flat_field()
    ) as compact:
        for number, (_, first, last) in enumerate(groups):
            cells = table.read(first, last)
            compact.put(number, cells, cells["data"], cells["dq"], cells["stat"])
        set_key(header, COMPACT, VERSION, "version of the compact form")
        return compact.finish(header)


def _groups(table: PixelTable) -> Iterator[tuple[int, int, int]]:
    """Runs of rows of one slice: its bits of ``origin``, first row, and the one after the last."""
    start, current = 0, -1
    for low, high in pairwise(table.bounds.tolist()):
        slices = table.read(low, high, ("origin",))["origin"] & 0x7FF
        changes = np.flatnonzero(np.diff(slices, prepend=np.int32(current)))
        for row, name in zip((changes + low).tolist(), slices[changes].tolist(), strict=True):
            if row > start:
                yield current, start, row
            start, current = row, name
    if table.n_rows > start:
        yield current, start, table.n_rows


def _matching(table: PixelTable, groups: list[tuple[int, int, int]], slices_of: SlicesOf) -> list[SliceRows]:
    maps: dict[int, Mapping[int, SliceMap]] = {}
    found: list[SliceRows] = []
    for name, first, last in groups:
        ifu, slice_no = name >> 6, name & 63
        if ifu not in maps:
            maps[ifu] = slices_of(ifu)
        if slice_no not in maps[ifu]:
            raise DataError(f"the tables have no slice {slice_no} of IFU {ifu}", ifu=ifu, slice=slice_no)
        origin = table.read(first, last, ("origin",))["origin"]
        found.append(SliceRows.whole(ifu, maps[ifu][slice_no]).at(origin))
    shifts = {ifu: _shift_of(table, ifu, groups, found) for ifu in maps}
    shifted = [replace(rows, shift=shifts[rows.ifu]) for rows in found]
    return [
        SliceRows.whole(rows.ifu, rows.map, rows.shift).matching(table.read(first, last, DERIVED))
        for rows, (_, first, last) in zip(shifted, groups, strict=True)
    ]


def _shift_of(table: PixelTable, ifu: int, groups: list[tuple[int, int, int]], found: list[SliceRows]) -> float:
    pairs = (
        (rows.wavelengths(), table.read(first, last, ("lambda",))["lambda"])
        for rows, (_, first, last) in zip(found, groups, strict=True)
        if rows.ifu == ifu
    )
    return common_shift(pairs) or 0.0


def common_shift(pairs: Iterator[tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]]) -> float | None:
    """The shift that takes wavelengths to others, exactly; 0 if it does, else the middle of those that do.

    Parameters
    ----------
    pairs : iterator of pairs of ndarray of float32
        Before and after the shift, which is made in float64 and rounded [Angstrom].

    Returns
    -------
    float or None
        None if there is no such shift.
    """
    low, high = -np.inf, np.inf
    for before, after in pairs:
        exact = after.astype(np.float64)
        below, above = ((np.nextafter(after, np.float32(end)) + exact) / 2 for end in (-np.inf, np.inf))
        low = max(low, float(np.max(below - before)))
        high = min(high, float(np.min(above - before)))
    if low <= 0.0 <= high:
        return 0.0
    return (low + high) / 2 if low <= high else None
