"""Table formats: each declared once, read, written and validated from the declaration.

Sources: MUSE manual, appendix on file formats; behaviour of the reference pipeline where it adds columns.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from core.errors import BadFitsError, DataError, MissingInputError
from core.fitsfile.dataunit import INT_NULL, read_columns
from core.fitsfile.header import Header
from core.fitsfile.keywords import merged_header, set_key
from core.fitsfile.scan import FitsScan, HduScan, scan_fits
from core.fitsfile.writer import FitsWriter
from core.instruments.muse.facts import chip_name, ifu_of_extname

__all__ = [
    "ARRAY_FORMS",
    "BADPIX_TABLE",
    "FORMATS",
    "GEOMETRY_TABLE",
    "LINE_CATALOG",
    "SPOTS_TABLE",
    "TRACE_SAMPLES",
    "TRACE_TABLE",
    "WAVECAL_RESIDUALS",
    "WAVECAL_TABLE",
    "Column",
    "MuseTable",
    "TableFormat",
    "read_table",
    "trace_table_format",
    "wavecal_table_format",
    "write_table",
]


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes
    ----------
    name : str
    form : str
        ``J`` int32, ``K`` int64, ``B`` uint8, ``E`` float32, ``D`` float64, ``A`` string, ``L`` one of ``T``, ``F``; a
        leading number is the length of an array (string) cell.
    unit : str
    description : str
    optional : bool
        A reader accepts a table without it.
    """

    name: str
    form: str
    unit: str = ""
    description: str = ""
    optional: bool = False

    @property
    def dtype(self) -> np.dtype[Any]:
        """numpy type of a cell element."""
        return np.dtype(f"S{self.repeat}" if self.form[-1] in "AL" else ARRAY_FORMS[self.form[-1]])

    @property
    def repeat(self) -> int:
        """Number of elements of a cell."""
        return int(self.form[:-1] or 1)


ARRAY_FORMS: Final = {"J": "i4", "K": "i8", "B": "u1", "E": "f4", "D": "f8"}


@dataclass(frozen=True)
class TableFormat:
    """A FITS table format.

    Attributes
    ----------
    name : str
        Frame tag (``PRO.CATG``).
    columns : tuple of Column
    description : str
    open_ended : bool
        Further columns are allowed (their number depends on a polynomial order).
    """

    name: str
    columns: tuple[Column, ...]
    description: str = ""
    open_ended: bool = False

    def column(self, name: str) -> Column:
        """The column of that name."""
        return next(column for column in self.columns if column.name == name)


