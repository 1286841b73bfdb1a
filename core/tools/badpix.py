"""Lists of bad pixels become BADPIX_TABLE files, new ones or additions to existing ones.

Positions in a BADPIX_TABLE are 1-based pixels of the untrimmed raw frame. A file holds one table for each IFU, in an
extension ``CHANnn``.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from core.ccd.geometry import Detector
from core.errors import BadFitsError, MuseError
from core.fitsfile.header import Header
from core.fitsfile.keywords import dot_name, get_key, has_key, merged_header, set_key
from core.fitsfile.scan import FitsScan, scan_fits
from core.fitsfile.writer import FitsWriter
from core.formats.merge import copy_data
from core.formats.raw import detector_of_header
from core.formats.tables import BADPIX_TABLE, encode_columns, read_table
from core.instruments.muse.facts import chip_name, ifu_of_extname

__all__ = [
    "BadPixelList",
    "NewTable",
    "TableHeaders",
    "headers_from",
    "ifus_of_image",
    "join",
    "minimal_headers",
    "pixels_of_image",
    "to_raw",
    "write_bad_pixel_tables",
    "write_bad_pixels",
]

IntArray = npt.NDArray[np.int32]

_EXPOSURE = re.compile(r"DET\.(DEV\d*\.(SHUT|EXP)|EXP|DIT|UIT|NDIT|DKTM)(\.|$)")
_CHANNEL = re.compile(r"DET\.(CHIP|OUT\d)\.")
_OBJECT = "Bad pixel table for MUSE (BADPIX_TABLE)"


@dataclass(frozen=True, eq=False)
class BadPixelList:
    """Bad pixels of one IFU.

    Attributes
    ----------
    x, y : ndarray of int32, shape (n,)
        1-based positions.
    status : ndarray of int32, shape (n,)
        Euro3D flags.
    value : ndarray of float32, shape (n,)
        Extra value; NaN where there is none.
    """

    x: IntArray
    y: IntArray
    status: IntArray
    value: npt.NDArray[np.float32]

    @classmethod
    def of(cls, x: npt.ArrayLike, y: npt.ArrayLike, status: npt.ArrayLike) -> BadPixelList:
        """Pixels without extra values."""
        # Flags are bit patterns: 2^31 is kept as the sign bit. Absurd positions stay absurd.
        limits = np.iinfo(np.int32)
        xs, ys = (np.clip(np.array(v, dtype=np.int64), limits.min, limits.max).astype(np.int32) for v in (x, y))
        flags = np.array(status, dtype=np.int64).astype(np.uint32).view(np.int32)
        return cls(xs, ys, flags, np.full(len(xs), np.nan, np.float32))

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True)
class TableHeaders:
    """Keywords of a new BADPIX_TABLE: of the file, and of the table of the IFU."""

    primary: Header
    extension: Header


@dataclass(frozen=True)
class NewTable:
    """What is to be written for one IFU: raw positions, and keywords for a new file or table."""

    ifu: int
    pixels: BadPixelList
    headers: TableHeaders


def pixels_of_image(dq: IntArray) -> BadPixelList:
    """All flagged pixels of a trimmed image, in trimmed positions.

    Parameters
    ----------
    dq : ndarray of int32, shape (ny, nx)
    """
    y, x = np.nonzero(dq)
    return BadPixelList(
        (x + 1).astype(np.int32), (y + 1).astype(np.int32), dq[y, x], np.full(len(x), np.nan, np.float32)
    )


def to_raw(pixels: BadPixelList, detector: Detector) -> BadPixelList:
    """Trimmed positions become positions on the raw frame."""
    return BadPixelList(*detector.raw_places(pixels.x, pixels.y), pixels.status, pixels.value)


def join(parts: Sequence[BadPixelList]) -> BadPixelList:
    """One list, sorted by x, then y; entries of the same pixel are joined.

    Their flags are combined, and the largest of their values is kept.
    """
    x, y, status, value = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("x", "y", "status", "value")
    )
    order = np.lexsort((y, x))
    x, y, status, value = x[order], y[order], status[order], value[order]
    if len(x) == 0:
        return BadPixelList(x, y, status, value)
    first = np.flatnonzero(np.concatenate(([True], (np.diff(x) != 0) | (np.diff(y) != 0))))
    return BadPixelList(
        x[first], y[first], np.bitwise_or.reduceat(status, first), np.fmax.reduceat(value, first).astype(np.float32)
    )


# -- headers --------------------------------------------------------------------------------------------------


def minimal_headers(ifu: int) -> TableHeaders:
    """Keywords of a table for which there is no image to take them from."""
    primary, extension = Header(), Header()
    set_key(primary, "TELESCOP", "ESO-VLT-U4", "ESO <TEL>")
    set_key(primary, "INSTRUME", "MUSE", "Instrument used")
    _label(primary)
    set_key(extension, "DET.CHIP.NAME", chip_name(ifu), "Detector chip name")
    return TableHeaders(primary, extension)


def headers_from(header: Header) -> TableHeaders:
    """Keywords of a table from those of an image: telescope, instrument and detector, nothing of the exposure."""
    primary, extension = Header(), Header()
    for card in header.cards:
        name = dot_name(card.keyword)
        if _CHANNEL.match(name):
            extension.append(card)
        elif name in ("TELESCOP", "INSTRUME") or (name.startswith("DET.") and not _EXPOSURE.match(name)):
            primary.append(card)
    _label(primary)
    return TableHeaders(primary, extension)


def reference_header(path: Path, ifu: int, extname: str | None) -> Header:
    """Keywords of a reference image: of the file and of the extension named (by default that of the IFU).

    Raises
    ------
    BadFitsError
        If the extension named does not exist.
    """
    scan = scan_fits(path)
    wanted = extname or chip_name(ifu)
    hdu = scan.extension(wanted) or (None if extname else scan.extension(f"{wanted}.DATA"))
    if hdu is None and extname:
        raise BadFitsError(f"there is no extension {extname}", file=path)
    return merged_header(scan.primary, hdu.header if hdu is not None else Header())


def detector_from(header: Header | None, path: Path | None = None) -> Detector:
    """Geometry told by a header; that of the real detectors if it tells nothing."""
    if header is None or not has_key(header, "DET.OUT1.NX"):
        return Detector()
    return detector_of_header(header, path)


def _label(primary: Header) -> None:
    set_key(primary, "OBJECT", _OBJECT, "Target description")
    set_key(primary, "PRO.CATG", BADPIX_TABLE.name, "Category of pipeline product frame")


# -- files ----------------------------------------------------------------------------------------------------


def write_bad_pixels(
    output: Path, pixels: BadPixelList, ifu: int, headers: TableHeaders, existing: Path | None = None
) -> int:
    """Write a BADPIX_TABLE of one IFU, or one with this IFU added; returns the number of pixels in its table.

    See `write_bad_pixel_tables`.
    """
    return write_bad_pixel_tables(output, [NewTable(ifu, pixels, headers)], existing)[ifu]


def write_bad_pixel_tables(output: Path, tables: Sequence[NewTable], existing: Path | None = None) -> dict[int, int]:
    """Write a BADPIX_TABLE with the tables of one or more IFUs.

    Parameters
    ----------
    output : pathlib.Path
    tables : sequence of NewTable
        At least one, each of another IFU.
    existing : pathlib.Path, optional
        File to add to: its tables of these IFUs are joined with the new pixels, its other extensions are copied as they
        are. If it cannot be read a new file is made, with a warning.

    Returns
    -------
    dict
        IFU to the number of pixels in its table.
    """
    scan = _scan_existing(existing) if existing is not None else None
    open_tables = {table.ifu: table for table in tables}
    counts: dict[int, int] = {}
    primary = tables[0].headers.primary if scan is None else merged_header(scan.primary, Header())
    alone = None if scan is None else ifu_of_extname(str(primary.get("EXTNAME", "")))  # one IFU, told in the primary
    primary.remove("DATAMD5")
    with FitsWriter(output, datamd5=True) as writer:
        writer.primary(_named(primary, output))
        for hdu in scan.hdus[1:] if scan is not None else ():
            ifu = ifu_of_extname(hdu.extname) or alone
            if scan is not None and ifu in open_tables and hdu.kind == "table":
                joined = join([_read_list(scan.path, ifu), open_tables.pop(ifu).pixels])
                counts[ifu] = len(joined)
                _write_table(writer, joined, ifu, _own_cards(hdu.header))
            elif scan is not None:
                writer.raw_hdu(hdu.header, copy_data(scan.path, hdu), hdu.data_bytes)
        for ifu, table in sorted(open_tables.items()):
            joined = join([table.pixels])
            counts[ifu] = len(joined)
            _write_table(writer, joined, ifu, table.headers.extension)
    return counts


def _scan_existing(path: Path) -> FitsScan | None:
    try:
        scan = scan_fits(path)
        if scan.truncated:
            raise BadFitsError("the file is cut", file=path)
        if all(hdu.kind != "table" for hdu in scan.hdus):
            raise BadFitsError("it holds no table", file=path)
    except (MuseError, OSError) as error:
        print(f"warning: {os.fspath(path)} cannot be read, a new table is made: {error}", file=sys.stderr)
        return None
    return scan


def _read_list(path: Path, ifu: int) -> BadPixelList:
    table = read_table(path, BADPIX_TABLE, ifu)
    value = table["value"] if "value" in table else np.full(table.n_rows, np.nan)
    return BadPixelList(table["xpos"], table["ypos"], table["status"], value.astype(np.float32))


def _named(primary: Header, output: Path) -> Header:
    header = primary.copy()
    set_key(header, "PIPEFILE", output.name, "Filename of data product")
    return header


def _own_cards(header: Header) -> Header:
    own = merged_header(header, Header())
    own.remove("EXTNAME", "CHECKSUM", "DATASUM")
    return own


def _write_table(writer: FitsWriter, pixels: BadPixelList, ifu: int, cards: Header) -> None:
    columns, structure = encode_columns(
        BADPIX_TABLE, {"xpos": pixels.x, "ypos": pixels.y, "status": pixels.status, "value": pixels.value}
    )
    header = Header()
    header["EXTNAME"] = (chip_name(ifu), "extension name")
    header.extend(cards.cards)
    writer.table(header, columns, structure)


def ifus_of_image(scan: FitsScan) -> tuple[int, ...]:
    """IFUs of an image-based product, ascending: those merged, or the one that the header of a single file tells."""
    merged = {ifu_of_extname(hdu.extname.removesuffix(".DQ")) for hdu in scan.hdus[1:] if hdu.extname.endswith(".DQ")}
    found = sorted(ifu for ifu in merged if ifu is not None)
    for keyword in () if found else ("EXTNAME", "DET.CHIP.NAME"):
        ifu = ifu_of_extname(get_key(scan.primary, keyword, str, default=""))
        if ifu is not None:
            return (ifu,)
    return tuple(found)
