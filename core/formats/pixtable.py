"""Pixel tables on disk: one row per pixel, filled by parts.

Two forms, as the reference pipeline has them (MUSE manual, A.3.2): ``image``, its default, with an image extension of
``NAXIS1 = 1`` for each column, named after it, with ``BUNIT`` where there is a unit; and ``table``, one binary table.
An exposure has 330 million rows (9 GB) and a combination more, so a table is reserved for a known number of rows and
filled by any process (`core.fitsfile.reserved`): each fills *parts*, ranges of rows that were fixed when the table was
made, such as the rows of an IFU.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from core.errors import DataError
from core.fitsfile.checksum import add_sums
from core.fitsfile.header import Header
from core.fitsfile.keywords import set_key
from core.fitsfile.reserved import ROOM, ReservedFile, ReservedHdu
from core.fitsfile.structure import encoded_table, image_cards, table_cards
from core.formats.pixtable_header import COLUMNS, pixtable_units
from core.instruments.muse.facts import chip_name

__all__ = [
    "FLAT_FIELD",
    "PixtableFile",
    "PixtableForm",
    "PixtablePart",
    "default_form",
    "flat_field_table",
    "write_pixtable",
]

PixtableForm = Literal["image", "table", "compact"]
FLAT_FIELD: Final = "PIXTABLE_FLAT_FIELD"  # extension with the spectrum of the flat field of an IFU
_AS_TABLE: Final = "MUSE_PIXTABLE_SAVE_AS_TABLE"
_ROWS: Final = 1 << 16  # brought into the order of a binary table at a time
_FORMS: Final[dict[np.dtype[Any], str]] = {
    np.dtype(np.float32): "1E",
    np.dtype(np.int32): "1J",
    np.dtype(np.float64): "1D",
}


def default_form() -> PixtableForm:
    """``table`` if the environment variable MUSE_PIXTABLE_SAVE_AS_TABLE is a number above 0, as in the reference."""
    value = os.environ.get(_AS_TABLE, "")
    return "table" if value.strip().isdigit() and int(value) > 0 else "image"


class PixtableFile:
    """A pixel table that is being written; use as a context manager, which closes it and no more.

    `create` it once, `open` it in any process on any host, fill its parts by `part` or `put` in any order, and `finish`
    it once.
    """

    def __init__(self, reserved: ReservedFile) -> None:
        self._file = reserved
        self.columns: dict[str, np.dtype[Any]]
        first = reserved.hdus[1].header
        if first["XTENSION"] == "BINTABLE":
            self.form: PixtableForm = "table"
            kinds = {form: kind for kind, form in _FORMS.items()}
            fields = range(1, int(str(first["TFIELDS"])) + 1)
            self.columns = {str(first[f"TTYPE{n}"]): kinds[str(first[f"TFORM{n}"])] for n in fields}
        else:
            self.form = "image"
            kinds_of_bits = {-32: np.dtype(np.float32), 32: np.dtype(np.int32)}
            self.columns = {hdu.extname: kinds_of_bits[hdu.bitpix] for hdu in reserved.hdus[1:]}

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        header: Header,
        counts: Sequence[int],
        units: Mapping[str, str],
        *,
        columns: Mapping[str, npt.DTypeLike] = COLUMNS,
        form: PixtableForm = "image",
        room: int = ROOM,
    ) -> PixtableFile:
        """Reserve a pixel table.

        Parameters
        ----------
        path : path-like
            Final name.
        header : Header
            Cards of the primary HDU.
        counts : sequence of int
            Rows of each part, in the order of the file.
        units : mapping
            Column to unit, for those that have one (`core.formats.pixtable_header.pixtable_units`).
        columns : mapping of str to dtype, optional
            float32 or int32, in the order of the file; `COLUMNS` unless told otherwise.
        form : {'image', 'table'}
            The compact form is written by `core.formats.pixtable_slicewise.SlicewiseTable`.
        room : int
            Cards that the primary header may grow by until `finish`.

        Raises
        ------
        DataError
            If there are no rows, a column has another type, or the form is the compact one.
        ProductStoreError
            If the disk has no space for it.
        """
        if form == "compact":
            raise DataError("the compact form of a pixel table is written slice by slice")
        primary = header.copy()
        set_key(primary, "PIPEFILE", Path(path).name, "Filename of data product")
        kinds: dict[str, np.dtype[Any]] = {name: np.dtype(kind) for name, kind in columns.items()}
        for name, kind in kinds.items():
            if kind not in (np.float32, np.int32):
                raise DataError(f"column {name} of a pixel table is {kind}, not float32 or int32")
        bounds = np.concatenate([[0], np.cumsum(np.asarray(counts, np.int64))])
        rows = int(bounds[-1])
        if not rows:
            raise DataError("a pixel table without rows", file=path)
        hdus = _as_table(kinds, units, rows) if form == "table" else _as_images(kinds, units, rows)
        return cls(ReservedFile.create(path, primary, hdus, bounds, room))

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> PixtableFile:
        """Open a pixel table that was reserved, to write to it; ProductStoreError if there is none."""
        return cls(ReservedFile(path))

    def __enter__(self) -> PixtableFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def n_rows(self) -> int:
        """Rows of all parts."""
        return int(self._file.bounds[-1])

    @property
    def header(self) -> Header:
        """Cards of the primary HDU, to be changed and given to `finish`."""
        return self._file.primary

    def part(self, number: int) -> PixtablePart:
        """Fill a part (from 0) by pieces: ``with table.part(3) as part: part.append(columns)``."""
        if not 0 <= number < len(self._file.bounds) - 1:
            raise DataError(f"part {number} is none of the {len(self._file.bounds) - 1} of the pixel table")
        return PixtablePart(self, number)

    def put(self, row0: int, columns: Mapping[str, npt.NDArray[Any]]) -> None:
        """Write one or several whole parts; the same rows again give the same bytes.

        Parameters
        ----------
        row0 : int
            First row, where a part begins.
        columns : mapping of str to ndarray (n,)

        Raises
        ------
        DataError
            If these are not all columns with their types and one length, or not the rows of whole parts.
        ProductStoreError
            If they cannot be written.
        """
        bounds = self._file.bounds
        end = row0 + self._length(columns)
        first, last = (int(np.searchsorted(bounds, row)) for row in (row0, end))
        if last >= len(bounds) or (bounds[first], bounds[last]) != (row0, end):
            raise DataError(f"rows {row0} to {end - 1} are not whole parts of the pixel table")
        for number in range(first, last):
            rows = slice(int(bounds[number]) - row0, int(bounds[number + 1]) - row0)
            with self.part(number) as part:
                part.append({name: values[rows] for name, values in columns.items()})

    def missing(self) -> list[int]:
        """Parts that were not filled so far, from 0."""
        return self._file.missing()

    def finish(
        self,
        header: Header | None = None,
        more: Sequence[tuple[Header, npt.NDArray[np.uint8]]] = (),
    ) -> Path:
        """Complete headers and sums, sync the file, and give it its final name.

        Parameters
        ----------
        header : Header, optional
            Cards of the primary HDU in place of those the table was reserved with.
        more : sequence of (Header, ndarray of uint8)
            Extensions behind the columns: `flat_field_table`.

        Raises
        ------
        ProductStoreError
            If a part was never filled (it is named, from 0), or the header has outgrown its room.
        """
        return self._file.finish(header, more, "part")

    def close(self) -> None:
        """Close the file; the parts that were filled stay."""
        self._file.close()

    def discard(self) -> None:
        """Remove what is reserved."""
        self._file.discard()

    def _length(self, columns: Mapping[str, npt.NDArray[Any]]) -> int:
        if set(columns) != set(self.columns):
            raise DataError(f"columns {', '.join(columns)} are not those of the pixel table: {', '.join(self.columns)}")
        for name, values in columns.items():
            if values.dtype != self.columns[name]:
                raise DataError(f"column {name} of a pixel table is {values.dtype}, not {self.columns[name]}")
        lengths = {len(values) for values in columns.values()}
        if len(lengths) != 1:
            raise DataError(f"the columns of a pixel table have different lengths: {sorted(lengths)}")
        return lengths.pop()

    def _write(self, row: int, columns: Mapping[str, npt.NDArray[Any]]) -> int:
        """Write rows; sum of their bytes."""
        total = 0
        if self.form == "image":
            for hdu, name in enumerate(self.columns, 1):
                total = add_sums(total, self._file.write(hdu, row, columns[name]))
            return total
        layout = np.dtype([(name, kind.newbyteorder(">")) for name, kind in self.columns.items()])
        n_rows = self._length(columns)
        for start in range(0, n_rows, _ROWS):
            stop = min(start + _ROWS, n_rows)
            record = np.empty(stop - start, layout)
            for name in self.columns:
                record[name] = columns[name][start:stop]
            total = add_sums(total, self._file.write(1, row + start, record.view(np.uint8)))
        return total


class PixtablePart:
    """A range of rows that is being filled, from its first row on; a context manager.

    The part counts as filled when the block is left without an error.

    Raises
    ------
    DataError
        At the end, if rows are missing.
    """

    def __init__(self, table: PixtableFile, number: int) -> None:
        self._table = table
        self._number = number
        self._row = int(table._file.bounds[number])
        self._end = int(table._file.bounds[number + 1])
        self._sum = 0

    def __enter__(self) -> PixtablePart:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            return
        if self._row != self._end:
            raise DataError(f"part {self._number} of the pixel table lacks {self._end - self._row} rows")
        self._table._file.mark(self._number, self._sum)

    def append(self, columns: Mapping[str, npt.NDArray[Any]]) -> None:
        """Write the next rows: all columns, native byte order, one length.

        Raises
        ------
        DataError
            If these are not all columns with their types, or more rows than the part has.
        ProductStoreError
            If they cannot be written.
        """
        n_rows = self._table._length(columns)
        if self._row + n_rows > self._end:
            raise DataError(f"part {self._number} of the pixel table has room for {self._end - self._row} more rows")
        self._sum = add_sums(self._sum, self._table._write(self._row, columns))
        self._row += n_rows


def _as_images(kinds: Mapping[str, np.dtype[Any]], units: Mapping[str, str], rows: int) -> list[ReservedHdu]:
    hdus = []
    for name, kind in kinds.items():
        header = image_cards(kind, (rows, 1))
        header["EXTNAME"] = name
        if name in units:
            header["BUNIT"] = units[name]
        hdus.append(ReservedHdu(header, kind.itemsize))
    return hdus


def _as_table(kinds: Mapping[str, np.dtype[Any]], units: Mapping[str, str], rows: int) -> list[ReservedHdu]:
    row_bytes = sum(kind.itemsize for kind in kinds.values())
    header = table_cards(row_bytes, rows, len(kinds))
    for number, (name, kind) in enumerate(kinds.items(), 1):
        header[f"TTYPE{number}"] = name
        header[f"TFORM{number}"] = _FORMS[kind]
        if name in units:
            header[f"TUNIT{number}"] = units[name]
    return [ReservedHdu(header, row_bytes)]


def flat_field_table(
    wave: npt.NDArray[np.float64], values: npt.NDArray[np.float64]
) -> tuple[Header, npt.NDArray[np.uint8]]:
    """The extension with the spectrum of the flat field of an IFU: wavelengths [Angstrom] and values."""
    return encoded_table(FLAT_FIELD, {"lambda": wave, "data": values}, {"lambda": "Angstrom", "data": ""})


def write_pixtable(
    path: str | os.PathLike[str],
    header: Header,
    columns: Mapping[str, npt.NDArray[Any]],
    ifu: int | None = None,
    units: Mapping[str, str] | None = None,
    form: PixtableForm = "image",
) -> Path:
    """Write a pixel table that is in memory.

    Parameters
    ----------
    path : path-like
    header : Header
        Keywords of the primary HDU.
    columns : mapping of str to ndarray (n,)
        float32 or int32, in the order of the file.
    ifu : int, optional
        Sets ``EXTNAME`` of the primary HDU.
    units : mapping, optional
        Column to unit; unless told otherwise those of a table without geometry, in counts.
    form : {'image', 'table'}

    Raises
    ------
    DataError
        If the columns differ in length or have another type.
    """
    primary = header.copy()
    if ifu is not None:
        set_key(primary, "EXTNAME", chip_name(ifu), "extension name")
    kinds = {name: values.dtype for name, values in columns.items()}
    rows = len(next(iter(columns.values())))
    told = {**pixtable_units(), "orig": "count"} if units is None else units
    with PixtableFile.create(path, primary, [rows], told, columns=kinds, form=form, room=0) as table:
        try:
            table.put(0, columns)
            return table.finish()
        except BaseException:
            table.discard()
            raise
