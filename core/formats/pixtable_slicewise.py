"""A pixel table written slice by slice, in any form: what is in memory is one slice.

::

    with SlicewiseTable.create(path, header, slices, form="compact") as table:
        for number, rows in enumerate(table.slices):
            table.put(number, rows.columns(), data, dq, stat)
        table.describe(header)
        table.finish(header)
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from core.errors import DataError
from core.fitsfile.header import Header
from core.fitsfile.keywords import set_key
from core.formats.pixtable import PixtableFile, PixtableForm, flat_field_table
from core.formats.pixtable_compact import COMPACT, MEASURED, VERSION, FlagRuns, slice_tables
from core.formats.pixtable_header import COLUMNS, PixtableLimits, pixtable_units
from core.formats.pixtable_origin import set_offset
from core.formats.pixtable_slices import SliceRows

__all__ = ["SlicewiseTable"]


class SlicewiseTable:
    """A pixel table of known slices that is being written; a context manager, which removes it if its block fails.

    Parameters
    ----------
    file : PixtableFile
    slices : sequence of SliceRows
        In the order of the file.
    form : {'image', 'table', 'compact'}
    flat_field : pair of ndarray, optional
        Wavelengths [Angstrom] and values of the spectrum of the flat field.
    """

    def __init__(
        self,
        file: PixtableFile,
        slices: Sequence[SliceRows],
        form: PixtableForm,
        flat_field: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None = None,
    ) -> None:
        self._file, self._slices, self._form = file, tuple(slices), form
        self._starts = np.cumsum([0, *(rows.n_rows for rows in slices)])
        self._flags: list[FlagRuns] = []
        self._limits: PixtableLimits | None = None
        self._flat_field = flat_field

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        header: Header,
        slices: Sequence[SliceRows],
        *,
        form: PixtableForm = "image",
        flux: str = "count",
        flat_field: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None = None,
    ) -> SlicewiseTable:
        """Reserve a pixel table whose positions are in pixels.

        Parameters
        ----------
        path : path-like
            Final name.
        header : Header
            Cards of the primary HDU.
        slices : sequence of SliceRows
            In the order of the file.
        form : {'image', 'table', 'compact'}
        flux : str
            Unit of ``data``.
        flat_field : pair of ndarray, optional
            Wavelengths [Angstrom] and values of the spectrum of the flat field.

        Raises
        ------
        DataError
            If no slice has a row.
        ProductStoreError
            If the disk has no space for it.
        """
        slices = [rows for rows in slices if rows.n_rows]
        compact = form == "compact"
        file = PixtableFile.create(
            path,
            header,
            [rows.n_rows for rows in slices],
            {name: unit for name, unit in pixtable_units(flux=flux).items() if not compact or name in MEASURED},
            columns=MEASURED if compact else COLUMNS,
            form="image" if compact else form,
        )
        return cls(file, slices, form, flat_field)

    def __enter__(self) -> SlicewiseTable:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._file.discard()

    @property
    def slices(self) -> tuple[SliceRows, ...]:
        """What is to be put, in this order."""
        return self._slices

    @property
    def limits(self) -> PixtableLimits:
        """Limits of all rows that were put; DataError if there are none."""
        if self._limits is None:
            raise DataError("no rows, no limits")
        return self._limits

    def put(
        self,
        number: int,
        columns: dict[str, npt.NDArray[Any]],
        data: npt.NDArray[np.float32],
        dq: npt.NDArray[np.int32],
        stat: npt.NDArray[np.float32],
    ) -> None:
        """Write the rows of the slice ``slices[number]``, one slice after the other.

        Parameters
        ----------
        number : int
        columns : dict
            ``xpos``, ``ypos`` and ``lambda`` of `SliceRows.columns`.
        data, stat : ndarray of float32 (n,)
        dq : ndarray of int32 (n,)

        Raises
        ------
        DataError
            If the lengths are not those of the slice, or a slice was left out.
        ProductStoreError
            If they cannot be written.
        """
        if number != len(self._flags):
            raise DataError(f"slice {number} of the pixel table comes after slice {len(self._flags)}")
        rows = self._slices[number]
        limits = PixtableLimits.of_slice(columns, rows.ifu, rows.map.slice_no)
        self._limits = limits if self._limits is None else self._limits | limits
        self._flags.append(FlagRuns.of(dq, int(self._starts[number])))
        measured = {"data": data, "stat": stat}
        with self._file.part(number) as part:
            if self._form == "compact":
                part.append(measured)
            else:
                cells = {**columns, **measured, "dq": dq, **rows.columns(names=("origin",))}
                part.append({name: cells[name] for name in COLUMNS})

    def describe(self, header: Header, exposure: int = 0) -> None:
        """Write limits and offsets, and the version of the compact form, into the header of the table."""
        self.limits.write(header)
        for rows in self._slices:
            set_offset(header, exposure, rows.ifu, rows.map.slice_no, rows.offset)
        if self._form == "compact":
            set_key(header, COMPACT, VERSION, "version of the compact form")

    def finish(self, header: Header) -> Path:
        """Complete the file under its final name, with these cards; see `PixtableFile.finish`."""
        more = [] if self._flat_field is None else [flat_field_table(*self._flat_field)]
        if self._form == "compact":
            more = [*slice_tables(self._slices, FlagRuns.joined(self._flags)), *more]
        return self._file.finish(header, more)

    def discard(self) -> None:
        """Remove what is reserved."""
        self._file.discard()
