"""One pass over a FITS file: its hash, and whether its bytes are those that its checksums were made from.

``DATASUM`` is the sum of a data unit, ``CHECKSUM`` makes that of the whole HDU vanish (FITS standard 4.0, section
4.4.2.7 and appendix J). Archives write both; a file without them is taken as it is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from core.errors import BadFitsError
from core.fitsfile.cards import BLOCK, parse_cards
from core.fitsfile.checksum import add_sums, ones_complement_sum
from core.fitsfile.digest import file_sha256
from core.fitsfile.packed import ByteStream, open_packed, packing_of
from core.fitsfile.scan import HduScan, scan_fits, scan_packed

__all__ = ["FileCheck", "check_file", "faults_told"]

_PIECE: Final = 1 << 22  # bytes read at once, a multiple of the four that are summed
_WANTED: Final = frozenset({"DATASUM", "CHECKSUM"})
_VANISHED: Final = (0, 0xFFFFFFFF)  # the two zeros of ones' complement
_TOLD: Final = 3  # faults
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


def check_file(path: Path) -> FileCheck:
    """Hash a file and verify the checksums that it carries.

    A file is read once; one that is compressed as a whole is hashed as it is, and unpacked to verify its content.

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    if packing_of(path) is None:
        digest = hashlib.sha256()
        with path.open("rb") as stream:
            faults = _faults(stream, _hdus(path), digest.update)
            while part := stream.read(_PIECE):  # what grew meanwhile; whoever stores the hash looks at the size again
                digest.update(part)
        return FileCheck(digest.hexdigest(), faults)
    sha256 = file_sha256(path)
    try:
        with open_packed(path) as content:
            faults = _faults(content, scan_packed(path).hdus, lambda part: None)
    except BadFitsError as error:
        faults = (error.message,)
    return FileCheck(sha256, faults)


def faults_told(faults: Sequence[str]) -> str:
    """The first faults as one text."""
    return "; ".join(faults[:_TOLD]) + ("; and more" if len(faults) > _TOLD else "")


def _hdus(path: Path) -> tuple[HduScan, ...]:
    """No HDUs if the file is none that can be scanned."""
    try:
        return scan_fits(path).hdus
    except BadFitsError:
        return ()


def _faults(stream: ByteStream, hdus: Sequence[HduScan], seen: Callable[[bytes], object]) -> tuple[str, ...]:
    """What is wrong with the checksums of the HDUs of a stream; ``seen`` is told all that was read of it."""
    found: list[str] = []
    for hdu in hdus:
        summed = any(key.encode() in hdu.header_bytes for key in _WANTED)
        sums = []
        for size in (len(hdu.header_bytes), -(-hdu.data_bytes // BLOCK) * BLOCK):
            total = 0
            for part in _read(stream, size):
                seen(part)
                if summed:
                    total = ones_complement_sum(part, total)
            sums.append(total)
        if summed and (fault := _fault(hdu, *sums)):
            found.append(fault)
    return tuple(found)


def _read(stream: ByteStream, size: int) -> Iterator[bytes]:
    while size > 0 and (part := stream.read(min(size, _PIECE))):
        size -= len(part)
        yield part


def _fault(hdu: HduScan, header_sum: int, data_sum: int) -> str:
    """What is wrong with the checksums of an HDU; empty if nothing is."""
    cards = parse_cards(hdu.header_bytes, keep=_WANTED.__contains__)
    where = hdu.extname or ("the primary HDU" if hdu.index == 0 else f"HDU {hdu.index}")
    told = str(cards.get("DATASUM") or "").strip()
    summed = told.isdecimal() and len(told) <= _LONGEST
    if summed and int(told) % _VANISHED[1] != data_sum % _VANISHED[1]:
        return f"DATASUM of {where} is {told}, its data give {data_sum}"
    if str(cards.get("CHECKSUM") or "").strip("0 ") and add_sums(header_sum, data_sum) not in _VANISHED:
        return f"CHECKSUM of {where} does not agree" + (
            ": its header was changed, its data are whole" if summed else ""
        )
    return ""
