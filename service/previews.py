"""Pictures of frames and products, made once and kept below ``data_dir/previews`` while there is room for them."""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fastapi.responses import Response

from core.previews.preview import Cuts, make_preview
from service.files import existing
from service.media import PNG, disposition

__all__ = ["PREVIEW_SIZE", "PreviewCache", "kept_name", "preview_response"]

_LOG = logging.getLogger(__name__)
PREVIEW_SIZE: Final = 768
_KINDS: Final = (".png", ".json", ".f32")
_TOUCH_SECONDS: Final = 60.0
_LEFT_OVER_SECONDS: Final = 3600.0  # a file that is still being written after this belongs to a process that died


@dataclass(frozen=True)
class _Kept:
    used: float
    size: int
    path: Path


class PreviewCache:
    """A directory of pictures with a limit to its size; those whose last use is longest ago go first.

    The time of the last use is that of the file's modification, since many file systems do not note reading.

    Parameters
    ----------
    folder : pathlib.Path
        May be shared with other processes.
    limit : int
        Bytes; each process may exceed it by a twentieth before it cleans down to nine tenths.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder, self._limit = folder, limit
        self._lock = threading.Lock()
        self._added = limit  # since the last look: look at the first occasion

    def get(self, name: str, kind: str = "png") -> bytes | None:
        """A picture (or the pixels of a tile, ``kind`` is the ending), if it is kept; notes that it was used."""
        path = self._path(name, kind)
        try:
            data = path.read_bytes()
            if time.time() - path.stat().st_mtime > _TOUCH_SECONDS:
                os.utime(path)
        except OSError:
            return None
        return data

    def put(self, name: str, data: bytes, kind: str = "png") -> None:
        """Keep a picture; if the disk does not take it, that is logged and nothing else."""
        path = self._path(name, kind)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as stream:
                stream.write(data)
            os.chmod(stream.name, 0o640)
            os.replace(stream.name, path)
        except OSError as error:
            _LOG.warning("a preview cannot be kept in %s: %s", self._folder, error)
        with self._lock:
            self._added += len(data)
            if self._added > self._limit / 20:
                self._added = 0
                self._make_room()

    def _path(self, name: str, kind: str) -> Path:
        return self._folder / name[:2] / f"{name}.{kind}"

    def _make_room(self) -> None:
        kept = sorted(self._entries(), key=lambda entry: entry.used)
        excess = sum(entry.size for entry in kept) - self._limit
        if excess <= 0:
            return
        excess += self._limit // 10
        for entry in kept:
            if excess <= 0:
                break
            entry.path.unlink(missing_ok=True)  # another process may have been faster
            excess -= entry.size

    def _entries(self) -> Iterator[_Kept]:
        """What is kept; what a dead process has left half written is removed."""
        for path in self._folder.glob("*/*"):
            try:
                stat = path.stat()
            except FileNotFoundError:
                continue
            if path.suffix == ".part" and time.time() - stat.st_mtime > _LEFT_OVER_SECONDS:
                path.unlink(missing_ok=True)
            elif path.suffix in _KINDS:
                yield _Kept(stat.st_mtime, stat.st_size, path)


def kept_name(path: Path, *what: object) -> str:
    """Under which name something that was made of a file is kept: another one when the file changes."""
    stat = existing(path).stat()
    key = "|".join(map(str, (path, stat.st_mtime_ns, stat.st_size, *what)))
    return hashlib.sha256(key.encode()).hexdigest()[:32]


def preview_response(cache: PreviewCache, path: Path, extension: str, cuts: Cuts, shown_as: str) -> Response:
    """PNG of an extension, from the cache when the file has not changed since; ``shown_as`` is its name if stored."""
    name = kept_name(path, extension, cuts, PREVIEW_SIZE)
    png = cache.get(name)
    if png is None:
        png = make_preview(path, extension, cuts, PREVIEW_SIZE).png
        cache.put(name, png)
    headers = {"Cache-Control": "private, max-age=3600", "Content-Disposition": disposition(shown_as, shown=True)}
    return Response(png, media_type=PNG, headers=headers)
