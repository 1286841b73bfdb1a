"""Which raw files lie in a directory tree, and which of them have come to rest."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from workers.ingest_examine import FileStat, is_candidate, stat_file

__all__ = ["SettleWatch", "TreeScan", "scan_tree"]


@dataclass
class TreeScan:
    """What was found below a directory.

    Attributes
    ----------
    files : dict
        Absolute path of each candidate to its `FileStat`.
    unreadable : dict
        Directories that could not be read, with the reason. Nothing is known about files below them.
    """

    files: dict[str, FileStat] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)


def scan_tree(root: str) -> TreeScan:
    """Find all candidates below a directory, following symbolic links, each directory once."""
    scan = TreeScan()
    visited: set[tuple[int, int]] = set()
    pending = [os.path.abspath(root)]
    while pending:
        folder = pending.pop()
        try:
            info = os.stat(folder)
            if (info.st_dev, info.st_ino) in visited:  # a link to a directory above, or two links to one
                continue
            visited.add((info.st_dev, info.st_ino))
            for entry in _entries(folder):
                if is_candidate(entry.name):
                    scan.files[entry.path] = stat_file(entry.path)
                elif not entry.name.startswith(".") and _is_directory(entry):
                    pending.append(entry.path)
        except OSError as error:
            scan.unreadable[folder] = error.strerror or str(error)
    return scan


def _entries(folder: str) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        yield from entries


def _is_directory(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a loop of links that has no name of a raw file: nothing of ours
        return False


class SettleWatch:
    """Tells when a file has not changed for some time.

    A modification time that lies back far enough is proof; otherwise (clocks of file servers differ, copies may keep
    old times) the file must look the same for that long while it is watched.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._since: dict[str, tuple[int | None, float | None, float]] = {}

    def quiet_for(self, path: str, file: FileStat) -> float:
        """Seconds for which the file is known not to have changed."""
        now = self._clock()
        size, mtime, since = self._since.get(path, (None, None, now))
        if (size, mtime) != (file.size, file.mtime) or since > now:  # the clock may have been set back
            since = now
        self._since[path] = (file.size, file.mtime, since)
        by_mtime = now - file.mtime if file.mtime is not None else 0.0
        return max(now - since, by_mtime)

    def forget(self, path: str) -> None:
        """The file is dealt with."""
        self._since.pop(path, None)
