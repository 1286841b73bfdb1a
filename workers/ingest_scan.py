"""Which raw files lie in a directory tree, and which of them have come to rest."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from workers.ingest_examine import FileStat, is_candidate, stat_file

__all__ = ["SettleWatch", "TreeReader", "TreeScan", "folders_of_links_out"]

_RESTED: Final = 5.0  # [s]; the coarsest times of change are of two seconds
_TRUSTED: Final = 1800.0  # [s]


@dataclass
class TreeScan:
    """What was found below a directory.

    Attributes
    ----------
    files : dict
        Absolute path of each candidate to its `FileStat`.
    unreadable : dict
        Directories that could not be read, with the reason. Nothing is known about files below them.
    outward : dict
        Links to directories elsewhere that were not followed, with their targets.
    folders : list
        Directories that were read.
    """

    files: dict[str, FileStat] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)
    outward: dict[str, str] = field(default_factory=dict)
    folders: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Listing:
    """What matters of a directory, and its times of change when it was read."""

    changed: tuple[int, int]  # of its entries and of its permissions [ns]
    candidates: tuple[str, ...]
    folders: tuple[str, ...]
    links: tuple[str, ...]  # to directories


class TreeReader:
    """Finds all candidates below a directory, each directory once.

    Symbolic links are followed to files anywhere, as archives that stage their files have them, and to directories
    within: a link to ``/`` would have the whole machine read.

    What a directory holds is remembered for as long as its time of change stays: then only the candidates in it are
    looked at, and files of no use cost nothing. A directory that changed just now is read again, as it may change once
    more without another time; and all are, now and then, as not every file server keeps such times well.

    Parameters
    ----------
    clock : callable
        Seconds since 1970; for tests.
    within : sequence of path-like or None
        Directories that links may lead into, besides the one that is read; None: they may lead anywhere.
    """

    def __init__(self, clock: Callable[[], float] = time.time, within: Sequence[str | Path] | None = ()) -> None:
        self._clock = clock
        self._within = within
        self._known: dict[str, _Listing] = {}
        self._read_all = clock()

    def scan(self, root: str) -> TreeScan:
        """What lies below a directory now."""
        now = self._clock()
        if not 0 <= now - self._read_all < _TRUSTED:
            self._known, self._read_all = {}, now
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
                listing = self._listing(folder, (info.st_mtime_ns, info.st_ctime_ns), now)
            except OSError as error:
                scan.unreadable[folder] = error.strerror or str(error)
                continue
            scan.folders.append(folder)
            scan.files.update({path: stat_file(path) for path in listing.candidates})
            pending += listing.folders
            for link in listing.links:
                target = os.path.realpath(link)
                if self._leads_out(target, root):
                    scan.outward[link] = target
                else:
                    pending.append(link)
        return scan

    def _leads_out(self, target: str, root: str) -> bool:
        if self._within is None:
            return False
        return not any(Path(target).is_relative_to(os.path.realpath(folder)) for folder in (root, *self._within))

    def _listing(self, folder: str, changed: tuple[int, int], now: float) -> _Listing:
        known = self._known.pop(folder, None)
        if known is None or known.changed != changed:
            known = _read(folder, changed)
        if now - max(changed) / 1e9 > _RESTED:
            self._known[folder] = known
        return known


def folders_of_links_out(roots: Sequence[Path]) -> list[str]:
    """All directories below some that are read, if a link leads out of them; empty if none does."""
    reader = TreeReader(within=roots)
    scans = [reader.scan(str(root)) for root in roots]
    return [folder for scan in scans for folder in scan.folders] if any(scan.outward for scan in scans) else []


def _read(folder: str, changed: tuple[int, int]) -> _Listing:
    candidates: list[str] = []
    folders: list[str] = []
    links: list[str] = []
    for entry in _entries(folder):
        if is_candidate(entry.name):
            candidates.append(entry.path)
        elif not entry.name.startswith(".") and _is_directory(entry):
            (links if entry.is_symlink() else folders).append(entry.path)
    return _Listing(changed, tuple(candidates), tuple(folders), tuple(links))


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