@dataclass
class MuseTable(Mapping[str, npt.NDArray[Any]]):
    """A table: columns by name, in order, and the header."""

    columns: dict[str, npt.NDArray[Any]]
    header: Header = field(default_factory=Header)

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        return self.columns[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def __len__(self) -> int:
        return len(self.columns)

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(next(iter(self.columns.values()))) if self.columns else 0


def trace_table_format(order: int) -> TableFormat:
    """Format of a TRACE_TABLE of polynomials of that order."""
    columns = [Column("SliceNo", "J", "No", "slice number on the CCD, 1..48 from left to right")]
    columns.append(Column("Width", "E", "pix", "average slice width"))
    for part, what in enumerate(("central solution", "left edge", "right edge")):
        columns += [
            Column(f"tc{part}_{power:02d}", "D", "pix", f"polynomial coefficient of y^{power}, {what}")
            for power in range(order + 1)
        ]
        columns.append(Column(f"MSE{part}", "D", "pix", f"mean squared error of the fit, {what}"))
    return TableFormat("TRACE_TABLE", tuple(columns), "Tracing solution of the slices of one IFU")


def wavecal_table_format(xorder: int, yorder: int) -> TableFormat:
    """Format of a WAVECAL_TABLE of polynomials of these orders."""
    columns = [Column("SliceNo", "J", "No", "slice number on the CCD, 1..48 from left to right")]
    columns += [
        Column(f"wlc{i}{j}", "D", "Angstrom", f"polynomial coefficient of x^{i} y^{j}")
        for i in range(xorder + 1)
        for j in range(yorder + 1)
    ]
    columns.append(Column("MSE", "D", "Angstrom**2", "mean squared error of the fit"))
    return TableFormat("WAVECAL_TABLE", tuple(columns), "Wavelength solution of the slices of one IFU")


TRACE_TABLE: Final = TableFormat(
    "TRACE_TABLE",
    trace_table_format(5).columns[:2],
    "Tracing solution of the slices of one IFU",
    open_ended=True,
)
WAVECAL_TABLE: Final = TableFormat(
    "WAVECAL_TABLE", wavecal_table_format(2, 6).columns[:1], "Wavelength solution of one IFU", open_ended=True
)
TRACE_SAMPLES: Final = TableFormat(
    "TRACE_SAMPLES",
    (
        Column("slice", "J", "No", "slice number"),
        Column("y", "E", "pix", "y position on the CCD"),
        Column("mid", "E", "pix", "midpoint of the slice at this y position"),
        Column("left", "E", "pix", "left edge of the slice at this y position"),
        Column("right", "E", "pix", "right edge of the slice at this y position"),
    ),
    "All tracing sample points of one IFU",
)
WAVECAL_RESIDUALS: Final = TableFormat(
    "WAVECAL_RESIDUALS",
    (
        Column("slice", "B", "No", "slice number"),
        Column("iteration", "J", "", "iteration of the fit, from 1"),
        Column("x", "J", "pix", "x position on the CCD"),
        Column("y", "E", "pix", "y position on the CCD"),
        Column("lambda", "E", "Angstrom", "wavelength of the arc line"),
        Column("residual", "D", "Angstrom", "catalogue wavelength minus fitted wavelength"),
        Column("rejlimit", "D", "Angstrom", "rejection limit of this iteration"),
    ),
    "Residuals of the arc lines in each iteration of the wavelength fit",
)
LINE_CATALOG: Final = TableFormat(
    "LINE_CATALOG",
    (
        Column("lambda", "E", "Angstrom", "wavelength in air"),
        Column("flux", "E", "count", "relative flux"),
        Column("ion", "8A", "", "ion from which the line originates"),
        Column(
            "quality",
            "J",
            "",
            "0 unused, 1 matching only, 2 multiplet, 3 good single line, 5 bright and isolated",
        ),
        Column("comment", "64A", "", "remark", optional=True),
    ),
    "List of arc lines",
)
BADPIX_TABLE: Final = TableFormat(
    "BADPIX_TABLE",
    (
        Column("xpos", "J", "pix", "x position of a bad pixel on the untrimmed raw frame"),
        Column("ypos", "J", "pix", "y position of a bad pixel on the untrimmed raw frame"),
        Column("status", "J", "", "Euro3D bad pixel status"),
        Column("value", "E", "count", "extra value, e.g. depth of a trap", optional=True),
    ),
    "Bad pixels of one IFU",
)
GEOMETRY_TABLE: Final = TableFormat(
    "GEOMETRY_TABLE",
    (
        Column("SubField", "J", "", "IFU number"),
        Column("SliceCCD", "J", "", "slice number on the CCD, from left to right"),
        Column("SliceSky", "J", "", "slice number on the sky"),
        Column("x", "D", "pix", "x position within the field of view"),
        Column("xerr", "D", "pix", "error of x", optional=True),
        Column("y", "D", "pix", "y position within the field of view"),
        Column("yerr", "D", "pix", "error of y", optional=True),
        Column("angle", "D", "deg", "rotation angle of the slice", optional=True),
        Column("angleerr", "D", "deg", "error of the angle", optional=True),
        Column("width", "D", "pix", "width of the slice within the field of view", optional=True),
        Column("widtherr", "D", "pix", "error of the width", optional=True),
    ),
    "Positions of all slices in the field of view",
)
SPOTS_TABLE: Final = TableFormat(
    "SPOTS_TABLE",
    (
        Column("filename", "80A", "", "raw file of the measured spot"),
        Column("image", "J", "", "number of the image in the series, from 1"),
        Column("POSENC2", "J", "", "x position of the mask in encoder steps"),
        Column("POSPOS2", "D", "mm", "x position of the mask"),
        Column("POSENC3", "J", "", "y position of the mask in encoder steps"),
        Column("POSPOS3", "D", "mm", "y position of the mask"),
        Column("POSENC4", "J", "", "z position of the mask in encoder steps"),
        Column("POSPOS4", "D", "mm", "z position of the mask"),
        Column("VPOS", "D", "mm", "vertical position of the mask"),
        Column("ScaleFOV", "D", "arcsec/mm", "focus scale of the VLT focal plane"),
        Column("SubField", "J", "", "IFU number"),
        Column("SliceCCD", "J", "", "slice number on the CCD"),
        Column("lambda", "D", "Angstrom", "wavelength of the arc line"),
        Column("SpotNo", "J", "", "number of the spot in the slice, 1 is left"),
        Column("xc", "D", "pix", "x centre of the spot on the CCD"),
        Column("yc", "D", "pix", "y centre of the spot on the CCD"),
        Column("xfwhm", "D", "pix", "FWHM of the spot in x"),
        Column("yfwhm", "D", "pix", "FWHM of the spot in y"),
        Column("flux", "D", "", "flux of the spot in the CCD window"),
        Column("bg", "D", "", "background level around the spot"),
        Column("dxcen", "D", "pix", "distance of the spot from the slice centre, right positive"),
        Column("twidth", "D", "pix", "width of the slice on the CCD"),
    ),
    "Measurements of the pinholes of the mask in one IFU",
)
FORMATS: Final = {
    fmt.name: fmt
    for fmt in (
        TRACE_TABLE,
        TRACE_SAMPLES,
        WAVECAL_TABLE,
        WAVECAL_RESIDUALS,
        LINE_CATALOG,
        BADPIX_TABLE,
        GEOMETRY_TABLE,
        SPOTS_TABLE,
    )
}


def read_table(path: str | os.PathLike[str], fmt: TableFormat, ifu: int | None = None) -> MuseTable:
    """Read a table: the extension ``CHANnn`` of the IFU if present, else the first table.

    Parameters
    ----------
    path : path-like
    fmt : TableFormat
    ifu : int, optional
        IFU wanted.

    Returns
    -------
    MuseTable
        As `core.fitsfile.dataunit.read_columns` gives it; of columns that the format does not name only numbers.

    Raises
    ------
    BadFitsError
        If the file holds no table, or a column is missing or of another type.
    MissingInputError
        If the file is of another IFU.
    """
    path = Path(path)
    try:
        scan = scan_fits(path)
        tables = [hdu for hdu in scan.hdus if hdu.kind == "table"]
        if not tables:
            raise BadFitsError(f"the file is no {fmt.name}: it holds no binary table", file=path)
        chosen = _choose(scan, tables, ifu)
        header = merged_header(scan.primary, chosen.header)
        columns = read_columns(path, chosen, needed={column.name for column in fmt.columns})
    except OSError as error:
        raise BadFitsError(f"cannot be read as FITS: {error}", file=path) from error
    for column in fmt.columns:
        if column.name not in columns:
            if column.optional:
                continue
            raise BadFitsError(f"{fmt.name} lacks the column {column.name}", file=path, keyword=column.name)
        _check_column(path, fmt, column, columns[column.name])
    own = {column.name for column in fmt.columns}
    further = {name: cells for name, cells in columns.items() if cells.ndim == 1 and cells.dtype.kind in "fiu"}
    return MuseTable({name: columns[name] for name in columns if name in own or name in further}, header)


def _check_column(path: Path, fmt: TableFormat, column: Column, cells: npt.NDArray[Any]) -> None:
    """BadFitsError if cells are of another type, or arrays where the format has numbers."""
    if cells.dtype.kind.replace("u", "i") != column.dtype.kind.replace("u", "i"):
        raise BadFitsError(
            f"column {column.name} of {fmt.name} is of type {cells.dtype}, not {column.form}",
            file=path,
            keyword=column.name,
        )
    if cells.ndim != 1 and len(column.form) == 1:
        raise BadFitsError(f"column {column.name} of {fmt.name} holds arrays", file=path, keyword=column.name)


def _choose(scan: FitsScan, tables: list[HduScan], ifu: int | None) -> HduScan:
    if ifu is None:
        return tables[0]
    of_ifus = {found: hdu for hdu in reversed(tables) if (found := ifu_of_extname(hdu.extname)) is not None}
    if ifu in of_ifus:
        return of_ifus[ifu]
    own = ifu_of_extname(str(scan.primary.get("EXTNAME", "")))
    if of_ifus or own not in (None, ifu):
        others = ", ".join(map(str, sorted(of_ifus) or (own,)))
        raise MissingInputError(f"the file has no table of IFU {ifu} (but of {others})", file=scan.path, ifu=ifu)
    return tables[0]


def write_table(
    path: str | os.PathLike[str],
    fmt: TableFormat,
    table: MuseTable,
    ifu: int | None = None,
    *,
    extension: str | None = None,
    extension_header: Header | None = None,
) -> Path:
    """Write a table product, atomically: all keywords in the primary HDU, one table without ``EXTNAME``.

    Parameters
    ----------
    path : path-like
    fmt : TableFormat
        Columns are written in its order, converted to its types; further columns of an open-ended format follow.
    table : MuseTable
    ifu : int, optional
        Sets ``EXTNAME`` of the primary HDU.
    extension : str, optional
        ``EXTNAME`` of the table.
    extension_header : Header, optional
        Further cards of the table extension.

    Raises
    ------
    DataError
        If a column is missing.
    """
    path = Path(path)
    header = table.header.copy()
    if ifu is not None:
        set_key(header, "EXTNAME", chip_name(ifu), "extension name")
    set_key(header, "PIPEFILE", path.name, "Filename of data product")
    columns, cards = encode_columns(fmt, table.columns)
    own = Header()
    if extension:
        own["EXTNAME"] = (extension, "extension name")
    if extension_header is not None:
        own.extend(extension_header.cards)
    with FitsWriter(path, datamd5=True) as writer:
        writer.primary(header)
        writer.table(own, columns, cards)
    return path


def encode_columns(
    fmt: TableFormat, columns: Mapping[str, npt.NDArray[Any]]
) -> tuple[dict[str, npt.NDArray[Any]], Header]:
    """Columns converted to the types of a format, and their ``TTYPEn`` ... cards."""
    specs = list(fmt.columns)
    if fmt.open_ended:
        known = {column.name for column in specs}
        specs += [Column(name, "D") for name in columns if name not in known]
    encoded: dict[str, npt.NDArray[Any]] = {}
    cards = Header()
    for column in specs:
        if column.name not in columns:
            if column.optional:
                continue
            raise DataError(f"a {fmt.name} needs the column {column.name}")
        number = len(encoded) + 1
        encoded[column.name] = np.asarray(columns[column.name]).astype(column.dtype)
        cards[f"TTYPE{number}"] = (column.name, column.description[:45])
        cards[f"TFORM{number}"] = f"{column.repeat}{column.form[-1]}"
        if column.unit:
            cards[f"TUNIT{number}"] = column.unit
        if column.form[-1] == "J":
            cards[f"TNULL{number}"] = INT_NULL
    return encoded, cards
