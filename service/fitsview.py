"""What a FITS file on disk says about itself: extensions, headers, the first rows of tables."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import BadFitsError, NotFoundError
from core.fitsfile.cards import COMMENTARY
from core.fitsfile.dataunit import column_cards, column_names, read_columns
from core.fitsfile.keywords import dot_name
from core.fitsfile.scan import FitsScan, HduScan, scan_fits
from core.previews.curves import has_curves
from service.files import existing

__all__ = ["Card", "ExtensionInfo", "TableView", "extension_cards", "extensions", "table_rows"]


@dataclass(frozen=True)
class ExtensionInfo:
    """One HDU of a file."""

    index: int
    name: str
    kind: str
    size: str
    unit: str
    n_axes: int = 0  # of its pixels; 0 for tables
    has_curves: bool = False  # a table of curves over wavelength

    @property
    def is_image(self) -> bool:
        """Whether a preview can be made."""
        return self.n_axes == 2

    @property
    def is_shown(self) -> bool:
        """Whether a page has more to show than its header: a cube has its pictures in extensions of their own."""
        return self.is_image or self.kind == "table"

    def data(self) -> dict[str, Any]:
        """Plain values."""
        return {"index": self.index, "name": self.name, "kind": self.kind, "size": self.size, "unit": self.unit}


@dataclass(frozen=True)
class Card:
    """One header card in dot notation."""

    key: str
    value: Any
    comment: str


@dataclass(frozen=True)
class TableView:
    """The first rows of a table extension."""

    columns: tuple[str, ...]
    units: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    total: int
    problem: str = ""  # why no rows are shown
    left_out: tuple[str, ...] = ()  # columns of bits, complex numbers or arrays of variable length


def extensions(path: Path) -> tuple[ExtensionInfo, ...]:
    """All HDUs of a file, the primary one first."""
    return tuple(_describe(hdu) for hdu in scan_fits(existing(path)).hdus)


def _describe(hdu: HduScan) -> ExtensionInfo:
    n_axes = 0 if hdu.kind == "table" else len(hdu.shape)
    if hdu.kind == "table":
        size = f"{hdu.shape[0]} rows, {hdu.header.get('TFIELDS', 0)} columns"
    else:
        size = " × ".join(str(length) for length in reversed(hdu.shape))
    name = hdu.extname or ("PRIMARY" if hdu.index == 0 else f"#{hdu.index}")
    kind = "header" if not hdu.shape else hdu.kind
    curves = hdu.kind == "table" and has_curves(hdu.header)
    return ExtensionInfo(hdu.index, name, kind, size or "no data", str(hdu.header.get("BUNIT", "")), n_axes, curves)


def _hdu(scan: FitsScan, index: int) -> HduScan:
    if not 0 <= index < len(scan.hdus):
        raise NotFoundError(f"{scan.path.name} has {len(scan.hdus)} HDUs, numbered from 0", file=scan.path, index=index)
    return scan.hdus[index]


def extension_cards(path: Path, index: int) -> list[Card]:
    """Header cards of one HDU, in the order of the file, in dot notation."""
    header = _hdu(scan_fits(existing(path)), index).header
    return [
        Card(dot_name(card.keyword), "" if card.value is None else card.value, card.comment)
        for card in header.cards
        if card.keyword not in COMMENTARY
    ]


def table_rows(path: Path, index: int, limit: int) -> TableView:
    """The first rows of a table, as text; arrays in cells are cut after four elements.

    Raises
    ------
    NotFoundError
        If the HDU is no table.
    """
    hdu = _hdu(scan_fits(existing(path)), index)
    if hdu.kind != "table":
        raise NotFoundError(f"HDU {index} of {path.name} is no table", file=path, index=index)
    try:
        columns = read_columns(path, hdu, limit)
    except BadFitsError as error:  # the rest of the file is there to be seen
        return TableView((), (), (), hdu.shape[0], error.message)
    rows = tuple(tuple(_cell(value) for value in row) for row in zip(*columns.values(), strict=True))
    names = column_names(hdu.header)
    units = dict(zip(names, column_cards(hdu.header, "TUNIT"), strict=True))
    return TableView(
        tuple(columns),
        tuple(units[name] for name in columns),
        rows,
        hdu.shape[0],
        left_out=tuple(name for name in names if name not in columns),
    )


def _cell(value: Any) -> str:
    if isinstance(value, np.ndarray) and value.ndim:
        flat = value.ravel()
        return ", ".join(_cell(item) for item in flat[:4]) + (" …" if flat.size > 4 else "")
    if hasattr(value, "dtype") and value.dtype.kind == "f":
        return f"{float(value):.7g}"
    return (value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)).strip()
