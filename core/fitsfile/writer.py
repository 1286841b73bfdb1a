"""Atomic, streaming FITS writer with ``CHECKSUM``, ``DATASUM`` and ``DATAMD5``.

HDUs are written in order to a temporary file beside the target; on success the file is renamed, on failure it is
removed, so that nothing half-written is ever visible under its final name (surviving a power cut is the business of
`core.archive.store`, which syncs what it takes in). Arrays are converted to big-endian in chunks of rows: no second
copy of an image exists in memory.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from core.errors import ProductStoreError
from core.fitsfile.cards import BLOCK
from core.fitsfile.checksum import add_sums, encode_checksum, ones_complement_sum
from core.fitsfile.header import Header
from core.fitsfile.structure import big_endian_chunks, image_cards, primary_cards, table_cards
from core.fitsfile.transfer import write_at

__all__ = ["FitsWriter"]


class FitsWriter:
    """Write a FITS file HDU by HDU; use as a context manager.

    Parameters
    ----------
    path : path-like
        Final name. The temporary file lies in the same directory.
    checksums : bool
        Write ``CHECKSUM`` and ``DATASUM`` in each HDU.
    datamd5 : bool
        Write ``DATAMD5`` (MD5 over all data units, padding included) in the primary header.

    Raises
    ------
    ProductStoreError
        If the file cannot be written or renamed.
    """

    def __init__(self, path: str | os.PathLike[str], *, checksums: bool = True, datamd5: bool = False) -> None:
        self.path = Path(path)
        self._temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}.part")
        self._checksums = checksums
        self._md5 = hashlib.md5(usedforsecurity=False) if datamd5 else None
        # The digest runs beside the writing: it takes as long as the writing itself.
        self._hasher = ThreadPoolExecutor(1) if datamd5 else None
        self._hashing: Future[None] | None = None
        self._hdus: list[tuple[int, int, Header, int]] = []  # offset, header length, header, datasum
        self._offset = 0
        try:
            self._fd = os.open(self._temporary, os.O_CREAT | os.O_TRUNC | os.O_RDWR | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise ProductStoreError(f"cannot write: {error.strerror}", file=self._temporary) from error

    def __enter__(self) -> FitsWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    def primary(self, header: Header, array: npt.NDArray[Any] | None = None) -> None:
        """Write the primary HDU, without data unless an array is given (of the kinds that `image` takes)."""
        full = primary_cards() if array is None else primary_cards(array.dtype, array.shape)
        full.extend(header.cards)
        if self._md5 is not None:
            full["DATAMD5"] = ("0" * 32, "MD5 checksum of all data units")
        if array is None:
            self._write_hdu(full, lambda: iter(()), 0)
        else:
            self._write_hdu(full, lambda: big_endian_chunks(array), array.nbytes)

    def image(self, header: Header, array: npt.NDArray[Any]) -> None:
        """Write an image extension.

        Parameters
        ----------
        header : Header
            Cards after the structural ones (``EXTNAME``, ``BUNIT``, ...).
        array : ndarray
            float32, float64, int16, int32 or uint8 of any dimension, or uint16 (written with ``BZERO`` 32768).
        """
        full = image_cards(array.dtype, array.shape)
        full.extend(header.cards)
        self._write_hdu(full, lambda: big_endian_chunks(array), array.nbytes)

    def header_only(self, header: Header) -> None:
        """Write an image extension without data: a header of its own."""
        full = image_cards(np.uint8, ())
        full.extend(header.cards)
        self._write_hdu(full, lambda: iter(()), 0)

    def table(self, header: Header, columns: Mapping[str, npt.NDArray[Any]], cards: Header) -> None:
        """Write a binary table.

        Parameters
        ----------
        header : Header
            Cards after the column cards.
        columns : mapping of name to ndarray
            Columns of equal length, in order; strings as ``S`` arrays.
        cards : Header
            ``TTYPEn``, ``TFORMn``, ``TUNITn``, ``TNULLn``, ``TDIMn`` cards.
        """
        names = list(columns)
        rows = len(columns[names[0]]) if names else 0
        dtype = np.dtype([(name, columns[name].dtype.newbyteorder(">"), columns[name].shape[1:]) for name in names])
        record = np.empty(rows, dtype)
        for name in names:
            record[name] = columns[name]
        full = table_cards(dtype.itemsize, rows, len(names))
        full.extend(cards.cards)
        full.extend(header.cards)
        raw = record.view(np.uint8).reshape(-1) if rows else np.zeros(0, np.uint8)
        self._write_hdu(full, lambda: iter((raw,)), raw.nbytes)

    def raw_hdu(self, header: Header, chunks: Callable[[], Iterator[npt.NDArray[np.uint8]]], nbytes: int) -> None:
        """Write an HDU whose data unit is copied as it is on disk; ``header`` has the structural cards."""
        full = header.copy()
        full.remove("CHECKSUM", "DATASUM")
        self._write_hdu(full, chunks, nbytes)

    def _write_hdu(self, header: Header, chunks: Callable[[], Iterator[npt.NDArray[np.uint8]]], nbytes: int) -> None:
        if self._checksums:
            header["CHECKSUM"] = ("0" * 16, "HDU checksum")
            header["DATASUM"] = ("0", "data unit checksum")
        head = header.to_bytes()
        # DATASUM may need up to 10 digits: a string card has room for them, the length of the header is fixed.
        start = self._offset + len(head)
        position, total = start, 0
        try:
            for chunk in chunks():
                view = chunk.data.cast("B")
                if self._checksums:
                    total = ones_complement_sum(view, total)
                self._hash(view)
                write_at(self._fd, view, position)
                position += len(view)
            if position - start != nbytes:
                raise ProductStoreError(f"a data unit has {position - start} bytes, not {nbytes}", file=self.path)
            pad = -nbytes % BLOCK
            if pad:
                self._hash(memoryview(bytes(pad)))
                write_at(self._fd, memoryview(bytes(pad)), position)
            write_at(self._fd, memoryview(head), self._offset)
        except OSError as error:
            raise ProductStoreError(f"cannot write: {error.strerror}", file=self._temporary) from error
        self._hdus.append((self._offset, len(head), header, total))
        self._offset = position + pad

    def _hash(self, data: memoryview) -> None:
        if self._hasher is None or self._md5 is None:
            return
        if self._hashing is not None:
            self._hashing.result()  # at most one chunk waits: memory stays bounded, the order is kept
        self._hashing = self._hasher.submit(self._md5.update, data)

    def _finish_hash(self) -> None:
        if self._hasher is not None:
            self._hasher.shutdown(wait=True)

    def close(self) -> None:
        """Patch the checksums and bring the file to its final name."""
        self._finish_hash()
        try:
            for offset, length, header, total in self._hdus:
                if self._md5 is not None and offset == 0:
                    header["DATAMD5"] = self._md5.hexdigest()
                if self._checksums:
                    header["DATASUM"] = str(total)
                    head = header.to_bytes()
                    header["CHECKSUM"] = encode_checksum(add_sums(ones_complement_sum(head), total))
                head = header.to_bytes()
                if len(head) != length:
                    raise ProductStoreError("a header changed its length while being written", file=self.path)
                write_at(self._fd, memoryview(head), offset)
            self._close_file()
            os.replace(self._temporary, self.path)
        except OSError as error:
            self.abort()
            raise ProductStoreError(f"cannot finish: {error.strerror}", file=self.path) from error
        except BaseException:
            self.abort()
            raise

    def _close_file(self) -> None:
        """Close once: the number may be another thread's file by now."""
        number, self._fd = self._fd, -1
        if number >= 0:
            os.close(number)

    def abort(self) -> None:
        """Remove what was written so far."""
        self._finish_hash()
        with contextlib.suppress(OSError):
            self._close_file()
        self._temporary.unlink(missing_ok=True)
