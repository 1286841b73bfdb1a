"""Tables become a static calibration, with what they come from in the header; the same tables give the same bytes.

``ORIGIN`` tells that the file was built here and gives way to a delivered one (`core.staticcal.directory`);
``ESO DRS STATIC VERSION`` and ``DATE`` are of the version of its content; the COMMENTs tell what it is and where the
numbers come from, ``REFERENC`` in an extension where those of the extension do; ``DATAMD5``, ``CHECKSUM`` and
``DATASUM`` are of the data.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy.typing as npt

from core.fitsfile.header import Header
from core.fitsfile.keywords import set_key
from core.fitsfile.scan import scan_fits
from core.fitsfile.writer import FitsWriter
from core.formats.tables import TableFormat, encode_columns

__all__ = ["BUILT_HERE", "Provenance", "StaticTable", "is_built_here", "static_header", "write_static"]

BUILT_HERE: Final = "cascade-muse"
"""``ORIGIN`` of what was built here."""


@dataclass(frozen=True)
class Provenance:
    """Where the content of a static calibration comes from.

    Attributes
    ----------
    version : int
        Counted up when the content changes.
    date : str
        Of this version, ISO.
    told : str
        What the file is, in a sentence.
    sources : tuple of str
        One for each origin of numbers: a reference, or what was computed.
    """

    version: int
    date: str
    told: str
    sources: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class StaticTable:
    """One table of the file.

    Attributes
    ----------
    fmt : TableFormat
    columns : mapping of str to ndarray
    name : str
        ``EXTNAME``; none if empty.
    cards : tuple of (str, value, str)
        Further cards of its extension: key in dot notation, value, comment.
    reference : str
        Where its numbers come from; none if empty.
    told : str
        COMMENT of its extension.
    """

    fmt: TableFormat
    columns: Mapping[str, npt.NDArray[Any]]
    name: str = ""
    cards: tuple[tuple[str, Any, str], ...] = ()
    reference: str = ""
    told: str = ""


def is_built_here(path: Path) -> bool:
    """Whether a file is a static calibration that was built, so that it may be built again.

    Raises
    ------
    BadFitsError
        If the file is no FITS file.
    """
    return scan_fits(path).primary.get("ORIGIN") == BUILT_HERE


def static_header(tag: str, provenance: Provenance, setup: Mapping[str, Any] | None = None) -> Header:
    """Primary header of a static calibration.

    Parameters
    ----------
    tag : str
        ``PRO.CATG``.
    provenance : Provenance
    setup : mapping, optional
        Further keywords in dot notation: of the set-up, of validity.
    """
    header = Header()
    header["ORIGIN"] = (BUILT_HERE, "built, not delivered")
    header["DATE"] = (provenance.date, "of this version of the content")
    header["INSTRUME"] = ("MUSE", "Instrument used.")
    set_key(header, "PRO.CATG", tag, "Category of pipeline product frame")
    for key, value in (setup or {}).items():
        set_key(header, key, value)
    set_key(header, "DRS.STATIC.VERSION", provenance.version, "version of the content")
    for text in (provenance.told, *(f"Source: {source}" for source in provenance.sources)):
        header.add_comment(text)
    return header


def write_static(
    path: str | os.PathLike[str],
    tag: str,
    tables: Iterable[StaticTable],
    provenance: Provenance,
    setup: Mapping[str, Any] | None = None,
) -> Path:
    """Write tables as a static calibration (atomically).

    No ``PIPEFILE``: the reference pipeline takes only files without it as calibrations for all IFUs.
    """
    target = Path(path)
    with FitsWriter(target, datamd5=True) as writer:
        writer.primary(static_header(tag, provenance, setup))
        for table in tables:
            own = Header()
            if table.name:
                own["EXTNAME"] = (table.name, "extension name")
            for key, value, comment in table.cards:
                set_key(own, key, value, comment)
            if table.reference:
                own["REFERENC"] = table.reference
            if table.told:
                own.add_comment(table.told)
            encoded, cards = encode_columns(table.fmt, table.columns)
            writer.table(own, encoded, cards)
    return target
