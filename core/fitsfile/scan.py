"""Header-only scan of a FITS file: structure, extension names, completeness.

Reads the primary header and, of each extension, just the header blocks; data units are skipped by seeking. No pixel
is touched, so a raw frame of 24 detectors (860 MB) costs about a millisecond. Tile-compressed extensions (``.fits.fz``)
are described as the images they hold. A file that is compressed as a whole (``.fits.gz``, ``.fits.Z``) has to be
unpacked for it from start to end, as a stream, and no further than its headers announce.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

from core.errors import BadFitsError
from core.fitsfile.cards import BLOCK, CARD, CardValue, card_field, card_value
from core.fitsfile.header import Header
from core.fitsfile.packed import ByteStream, Packing, open_content, open_packed, packing_of, packing_of_bytes

__all__ = ["FitsScan", "HduScan", "first_header", "scan_file", "scan_fits", "scan_packed"]

_MAX_HEADER_BLOCKS = 4096  # ~ 147 000 cards: more is not a header
_MAX_HDUS = 1000  # products of 24 units have some 150
_MAX_HEADER_BYTES = 64 << 20  # of all HDUs together: they are kept in memory
_MAX_UNPACKED = 4 << 30  # of a compressed file: a raw frame of 24 detectors has 0.86 GB
_PIECE = 1 << 20  # bytes unpacked at a time


@dataclass(frozen=True)
class HduScan:
    """One HDU as seen from its header.

    Attributes
    ----------
    index : int
        Position in the file, 0 is the primary HDU.
    extname : str
        ``EXTNAME``, empty if there is none.
    kind : str
        ``image``, ``table`` (binary), ``ascii`` (table of text) or ``compressed`` (tile-compressed image).
    shape : tuple of int
        Array shape in numpy order, of the image in a compressed HDU, or ``(rows, bytes per row)``.
    bitpix : int
        ``BITPIX`` (``ZBITPIX``).
    header_bytes : bytes
        The raw header blocks.
    data_offset, data_bytes : int
        Where the data unit starts in the file and its length without padding.
    """

    index: int
    extname: str
    kind: str
    shape: tuple[int, ...]
    bitpix: int
    header_bytes: bytes
    data_offset: int
    data_bytes: int

    @cached_property
    def header(self) -> Header:
        """The parsed header; bytes that FITS forbids are ``?``, so that it can be written again."""
        return Header.from_text(self.header_bytes.decode("ascii", errors="replace"))

    def value(self, keyword: str) -> CardValue:
        """Value of a keyword of up to eight letters, found without reading the other cards; None without it."""
        word = keyword.ljust(8).encode() + b"= "
        position = self.header_bytes.find(word)
        while position >= 0:
            if position % CARD == 0:
                return card_value(self.header_bytes[position + len(word) : position + CARD].decode("ascii", "replace"))
            position = self.header_bytes.find(word, position + 1)
        return None


@dataclass(frozen=True)
class FitsScan:
    """Structure of a FITS file.

    Attributes
    ----------
    path : pathlib.Path
    size : int
        Size on disk, of a compressed file that of its content [byte].
    expected_size : int
        Size that the headers promise [byte]; padding of the last data unit may be missing.
    hdus : tuple of HduScan
        Their offsets are places in the content.
    packing : Packing or None
        What the file is compressed with, as a whole.
    """

    path: Path
    size: int
    expected_size: int
    hdus: tuple[HduScan, ...]
    packing: Packing | None = None

    @property
    def truncated(self) -> bool:
        """Whether data that a header promises are not on disk."""
        last = self.hdus[-1]
        return self.size < last.data_offset + last.data_bytes

    @property
    def primary(self) -> Header:
        """Header of the primary HDU."""
        return self.hdus[0].header

    def extension(self, name: str) -> HduScan | None:
        """The first HDU of that ``EXTNAME``, or None."""
        return next((hdu for hdu in self.hdus if hdu.extname == name), None)


def scan_fits(path: str | os.PathLike[str]) -> FitsScan:
    """Scan a FITS file by its headers.

    Parameters
    ----------
    path : path-like
        A ``.fits`` or tile-compressed ``.fits.fz`` file.

    Returns
    -------
    FitsScan
        Check `FitsScan.truncated` before reading pixels.

    Raises
    ------
    BadFitsError
        If the file does not start like FITS or has more HDUs or headers than any of ours (``reason=not_fits``), or a
        header is broken or cut (``reason=truncated``).
    OSError
        If the file cannot be read.
    """
    path = Path(path)
    with path.open("rb", buffering=0) as stream:
        number = stream.fileno()
        size = os.fstat(number).st_size
        hdus, end = _read_hdus(lambda position, length: os.pread(number, length, position), size, path)
    return FitsScan(path, size, end, hdus)


def scan_packed(path: str | os.PathLike[str], copy: BinaryIO | None = None) -> FitsScan:
    """Scan a FITS file that is compressed as a whole, and keep its content if need be.

    Parameters
    ----------
    path : path-like
    copy : binary file, optional
        Gets what is unpacked.

    Raises
    ------
    BadFitsError
        As `scan_fits`; if the compressed bytes are cut (``reason=truncated``) or damaged (``reason=damaged``), cannot
        be unpacked here (``reason=compressed``), or the headers announce more than any of our files has
        (``reason=not_fits``).
    OSError
        If the file cannot be read, or the copy not be written.
    """
    path = Path(path)
    with open_packed(path) as stream:
        content = _Forward(stream, copy)
        hdus, end = _read_hdus(content.read, _MAX_UNPACKED, path)
        if end > _MAX_UNPACKED:
            raise BadFitsError(
                f"the headers announce {end} bytes; compressed files are read up to {_MAX_UNPACKED >> 30} GiB",
                file=path,
                reason="not_fits",
            )
    return FitsScan(path, content.end, end, hdus, packing_of(path))


def scan_file(path: str | os.PathLike[str]) -> FitsScan:
    """Scan a FITS file, be it compressed as a whole or not; for errors see `scan_fits` and `scan_packed`."""
    return scan_fits(path) if packing_of(Path(path)) is None else scan_packed(path)


def first_header(path: str | os.PathLike[str]) -> Header:
    """The primary header of a FITS file, be it compressed as a whole or not; for errors see `scan_file`."""
    path = Path(path)
    with open_content(path) as stream:
        return Header.from_text(
            (_read_header(_Forward(stream, None).read, 0, path, 0) or b"").decode("ascii", "replace")
        )


class _Forward:
    """Reads a stream at places that only go forward; ``end`` is how much of it was unpacked."""

    def __init__(self, stream: ByteStream, copy: BinaryIO | None) -> None:
        self._stream, self._copy = stream, copy
        self._ahead = b""  # the last bytes that were unpacked
        self.end = 0

    def read(self, position: int, length: int) -> bytes:
        """Bytes from a place on; fewer than ``length`` at the end of the stream."""
        while self.end < position and (part := self._next(min(position - self.end, _PIECE))):
            self._ahead = part
        parts = [self._ahead[position - self.end :] if self.end > position else b""]
        while self.end < position + length and (part := self._next(position + length - self.end)):
            parts.append(part)
        self._ahead = b"".join(parts)
        return self._ahead[:length]

    def _next(self, length: int) -> bytes:
        part = self._stream.read(length)
        self.end += len(part)
        if self._copy is not None:
            self._copy.write(part)
        return part


def _read_hdus(read: Callable[[int, int], bytes], size: int, path: Path) -> tuple[tuple[HduScan, ...], int]:
    """The HDUs of a file of up to ``size`` bytes, and where the last one ends, padding included."""
    hdus: list[HduScan] = []
    header_size = offset = 0
    while offset < size:
        header_bytes = _read_header(read, offset, path, len(hdus))
        if header_bytes is None:  # the end, or bytes that are no HDU (FITS "special records")
            break
        hdu = _describe(header_bytes, len(hdus), offset, path)
        hdus.append(hdu)
        header_size += len(header_bytes)
        if len(hdus) > _MAX_HDUS or header_size > _MAX_HEADER_BYTES:
            raise BadFitsError(
                f"the file has more than {_MAX_HDUS} HDUs or {_MAX_HEADER_BYTES >> 20} MiB of headers",
                file=path,
                reason="not_fits",
            )
        offset = hdu.data_offset + -(-hdu.data_bytes // BLOCK) * BLOCK
    if not hdus:
        raise BadFitsError("the file is empty", file=path, reason="truncated")
    return tuple(hdus), offset


def _read_header(read: Callable[[int, int], bytes], offset: int, path: Path, index: int) -> bytes | None:
    blocks = bytearray()
    want = BLOCK * (16 if index == 0 else 4)
    while True:
        part = read(offset + len(blocks), want)
        if not blocks:
            if index == 0 and not part.startswith(b"SIMPLE  ="):
                raise _no_fits(part, path)
            if index > 0 and not part.startswith(b"XTENSION"):
                return None
        start = len(blocks) - len(blocks) % BLOCK
        blocks += part
        for block in range(start, len(blocks) - len(blocks) % BLOCK, BLOCK):
            if _has_end(blocks, block):
                return bytes(blocks[: block + BLOCK])
        if len(part) < want or len(blocks) > _MAX_HEADER_BLOCKS * BLOCK:
            raise BadFitsError(
                f"the header of HDU {index} has no END card: the file is cut or damaged",
                file=path,
                reason="truncated",
            )
        want = BLOCK * 16


def _no_fits(start: bytes, path: Path) -> BadFitsError:
    packing = packing_of_bytes(start)
    if packing is not None:
        return BadFitsError(f"the file is compressed as a whole ({packing}): unpack it", file=path, reason="compressed")
    if not start:
        return BadFitsError("the file is empty", file=path, reason="truncated")
    return BadFitsError("the file does not start with SIMPLE: it is not FITS", file=path, reason="not_fits")


def _has_end(blocks: bytearray, start: int) -> bool:
    position = blocks.find(b"END     ", start, start + BLOCK)
    while position >= 0:
        if (position - start) % CARD == 0 and not blocks[position + 8 : start + BLOCK].strip():
            return True
        position = blocks.find(b"END     ", position + 1, start + BLOCK)
    return False


def _describe(header: bytes, index: int, offset: int, path: Path) -> HduScan:
    cards = _structural_cards(header)

    def number(key: str, default: int | None = None) -> int:
        value = cards.get(key)
        if value is None:
            if default is None:
                raise BadFitsError(f"HDU {index} lacks {key}", file=path, keyword=key, reason="not_fits")
            return default
        if not isinstance(value, int) or isinstance(value, bool):
            raise BadFitsError(
                f"HDU {index}: {key} is {value!r}, not an integer", file=path, keyword=key, reason="not_fits"
            )
        return value

    naxis = number("NAXIS")
    axes = [number(f"NAXIS{i + 1}") for i in range(naxis)]
    bitpix = number("BITPIX")
    _check_array(index, naxis, axes, bitpix, path)
    items = 1
    for axis in axes:
        items *= axis
    counts = {key: number(key, default) for key, default in (("PCOUNT", 0), ("GCOUNT", 1))}
    for key, count in counts.items():
        if count < 0:  # taken as it is, the next header would be looked for in front of this one
            raise BadFitsError(f"HDU {index}: {key} is {count}", file=path, keyword=key, reason="not_fits")
    data_bytes = abs(bitpix) // 8 * counts["GCOUNT"] * (counts["PCOUNT"] + items) if naxis else 0
    kind, shape = "image", tuple(reversed(axes))
    if (extension := str(cards.get("XTENSION", ""))) == "TABLE":
        kind = "ascii"
    elif extension in ("BINTABLE", "A3DTABLE"):
        kind = "table"
        if cards.get("ZIMAGE") is True:
            kind = "compressed"
            bitpix = number("ZBITPIX")
            shape = tuple(number(f"ZNAXIS{i}") for i in range(number("ZNAXIS"), 0, -1))
            _check_array(index, number("ZNAXIS"), shape, bitpix, path)
    extname = str(cards.get("EXTNAME") or "")
    return HduScan(index, extname, kind, shape, bitpix, header, offset + len(header), data_bytes)


def _check_array(index: int, naxis: int, axes: Sequence[int], bitpix: int, path: Path) -> None:
    if naxis < 0 or bitpix not in (8, 16, 32, 64, -32, -64) or any(axis < 0 for axis in axes):
        raise BadFitsError(f"HDU {index} has an impossible BITPIX or NAXIS", file=path, reason="not_fits")


_WANTED = (b"NAXIS", b"BITPIX", b"PCOUNT", b"GCOUNT", b"EXTNAME", b"XTENSION", b"ZIMAGE", b"ZNAXIS", b"ZBITPIX")
_FIRST_LETTERS = frozenset(word[0] for word in _WANTED)


def _structural_cards(header: bytes) -> dict[str, CardValue]:
    cards: dict[str, CardValue] = {}
    for number, letter in enumerate(header[::CARD]):  # nearly all cards are HIERARCH
        start = number * CARD
        if letter not in _FIRST_LETTERS or not header.startswith(_WANTED, start):
            continue
        card = header[start : start + CARD].decode("ascii", "replace")
        keyword, field = card_field(card, 0)
        if field is not None:
            cards.setdefault(keyword, card_value(card[field:]))
    return cards
