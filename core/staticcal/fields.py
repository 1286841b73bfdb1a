"""Catalogues of stars that users bring become an ASTROMETRY_REFERENCE, a table for each field."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from core.errors import DataError
from core.formats.onsky_tables import ASTROMETRY_REFERENCE, named_tables
from core.staticcal.writing import Provenance, StaticTable, write_static

__all__ = ["write_fields"]

Cells = Sequence[Any] | npt.NDArray[Any]

# Columns of the table: how catalogues call them (Gaia's names among them), in lower case.
_NAMES: Final = {
    "SourceID": ("sourceid", "source_id", "id", "name"),
    "RA": ("ra", "raj2000", "ra_icrs"),
    "DEC": ("dec", "dej2000", "de_icrs"),
    "filter": ("filter", "band"),
    "mag": ("mag", "phot_g_mean_mag", "gmag", "vmag"),
}
_NEEDED: Final = ("RA", "DEC", "mag")
_FEWEST: Final = 4  # stars of a field


def write_fields(path: str | os.PathLike[str], catalogues: Sequence[Path], date: str) -> Path:
    """Write ASTROMETRY_REFERENCE (atomically) from one catalogue for each field.

    Parameters
    ----------
    path : path-like
    catalogues : sequence of pathlib.Path
        CSV with a line of names, or FITS with a binary table: right ascension and declination [deg, J2000], magnitude,
        and if there are any identifications and filters. The field has the name of the file.
    date : str
        Of the catalogues, ISO.

    Raises
    ------
    DataError
        If a catalogue lacks a column, holds what are no numbers, or has too few stars.
    """
    tables = [_table(catalogue) for catalogue in catalogues]
    provenance = Provenance(
        1, date, "Stars of astrometric fields, as brought by a user.", tuple(catalogue.name for catalogue in catalogues)
    )
    return write_static(path, ASTROMETRY_REFERENCE.name, tables, provenance)


def _table(path: Path) -> StaticTable:
    read: Callable[[Path], Mapping[str, Cells]] = _csv if path.suffix.lower() in (".csv", ".txt") else _fits
    cells = {name.lower().strip(): values for name, values in read(path).items()}
    columns = {
        column: cells[found]
        for column, aliases in _NAMES.items()
        if (found := next((alias for alias in aliases if alias in cells), None)) is not None
    }
    if missing := [name for name in _NEEDED if name not in columns]:
        raise DataError(
            f"the catalogue has no column {' and none '.join(missing)} (taken are "
            f"{', '.join('/'.join(_NAMES[name]) for name in missing)})",
            file=path,
        )
    ra, dec, mag = (_numbers(path, name, columns[name]) for name in _NEEDED)
    usable = np.isfinite(ra) & np.isfinite(dec) & np.isfinite(mag)
    if usable.sum() < _FEWEST:
        raise DataError(f"the catalogue has {int(usable.sum())} stars; a field needs {_FEWEST}", file=path)
    order = np.flatnonzero(usable)[np.argsort(mag[usable], kind="stable")]
    named = columns.get("SourceID", [f"{number:04d}" for number in range(1, ra.size + 1)])
    bands = columns.get("filter", [""] * ra.size)
    center = _center(ra[order], dec[order])
    return StaticTable(
        ASTROMETRY_REFERENCE,
        {
            "SourceID": np.array([_text(named[k]) for k in order]),
            "RA": ra[order],
            "DEC": dec[order],
            "filter": np.array([_text(bands[k]) for k in order]),
            "mag": mag[order],
        },
        path.stem,
        (
            ("RA", round(center[0], 6), "[deg] centre of the field (J2000)"),
            ("DEC", round(center[1], 6), "[deg] centre of the field (J2000)"),
        ),
        reference=path.name,
    )


def _center(ra: npt.NDArray[np.float64], dec: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Middle of the stars, also across RA 0 [deg]."""
    around = (ra - ra[0] + 180.0) % 360.0 - 180.0
    return float((ra[0] + 0.5 * (around.min() + around.max())) % 360.0), float(0.5 * (dec.min() + dec.max()))


def _csv(path: Path) -> Mapping[str, Cells]:
    with open(path, newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(line for line in stream if not line.startswith("#")))
    return {name: [row[name] for row in rows] for name in (rows[0] if rows else ())}


def _fits(path: Path) -> Mapping[str, Cells]:
    return next(named_tables(path)).columns


def _numbers(path: Path, name: str, cells: Cells) -> npt.NDArray[np.float64]:
    try:
        return np.array([float(cell) if str(cell).strip() else np.nan for cell in cells])
    except (TypeError, ValueError) as error:
        raise DataError(f"the column {name} holds what is no number: {error}", file=path) from error


def _text(cell: Any) -> str:
    return (cell.decode("ascii", "replace") if isinstance(cell, bytes) else str(cell)).strip()
