"""The product store: brings finished files to their place so that nobody ever sees half a file.

A recipe writes into a work directory below the store (`ProductStore.work_directory`); `ProductStore.place`
flushes a file to disk, hashes it, renames it to its final name and flushes the directory. Only then may its row
be committed. What a crash leaves behind is removed by `clean_work` and by housekeeping.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from io import RawIOBase
from pathlib import Path
from uuid import uuid4

from core.errors import ProductStoreError
from core.fitsfile.digest import file_sha256

__all__ = ["PlacedFile", "ProductStore", "fsync_directory", "mtime"]

_WORK = ".work"
_PIECE = 8 << 20  # bytes read at a time


@dataclass(frozen=True)
class PlacedFile:
    """A file at its final place."""

    path: Path
    size: int
    sha256: str


class ProductStore:
    """Directory tree of products: ``<root>/<night>/<block>/<file>``.

    Parameters
    ----------
    root : pathlib.Path
        Created if missing. Work directories live in ``<root>/.work``, on the same file system.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root).absolute()

    def directory(self, night: date, block: str) -> Path:
        """Final directory of the products of a block."""
        return self.root / night.isoformat() / _safe(block)

    def work_directory(self, block: str) -> Path:
        """A new, empty directory for one try of a block.

        Raises
        ------
        ProductStoreError
            If it cannot be made (disk full, no permission).
        """
        path = self.root / _WORK / f"{_safe(block)}.{uuid4().hex[:8]}"
        with _as_store_error("the work directory cannot be made", path):
            path.mkdir(parents=True)
        return path

    def shared_directory(self, name: str) -> Path:
        """The work directory of that name, which several workers share."""
        return self.root / _WORK / _safe(name)

    def place(
        self, temporary: Path, *, night: date, block: str, check: Callable[[], None] = lambda: None
    ) -> PlacedFile:
        """Move a complete file to its final place, durably; a file of the same name is replaced atomically.

        Parameters
        ----------
        temporary : pathlib.Path
            The complete file, preferably in a `work_directory` (elsewhere it is copied).
        check : callable
            Called again and again while the file is read: what it raises breaks off, with the final name untouched.

        Returns
        -------
        PlacedFile
            Path, size and SHA-256 of what lies there now.

        Raises
        ------
        ProductStoreError
            If disk or permissions fail; the final name is untouched then.
        """
        target = self.directory(night, block) / temporary.name
        with _as_store_error(f"product {temporary.name} cannot be stored", target):
            _make_durable_directory(target.parent)
            source, copied = temporary, False
            if temporary.stat().st_dev != target.parent.stat().st_dev:
                source, copied = target.with_name(f".{target.name}.{uuid4().hex[:8]}.part"), True
            try:
                if copied:
                    _copy(temporary, source, check)
                size, digest = _flush_and_hash(source, check)
                check()
                os.replace(source, target)
            finally:
                if copied:
                    source.unlink(missing_ok=True)
            fsync_directory(target.parent)
            if copied:
                temporary.unlink()
        return PlacedFile(target, size, digest)

    def discard_work(self, path: Path) -> None:
        """Remove a work directory of this store with all that is in it."""
        if path.parent != self.root / _WORK:
            raise ValueError(f"{path} is not a work directory of {self.root}")
        shutil.rmtree(path, ignore_errors=True)

    def clean_work(self, older_than: float, alive: Callable[[str], bool] = lambda _name: False) -> list[Path]:
        """Remove work directories untouched for ``older_than`` seconds, left by workers that died.

        Parameters
        ----------
        older_than : float
            Age of the newest entry below the directory [s]; choose it longer than a lease.
        alive : callable
            Told the directory name; True keeps it.
        """
        removed = []
        limit = time.time() - older_than
        for path in _entries(self.root / _WORK):
            if _newest_mtime(path) < limit and not alive(path.name):
                shutil.rmtree(path, ignore_errors=True)
                removed.append(path)
        return removed

    def nights(self) -> list[tuple[date, Path]]:
        """The nights that have a directory, with it; what is not named by a date is none of ours."""
        found = []
        for path in _entries(self.root):
            try:
                found.append((date.fromisoformat(path.name), path))
            except ValueError:
                continue
        return found

    def old_files(self, folder: Path, older_than: float) -> list[Path]:
        """Files below the directory of a night that are older than ``older_than`` seconds."""
        limit = time.time() - older_than
        found = []
        for place, _, names in os.walk(folder):
            for name in sorted(names):
                path = Path(place, name)
                if mtime(path) < limit:
                    found.append(path)
        return found

    def renew(self, path: Path) -> bool:
        """Make a file young, so that nobody takes it for an orphan; False if it is not there."""
        try:
            os.utime(path)
        except FileNotFoundError:
            return False
        return True

    def remove_old(self, path: Path, older_than: float) -> bool:
        """Remove a file, except if it was renewed or placed again since; False if it stays or is not there."""
        if mtime(path) >= time.time() - older_than:
            return False
        try:
            path.unlink()
        except FileNotFoundError:
            return False  # another dispatcher was faster
        return True

    def verify(self, path: Path, size: int, sha256: str) -> bool:
        """Whether a product is on disk as it was stored."""
        try:
            return path.stat().st_size == size and file_sha256(path) == sha256
        except FileNotFoundError:
            return False


def _flush_and_hash(path: Path, check: Callable[[], None]) -> tuple[int, str]:
    digest = hashlib.sha256()
    with path.open("rb+", buffering=0) as stream:
        for piece in _pieces(stream, check):
            digest.update(piece)
        os.fsync(stream.fileno())
        return os.fstat(stream.fileno()).st_size, digest.hexdigest()


def _copy(source: Path, target: Path, check: Callable[[], None]) -> None:
    with source.open("rb", buffering=0) as stream, target.open("wb") as copy:
        for piece in _pieces(stream, check):
            copy.write(piece)


def _pieces(stream: RawIOBase, check: Callable[[], None]) -> Iterator[memoryview]:
    buffer = memoryview(bytearray(_PIECE))
    while count := stream.readinto(buffer):
        check()
        yield buffer[:count]


def _make_durable_directory(path: Path) -> None:
    missing = [path, *path.parents]
    missing = missing[: next(i for i, parent in enumerate(missing) if parent.exists())]
    for directory in reversed(missing):
        directory.mkdir(exist_ok=True)
        fsync_directory(directory.parent)


def fsync_directory(path: Path) -> None:
    """Make the names in a directory last through a crash."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _entries(path: Path) -> list[Path]:
    return sorted(path.iterdir()) if path.is_dir() else []


def mtime(path: Path) -> float:
    """When a file was written last [s since 1970]; infinity if it is not there (any more)."""
    try:
        return path.lstat().st_mtime
    except FileNotFoundError:
        return float("inf")


def _newest_mtime(path: Path) -> float:
    newest = mtime(path)
    for folder, _, names in os.walk(path):
        for name in names:
            try:
                newest = max(newest, os.lstat(os.path.join(folder, name)).st_mtime)
            except FileNotFoundError:  # its owner is at work
                return time.time()
    return newest


def _safe(name: str) -> str:
    """A block name as a directory name."""
    return "".join(char if char.isalnum() or char in "-_.+" else "_" for char in name)


@contextmanager
def _as_store_error(message: str, path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ProductStoreError(f"{message}: {error.strerror or error}", file=path) from error
