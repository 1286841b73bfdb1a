"""One pass over a FITS file: its hash, and whether its bytes are those that its checksums were made from.

``DATASUM`` is the sum of a data unit, ``CHECKSUM`` makes that of the whole HDU vanish (FITS standard 4.0, section
4.4.2.7 and appendix J). Archives write both; a file without them is taken as it is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from core.errors import BadFitsError
from core.fitsfile.cards import BLOCK, parse_cards
from core.fitsfile.checksum import add_sums, ones_complement_sum
from core.fitsfile.scan import HduScan, scan_fits

__all__ = ["FileCheck", "check_file"]

_PIECE: Final = 1 << 22  # bytes read at once, a multiple of the four that are summed
_WANTED: Final = frozenset({"DATASUM", "CHECKSUM"})
_VANISHED: Final = (0, 0xFFFFFFFF)  # the two zeros of ones' complement
_LONGEST: Final = 10  # digits of a sum of 32 bits


@dataclass(frozen=True)
class FileCheck:
    """What one pass over a file found.

    Attributes
    ----------
    sha256 : str
        Of the whole file, hexadecimal.
    faults : tuple of str
        Checksums that do not agree with the bytes, as sentences; empty if all agree or there are none.
    """

    sha256: str
    faults: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Piece:
    """A part of the file that is summed by itself: the header or the data of an HDU, or what comes after the last."""

    size: int
    hdu: HduScan | None = None
    is_data: bool = False


def check_file(path: Path) -> FileCheck:
    """Hash a file and verify the checksums that it carries, reading it once.

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    digest = hashlib.sha256()
    sums: dict[int, list[int]] = {}
    pieces = _pieces(path)
    with path.open("rb") as stream:
        for piece in pieces:
            total = 0
            for part in _read(stream, piece.size):
                digest.update(part)
                if piece.hdu is not None:
                    total = ones_complement_sum(part, total)
            if piece.hdu is not None:
                sums.setdefault(piece.hdu.index, [0, 0])[piece.is_data] = total
        while part := stream.read(_PIECE):  # what grew meanwhile; whoever stores the hash looks at the size again
            digest.update(part)
    hdus = {piece.hdu.index: piece.hdu for piece in pieces if piece.hdu is not None}
    found = (_fault(hdu, *sums[index]) for index, hdu in hdus.items())
    return FileCheck(digest.hexdigest(), tuple(fault for fault in found if fault))


def _pieces(path: Path) -> list[_Piece]:
    """The file in the order in which it is read; no HDUs if it is none that can be scanned."""
    try:
        scan = scan_fits(path)
    except BadFitsError:
        return []
    pieces: list[_Piece] = []
    for hdu in scan.hdus:
        summed = hdu if any(key.encode() in hdu.header_bytes for key in _WANTED) else None
        padded = -(-hdu.data_bytes // BLOCK) * BLOCK
        pieces += [_Piece(len(hdu.header_bytes), summed), _Piece(padded, summed, is_data=True)]
    return pieces


def _read(stream: BinaryIO, size: int) -> Iterator[bytes]:
    while size > 0 and (part := stream.read(min(size, _PIECE))):
        size -= len(part)
        yield part


def _fault(hdu: HduScan, header_sum: int, data_sum: int) -> str:
    """What is wrong with the checksums of an HDU; empty if nothing is."""
    cards = parse_cards(hdu.header_bytes, keep=_WANTED.__contains__)
    where = hdu.extname or ("the primary HDU" if hdu.index == 0 else f"HDU {hdu.index}")
    told = str(cards.get("DATASUM") or "").strip()
    if told.isdecimal() and len(told) <= _LONGEST and int(told) % _VANISHED[1] != data_sum % _VANISHED[1]:
        return f"DATASUM of {where} is {told}, its data give {data_sum}"
    if str(cards.get("CHECKSUM") or "").strip("0 ") and add_sums(header_sum, data_sum) not in _VANISHED:
        return f"CHECKSUM of {where} does not agree with its header"
    return ""
