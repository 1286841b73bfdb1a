"""Files that are compressed as a whole (``.fits.gz``, ``.fits.Z``), read as streams from their start.

What a file is compressed with is told by its first bytes, not by its name. Streams are unpacked piece by piece: what
they take of memory does not depend on what is in them, and who reads one decides how much of it is unpacked.
"""

from __future__ import annotations

import contextlib
import gzip
import shutil
import subprocess
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from enum import StrEnum
from pathlib import Path
from typing import Final, Protocol

from core.errors import BadFitsError

__all__ = ["ByteStream", "Packing", "open_content", "open_packed", "packing_of", "packing_of_bytes"]

_TOOL: Final = "gzip"  # unpacks what compress wrote, too
_ENDED_WELL: Final = (0, 2)  # 2 is a warning: something follows after the end


class Packing(StrEnum):
    """What a file is compressed with."""

    GZIP = "gzip"
    COMPRESS = "compress"  # LZW, ``.Z``


_MAGIC: Final = {Packing.GZIP: b"\x1f\x8b", Packing.COMPRESS: b"\x1f\x9d"}


class ByteStream(Protocol):
    """What is read from start to end; fewer bytes than asked for come at its end only."""

    def read(self, size: int, /) -> bytes:
        """The next bytes."""


def packing_of_bytes(start: bytes) -> Packing | None:
    """What a file is compressed with that begins so; None if it is not."""
    return next((packing for packing, magic in _MAGIC.items() if start.startswith(magic)), None)


def packing_of(path: Path) -> Packing | None:
    """What a file is compressed with; None if it is not.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    with path.open("rb", buffering=0) as stream:
        return packing_of_bytes(stream.read(2))


@contextlib.contextmanager
def open_content(path: Path) -> Iterator[ByteStream]:
    """The bytes of a file, unpacked if it is compressed as a whole; for errors see `open_packed`."""
    if packing_of(path) is not None:
        with open_packed(path) as stream:
            yield stream
    else:
        with path.open("rb") as plain:
            yield plain


@contextlib.contextmanager
def open_packed(path: Path) -> Iterator[ByteStream]:
    """The content of a compressed file.

    Raises
    ------
    BadFitsError
        When it is read: if the compressed bytes are cut (``reason=truncated``) or damaged (``reason=damaged``). When it
        is opened: if the file is not compressed, or ``.Z`` and there is no ``gzip`` on this machine
        (``reason=compressed``).
    OSError
        If the file cannot be read.
    """
    packing = packing_of(path)
    if packing is None:
        raise BadFitsError("the file is not compressed", file=path, reason="compressed")
    with _OPENERS[packing](path) as stream:
        yield stream


class _Gzip:
    """Stream of a gzip file that tells damage as the other readers do."""

    def __init__(self, stream: gzip.GzipFile, path: Path) -> None:
        self._stream, self._path = stream, path

    def read(self, size: int, /) -> bytes:
        try:
            return self._stream.read(size)
        except EOFError as error:
            raise BadFitsError("the compressed file is cut", file=self._path, reason="truncated") from error
        except (gzip.BadGzipFile, zlib.error) as error:
            raise BadFitsError(f"the compressed file is damaged: {error}", file=self._path, reason="damaged") from error


@contextlib.contextmanager
def _gunzip(path: Path) -> Iterator[ByteStream]:
    with gzip.open(path) as stream:
        yield _Gzip(stream, path)


class _Output:
    """What a program that unpacks a file writes; how it ended is looked at with the last bytes."""

    def __init__(self, process: subprocess.Popen[bytes], path: Path) -> None:
        self._process, self._path = process, path

    def read(self, size: int, /) -> bytes:
        stream = self._process.stdout
        data = stream.read(size) if stream is not None else b""
        if len(data) < size and self._process.wait() not in _ENDED_WELL:
            raise BadFitsError("the compressed file is damaged", file=self._path, reason="damaged")
        return data


@contextlib.contextmanager
def _uncompress(path: Path) -> Iterator[ByteStream]:
    tool = shutil.which(_TOOL)
    if tool is None:
        raise BadFitsError(
            f"the file is compressed as a whole ({Packing.COMPRESS}), and there is no {_TOOL} here to read it",
            file=path,
            reason="compressed",
        )
    with (
        path.open("rb") as source,
        subprocess.Popen([tool, "-dc"], stdin=source, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process,
    ):
        try:
            yield _Output(process, path)
        finally:
            process.kill()


_OPENERS: Final[dict[Packing, Callable[[Path], AbstractContextManager[ByteStream]]]] = {
    Packing.GZIP: _gunzip,
    Packing.COMPRESS: _uncompress,
}
