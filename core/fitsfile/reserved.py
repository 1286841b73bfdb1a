"""FITS files reserved at full size, filled in any order by any process, and finished once.

The layout is fixed when the file is made: headers with room for cards to come, data units of zeros for which the disk
has the space. All data units consist of the same number of *items* (planes of a cube, rows of a table), and the items
come in *units* (a plane, the rows of an IFU) that are written wholly by somebody. What has been written is kept in a
file beside: for each unit a mark with the sum of its bytes, made after them. The bytes are looked at again when the
file is finished, and must add up to the marks.

So a writer may be killed at any moment: a unit without mark was not written, and one that is written twice has the same
bytes. The marks are no part of the file: a writer that comes too late, after the file has its name, changes nothing.

Names, for a product ``NAME``: ``.NAME.reserved`` and ``.NAME.filled``, in the same directory.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from core.errors import DataError, ProductStoreError
from core.fitsfile.cards import BLOCK, CARD
from core.fitsfile.checksum import add_sums, encode_checksum, ones_complement_sum
from core.fitsfile.header import Header
from core.fitsfile.scan import HduScan, scan_fits
from core.fitsfile.structure import big_endian_chunks, primary_cards
from core.fitsfile.transfer import read_at, write_at

__all__ = ["ROOM", "ReservedFile", "ReservedHdu"]

ROOM: Final = 720  # cards a primary header may grow by, unless told otherwise: 56 kB
_READ: Final = 4 << 20  # bytes read at a time when a file is finished
_MAGIC: Final = b"filled units, 1 "
_HEAD: Final = np.dtype([("magic", "S16"), ("hdus", ">i8"), ("units", ">i8")])
_MARK: Final = np.dtype([("written", ">u4"), ("sum", ">u4")])
_NO_RESERVATION: Final = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)  # file systems without it


@dataclass(frozen=True)
class ReservedHdu:
    """An extension to be filled.

    Attributes
    ----------
    header : Header
        With the mandatory cards.
    item_bytes : int
        Bytes of an item, a multiple of 4.
    """

    header: Header
    item_bytes: int


class ReservedFile:
    """A file that is being filled; use as a context manager, which closes it and no more.

    Parameters
    ----------
    path : path-like
        Final name.

    Attributes
    ----------
    path : pathlib.Path
        Final name.
    bounds : ndarray of int64, shape (units + 1,)
        First item of each unit, and the number of items.

    Raises
    ------
    ProductStoreError
        If nothing is reserved under that name.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._marks = self._data = -1
        try:
            self._data = os.open(_reserved(self.path), os.O_RDWR | os.O_CLOEXEC)
            self._marks = os.open(_filled(self.path), os.O_RDWR | os.O_CLOEXEC)
            head = np.frombuffer(os.pread(self._marks, _HEAD.itemsize, 0), _HEAD)[0]
            count = int(head["units"]) + 1
            self.bounds = np.frombuffer(os.pread(self._marks, 8 * count, _HEAD.itemsize), ">i8").astype(np.int64)
        except OSError as error:
            self.close()
            raise ProductStoreError(f"nothing is reserved: {error.strerror}", file=self.path) from error
        self._first_mark = _HEAD.itemsize + 8 * count
        self.hdus: tuple[HduScan, ...] = scan_fits(_reserved(self.path)).hdus[: int(head["hdus"])]

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        primary: Header,
        hdus: Sequence[ReservedHdu],
        bounds: npt.NDArray[np.int64],
        room: int = ROOM,
    ) -> Self:
        """Reserve a file; one that was reserved before under the same name is forgotten.

        Parameters
        ----------
        path : path-like
            Final name.
        primary : Header
            Cards of the primary HDU after the mandatory ones.
        hdus : sequence of ReservedHdu
        bounds : ndarray of int64, shape (units + 1,)
            First item of each unit, and the number of items.
        room : int
            Cards that the primary header may grow by.

        Raises
        ------
        ProductStoreError
            If the disk has no space for it, or it cannot be written.
        """
        path = Path(path)
        headers = [_headed(primary, room), *(_with_sums(hdu.header).to_bytes() for hdu in hdus)]
        sizes = [0, *(hdu.item_bytes * int(bounds[-1]) for hdu in hdus)]
        total = sum(map(len, headers)) + sum(size + -size % BLOCK for size in sizes)
        new = f"{os.getpid()}.{secrets.token_hex(4)}.part"
        data, marks = path.with_name(f".{path.name}.{new}"), path.with_name(f".{path.name}.filled.{new}")
        try:
            with data.open("xb", buffering=0) as stream:
                _reserve(stream.fileno(), total)
                offset = 0
                for header, size in zip(headers, sizes, strict=True):
                    write_at(stream.fileno(), memoryview(header), offset)
                    offset += len(header) + size + -size % BLOCK
            head = np.array([(_MAGIC, len(headers), len(bounds) - 1)], _HEAD)
            empty = np.zeros(len(bounds) - 1, _MARK)
            marks.write_bytes(head.tobytes() + bounds.astype(">i8").tobytes() + empty.tobytes())
            _reserved(path).unlink(missing_ok=True)  # marks and bytes of two reservations are never seen together
            os.replace(marks, _filled(path))
            os.replace(data, _reserved(path))
        except OSError as error:
            data.unlink(missing_ok=True)
            marks.unlink(missing_ok=True)
            raise ProductStoreError(f"cannot reserve {total} bytes: {error.strerror}", file=path) from error
        return cls(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def reserved(self) -> Path:
        """Where the file is until it is finished."""
        return _reserved(self.path)

    @property
    def primary(self) -> Header:
        """The primary header as it is now, without mandatory cards and sums."""
        own = self.hdus[0].header.copy()
        own.remove(*primary_cards(), "DATAMD5", "CHECKSUM", "DATASUM")
        return own

    def write(self, hdu: int, item: int, array: npt.NDArray[Any]) -> int:
        """Write items of an HDU.

        Parameters
        ----------
        hdu : int
            1 is the first extension.
        item : int
            Where they begin.
        array : ndarray
            Native byte order (or of a type of bytes, as they are on disk); whole items.

        Returns
        -------
        int
            Sum of the bytes, for `mark`.

        Raises
        ------
        ProductStoreError
            If they cannot be written.
        """
        scan = self.hdus[hdu]
        item_bytes = scan.data_bytes // max(int(self.bounds[-1]), 1)
        if array.nbytes % item_bytes or not 0 <= item <= int(self.bounds[-1]) - array.nbytes // item_bytes:
            raise DataError(f"{array.nbytes} bytes do not fit {scan.extname} at item {item}", file=self.path)
        position, total = scan.data_offset + item * item_bytes, 0
        try:
            for chunk in big_endian_chunks(array):
                write_at(self._data, chunk.data.cast("B"), position)
                position += chunk.nbytes
                total = ones_complement_sum(chunk, total)
        except OSError as error:
            raise ProductStoreError(f"cannot write: {error.strerror}", file=self.path) from error
        return total

    def mark(self, unit: int, total: int) -> None:
        """Note that a unit has been written in all HDUs; ``total`` is the sum of its bytes (`add_sums`)."""
        try:
            record = np.array([(1, total)], _MARK).tobytes()
            write_at(self._marks, memoryview(record), self._first_mark + unit * _MARK.itemsize)
        except OSError as error:
            raise ProductStoreError(f"cannot write: {error.strerror}", file=_filled(self.path)) from error

    def missing(self) -> list[int]:
        """Units that nobody has written so far, ascending."""
        return [int(unit) for unit in np.flatnonzero(self._read_marks()["written"] == 0)]

    def finish(
        self,
        primary: Header | None = None,
        more: Sequence[tuple[Header, npt.NDArray[Any]]] = (),
        noun: str = "unit",
    ) -> Path:
        """Complete the headers, sync the file, and give it its name; may be repeated until that has happened.

        Parameters
        ----------
        primary : Header, optional
            Cards of the primary HDU after the mandatory ones, in place of those it was reserved with.
        more : sequence of (Header, ndarray)
            Small extensions that go behind the others: headers with the mandatory cards, native arrays.
        noun : str
            What a unit is called in errors.

        Returns
        -------
        pathlib.Path
            The final name.

        Raises
        ------
        ProductStoreError
            If a unit was not written or has other bytes than were written, the header has no room for the cards, or
            the file cannot be written.
        """
        cards = self.primary if primary is None else primary
        self._primary_bytes(cards, "0" * 32)  # told before all is read
        if missing := self.missing():
            raise ProductStoreError(f"never written: {noun} {_ranges(missing)}", file=self.path)
        last = self.hdus[-1]
        end = last.data_offset + last.data_bytes + -last.data_bytes % BLOCK
        try:
            os.ftruncate(self._data, end)  # what an earlier try has appended
            md5, sums = self._sum_up()
            for hdu, total in zip(self.hdus[1:], sums, strict=True):
                head = _summed(hdu.header, total)
                write_at(self._data, memoryview(head), hdu.data_offset - len(head))
            for header, array in more:
                content = b"".join(chunk.tobytes() for chunk in big_endian_chunks(array))
                content += bytes(-len(content) % BLOCK)
                md5.update(content)
                content = _summed(header, ones_complement_sum(content)) + content
                write_at(self._data, memoryview(content), end)
                end += len(content)
            write_at(self._data, memoryview(self._primary_bytes(cards, md5.hexdigest())), 0)
            os.fsync(self._data)
            os.replace(_reserved(self.path), self.path)
            _sync_directory(self.path.parent)
            _filled(self.path).unlink(missing_ok=True)
        except OSError as error:
            raise ProductStoreError(f"cannot finish: {error.strerror}", file=self.path) from error
        self.close()
        return self.path

    def discard(self) -> None:
        """Close and remove what is reserved."""
        self.close()
        _reserved(self.path).unlink(missing_ok=True)
        _filled(self.path).unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file, whatever has been written; once more does no harm."""
        numbers, self._data, self._marks = (self._data, self._marks), -1, -1
        for number in numbers:
            if number >= 0:
                with contextlib.suppress(OSError):
                    os.close(number)

    def _read_marks(self) -> npt.NDArray[np.void]:
        count = len(self.bounds) - 1
        return np.frombuffer(os.pread(self._marks, count * _MARK.itemsize, self._first_mark), _MARK)

    def _sum_up(self) -> tuple[Any, list[int]]:
        """Digest of all data units, and sum of each; the bytes of the units are compared to their marks."""
        md5 = hashlib.md5(usedforsecurity=False)
        buffer = bytearray(_READ)
        of_units = [0] * (len(self.bounds) - 1)
        sums: list[int] = []
        for hdu in self.hdus[1:]:
            item_bytes = hdu.data_bytes // max(int(self.bounds[-1]), 1)
            of_hdu = 0
            for unit, (first, last) in enumerate(pairwise(self.bounds.tolist())):
                own = 0
                for view in self._read(hdu.data_offset + first * item_bytes, (last - first) * item_bytes, buffer):
                    md5.update(view)
                    own = ones_complement_sum(view, own)
                of_units[unit], of_hdu = add_sums(of_units[unit], own), add_sums(of_hdu, own)
            md5.update(bytes(-hdu.data_bytes % BLOCK))
            sums.append(of_hdu)
        damaged = np.flatnonzero(self._read_marks()["sum"] != np.array(of_units, np.uint32))
        if damaged.size:
            raise ProductStoreError(f"not as written: unit {_ranges(damaged.tolist())}", file=self.path)
        return md5, sums

    def _read(self, position: int, length: int, buffer: bytearray) -> Iterator[memoryview]:
        for start in range(0, length, len(buffer)):
            view = memoryview(buffer)[: min(len(buffer), length - start)]
            if not read_at(self._data, view, position + start):
                raise ProductStoreError("the reserved file is cut", file=self.path)
            yield view

    def _primary_bytes(self, cards: Header, digest: str) -> bytes:
        length = len(self.hdus[0].header_bytes)
        header = primary_cards()
        header.extend(cards.cards)
        header["DATAMD5"] = (digest, _MD5_COMMENT)
        header = _with_sums(header)
        header["DATASUM"] = "0"
        header["CHECKSUM"] = encode_checksum(ones_complement_sum(_padded(header, length, self.path)))
        return _padded(header, length, self.path)


_MD5_COMMENT: Final = "MD5 checksum of all data units"


def _reserved(path: Path) -> Path:
    return path.with_name(f".{path.name}.reserved")


def _filled(path: Path) -> Path:
    return path.with_name(f".{path.name}.filled")


def _reserve(number: int, total: int) -> None:
    """Take the space from the disk, where the file system can; elsewhere look whether it is there."""
    try:
        os.posix_fallocate(number, 0, total)
    except OSError as error:
        if error.errno not in _NO_RESERVATION:
            raise
        state = os.fstatvfs(number)
        if state.f_bavail * state.f_frsize < total:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
        os.ftruncate(number, total)


def _headed(primary: Header, room: int) -> bytes:
    """A primary header with blank cards for those to come."""
    header = primary_cards()
    header.extend(primary.cards)
    header["DATAMD5"] = ("0" * 32, _MD5_COMMENT)
    header = _with_sums(header)
    natural = header.to_bytes()
    used = sum(len(card.image) for card in header.cards) + CARD
    length = max(len(natural), used + room * CARD)
    return _padded(header, length + -length % BLOCK, Path())


def _padded(header: Header, length: int, path: Path) -> bytes:
    """Header blocks of a given length: blank cards stand between the last card and END."""
    natural = header.to_bytes()
    if len(natural) == length:
        return natural
    if len(natural) > length:
        raise ProductStoreError(f"the header needs {len(natural)} bytes, {length} are reserved", file=path)
    text = b"".join(card.image.encode("ascii") for card in header.cards)
    return text.ljust(length - CARD) + b"END".ljust(CARD)


def _with_sums(header: Header) -> Header:
    full = header.copy()
    full["CHECKSUM"] = ("0" * 16, "HDU checksum")
    full["DATASUM"] = ("0", "data unit checksum")
    return full


def _summed(header: Header, total: int) -> bytes:
    """Blocks of a header with the sums; ``total`` is that of the data unit."""
    full = _with_sums(header)
    full["DATASUM"] = str(total)
    full["CHECKSUM"] = encode_checksum(add_sums(ones_complement_sum(full.to_bytes()), total))
    return full.to_bytes()


def _sync_directory(directory: Path) -> None:
    number = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _ranges(numbers: Sequence[int]) -> str:
    """``3-5, 9`` of 3, 4, 5, 9, not more than ten of them."""
    breaks = [0, *(k for k in range(1, len(numbers)) if numbers[k] != numbers[k - 1] + 1), len(numbers)]
    spans = [(numbers[a], numbers[b - 1]) for a, b in pairwise(breaks)]
    words = [str(a) if a == b else f"{a}-{b}" for a, b in spans[:10]]
    return ", ".join(words) + (", ..." if len(spans) > 10 else "")
