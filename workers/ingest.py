"""Ingest: files of the archive directories become frames or products, or go to quarantine with a reason.

`Ingestor` does one round: look, wait for what is still being copied, read headers, store. `ingest_once` repeats that
until nothing is open; `workers.ingest_daemon` does it for ever. The state is the database: the file tree is the queue,
and a killed daemon has lost nothing.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from core.archive.intake import (
    HeldFile,
    Known,
    NewFrame,
    Outcome,
    Stored,
    forget_vanished,
    held_paths,
    hold_files,
    known_files,
    paths_below,
    store_frames,
    twin_paths,
)
from core.archive.outside import (
    NewOutside,
    StoredOutside,
    known_outside,
    lose_outside,
    outside_below,
    outside_twin_paths,
    store_outside,
)
from core.archive.sessions import Archive, ArchiveUnavailableError
from core.archive.states import QuarantineReason
from core.cascade.words import count_words
from core.errors import NotFoundError
from core.settings import Settings
from workers.ingest_examine import FileStat, examine, is_candidate, printable, stat_file
from workers.ingest_scan import SettleWatch, TreeReader, TreeScan

__all__ = ["IngestReport", "Ingestor", "ingest_once", "release"]

log = logging.getLogger(__name__)

_BATCH = 200  # files per transaction
_BATCH_SECONDS = 5.0  # and no longer: compressed files take seconds each
_REFUSED = (Outcome.DUPLICATE, Outcome.DAMAGED)


@dataclass
class IngestReport:
    """What a round, or all rounds together, did.

    Attributes
    ----------
    new, updated, moved : int
        Frames.
    products : int
        Products from outside that are new, changed or moved.
    held : Counter
        Files that cannot be used, by reason.
    fresh : int
        How many of them were not in quarantine with the same reason before.
    released : int
        Files that were in quarantine and are frames or products now.
    unchanged : int
        Files that the archive knew already.
    waiting : int
        Files that are still growing, or have not been quiet for long enough.
    vanished : int
        Frames, products and held files whose file is gone.
    outward : dict
        Links to directories outside of the archive directories that are not followed, with their targets.
    nights : set
        Nights of the frames and products that are new or changed.
    """

    new: int = 0
    updated: int = 0
    moved: int = 0
    products: int = 0
    held: Counter[QuarantineReason] = field(default_factory=Counter)
    fresh: int = 0
    released: int = 0
    unchanged: int = 0
    waiting: int = 0
    vanished: int = 0
    outward: dict[str, str] = field(default_factory=dict)
    nights: set[str] = field(default_factory=set)
    seconds: float = 0.0

    @property
    def stored(self) -> int:
        """Frames and products stored in any way."""
        return self.new + self.updated + self.moved + self.products

    def add(self, other: IngestReport) -> None:
        """Add what a further round did; what waits is that of the later one."""
        self.new += other.new
        self.updated += other.updated
        self.moved += other.moved
        self.products += other.products
        self.held.update(other.held)
        self.fresh += other.fresh
        self.released += other.released
        self.unchanged = max(self.unchanged, other.unchanged)
        self.waiting = other.waiting
        self.vanished += other.vanished
        self.outward = other.outward
        self.nights |= other.nights
        self.seconds += other.seconds

    def sentence(self) -> str:
        """One line for logs and people."""
        parts = [count_words(self.new, "new frame")]
        parts += [
            f"{count} {word}"
            for count, word in (
                (self.products, "product" if self.products == 1 else "products"),
                (self.updated, "written again"),
                (self.moved, "moved"),
                (self.released, "released from quarantine"),
                (self.vanished, "vanished"),
                (self.waiting, "still waited for"),
            )
            if count
        ]
        if self.held:
            reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(self.held.items()))
            parts.append(f"{self.held.total()} in quarantine ({reasons})")
        if self.outward:
            parts.append(f"{count_words(len(self.outward), 'link')} out of the archive not followed")
        return ", ".join(parts)


class Ingestor:
    """Brings files into the archive, round by round.

    Parameters
    ----------
    archive : Archive
    settings : Settings
        ``settle_seconds`` and ``truncated_seconds`` are used.
    actor : str
        Name in the events.
    clock : callable
        Seconds since 1970; for tests.
    stop : threading.Event, optional
        Set it to end a long round early; what is not done yet stays to be done.
    """

    def __init__(
        self,
        archive: Archive,
        settings: Settings,
        actor: str = "ingest",
        clock: Callable[[], float] = time.time,
        stop: threading.Event | None = None,
    ) -> None:
        self.archive = archive
        self.settings = settings
        self.actor = actor
        self._settle = SettleWatch(clock)
        self._reader = TreeReader(clock, None if settings.follow_links else settings.archive_dirs)
        self._stop = stop or threading.Event()
        self._open: set[str] = set()  # waited for
        self._retry_duplicates = False
        self._outward: dict[str, dict[str, str]] = {}  # by the directory that was read

    @property
    def open_paths(self) -> frozenset[str]:
        """Files that are waited for."""
        return frozenset(self._open)

    @property
    def wants_rescan(self) -> bool:
        """A frame vanished: a file that was its duplicate may be read now."""
        return self._retry_duplicates

    def round(self, paths: Iterable[str | Path], *, force: bool = False) -> IngestReport:
        """Look at some files and directories once, and again at those waited for.

        Parameters
        ----------
        paths : iterable of path-like
            Directories are read with all below them.
        force : bool
            Read files again that are unchanged since they were stored or held.

        Raises
        ------
        ArchiveUnavailableError
            If the database does not answer; the files stay to be done.
        """
        start = time.monotonic()
        report = IngestReport()
        files, trees = self._look(paths)
        for path in sorted(self._open - files.keys()):
            files[path] = stat_file(path)
        retry_duplicates = self._retry_duplicates and bool(trees)
        todo = self._select(files, report, force, retry_duplicates)
        while todo:
            if self._stop.is_set():
                return report
            todo = todo[self._ingest_batch(todo[:_BATCH], files, report) :]
        if trees:
            self._retry_duplicates = False
        for root, tree in trees.items():
            self._finish_tree(root, tree, report)
        report.waiting = len(self._open)
        report.outward = {link: target for links in self._outward.values() for link, target in links.items()}
        report.seconds = time.monotonic() - start
        return report

    def _look(self, paths: Iterable[str | Path]) -> tuple[dict[str, FileStat], dict[str, TreeScan]]:
        files: dict[str, FileStat] = {}
        trees: dict[str, TreeScan] = {}
        for item in paths:
            path = os.path.abspath(item)
            if os.path.isdir(path) and not is_candidate(os.path.basename(path)):
                trees[path] = self._reader.scan(path)
                files.update(trees[path].files)
            else:
                files[path] = stat_file(path)
        return files, trees

    def _select(
        self, files: dict[str, FileStat], report: IngestReport, force: bool, retry_duplicates: bool
    ) -> list[str]:
        """The files to read now; those that are not quiet stay open."""
        with self.archive.read() as session:
            names = [printable(path) for path in files]
            known = known_files(session, names) | known_outside(session, names)
        todo: list[str] = []
        for path, file in files.items():
            entry = known.get(printable(path))
            if entry is not None and not force and _unchanged(entry, file, retry_duplicates):
                report.unchanged += 1
                self._done(path)
            elif file.size is None and not os.path.lexists(path):
                self._done(path)  # it went away between two looks; a rescan notes it
            elif file.problem is None and self._settle.quiet_for(path, file) < self.settings.settle_seconds:
                self._open.add(path)
            else:
                todo.append(path)
        return sorted(todo)

    def _ingest_batch(self, paths: Sequence[str], files: dict[str, FileStat], report: IngestReport) -> int:
        """Read and store files, the first of those given; returns how many."""
        end = time.monotonic() + _BATCH_SECONDS
        found: list[NewFrame | NewOutside] = []
        held: list[HeldFile] = []
        decided: list[str] = []
        for number, path in enumerate(paths):
            if number and time.monotonic() > end:
                paths = paths[:number]
                break
            file = files[path]
            answer = self._examine(path, file)
            now = stat_file(path)
            if (now.size, now.mtime) != (file.size, file.mtime):
                self._open.add(path)  # it changed while it was read
            elif isinstance(answer, NewFrame | NewOutside):
                found.append(answer)
                decided.append(path)
            elif self._may_be_growing(path, file, answer):
                self._open.add(path)
            else:
                held.append(answer)
                decided.append(path)
        try:
            self._store(found, held, report)
        except ArchiveUnavailableError:
            self._open.update(paths)
            raise
        except Exception as error:
            # One row that the database refuses must not keep the others out: store them one by one.
            log.warning("a batch of %d files was refused (%s): one by one", len(paths), error)
            for item in found:
                self._store_alone(item, files[item.path], report)
            for file_held in held:
                self._hold_alone(file_held, report)
        for path in decided:
            self._done(path)
        return len(paths)

    def _examine(self, path: str, file: FileStat) -> NewFrame | NewOutside | HeldFile:
        try:
            return examine(path, file)
        except Exception as error:
            log.exception("unexpected error in the headers of %s", printable(path))
            return HeldFile(
                printable(path),
                printable(os.path.basename(path)),
                file.size,
                file.mtime,
                QuarantineReason.UNREADABLE,
                f"unexpected error while reading the headers: {type(error).__name__}: {error}",
            )

    def _may_be_growing(self, path: str, file: FileStat, answer: HeldFile) -> bool:
        """A file that is too short may still be copied: it is waited for while it is fresh."""
        if answer.reason is not QuarantineReason.TRUNCATED:
            return False
        return self._settle.quiet_for(path, file) < self.settings.truncated_seconds

    def _store(self, found: Sequence[NewFrame | NewOutside], held: Sequence[HeldFile], report: IngestReport) -> None:
        frames = [item for item in found if isinstance(item, NewFrame)]
        products = [item for item in found if isinstance(item, NewOutside)]
        with self.archive.read() as session:
            paths = twin_paths(session, frames) | outside_twin_paths(session, products)
        exists = {path: os.path.exists(path) for path in paths}
        with self.archive.write() as session:
            results: list[Stored | StoredOutside] = []
            results += store_frames(session, frames, exists=exists, actor=self.actor)
            results += store_outside(session, products, exists=exists, actor=self.actor)
            refused = [_refused(result) for result in results if result.outcome in _REFUSED]
            fresh = hold_files(session, [*held, *refused], actor=self.actor)
            no_products = [*(frame.path for frame in frames), *(file.path for file in (*held, *refused))]
            lose_outside(session, no_products, text="the file was replaced by another", actor=self.actor)
        for result in results:
            self._count(result, report)
        for file in (*held, *refused):
            report.held[file.reason] += 1
            if file.path in fresh:
                log.warning("quarantine %s: %s: %s", file.path, file.reason, file.text)
        report.fresh += len(fresh)

    def _store_alone(self, item: NewFrame | NewOutside, file: FileStat, report: IngestReport) -> None:
        try:
            self._store([item], [], report)
        except ArchiveUnavailableError:
            raise
        except Exception as error:
            text = f"the archive refused it: {str(error).partition(chr(10))[0]}"
            name = os.path.basename(item.path)
            held = HeldFile(item.path, name, file.size, file.mtime, QuarantineReason.UNREADABLE, text)
            self._hold_alone(held, report)

    def _hold_alone(self, file: HeldFile, report: IngestReport) -> None:
        try:
            self._store([], [file], report)
        except ArchiveUnavailableError:
            raise
        except Exception:
            # It is read again at the next rescan; the log is what is left to say it.
            log.exception("%s cannot even be held (%s: %s)", file.path, file.reason, file.text)

    def _count(self, result: Stored | StoredOutside, report: IngestReport) -> None:
        if result.outcome in _REFUSED:
            return
        report.released += result.released
        if isinstance(result, StoredOutside):
            report.products += 1
            report.nights.add(result.file.night.isoformat())
            return
        report.new += result.outcome is Outcome.NEW
        report.updated += result.outcome is Outcome.UPDATED
        report.moved += result.outcome is Outcome.MOVED
        report.nights.add(result.frame.columns["night"].isoformat())

    def _finish_tree(self, root: str, tree: TreeScan, report: IngestReport) -> None:
        """Note what is gone, the directories that could not be read, and the links that were not followed."""
        before = self._outward.get(root, {})
        for link, target in tree.outward.items():
            if before.get(printable(link)) != printable(target):
                log.warning(
                    "%s is not followed: it leads out of the archive directories, to %s (see CASCADE_FOLLOW_LINKS)",
                    printable(link),
                    printable(target),
                )
        self._outward[root] = {printable(link): printable(target) for link, target in tree.outward.items()}
        if tree.unreadable:
            held = [
                HeldFile(
                    printable(folder),
                    printable(os.path.basename(folder)),
                    None,
                    None,
                    QuarantineReason.UNREADABLE,
                    f"the directory cannot be read: {reason}",
                )
                for folder, reason in tree.unreadable.items()
            ]
            with self.archive.write() as session:
                report.fresh += len(hold_files(session, held, actor=self.actor))
            report.held[QuarantineReason.UNREADABLE] += len(held)
        if not tree.files:
            return  # an empty tree is more likely a disk that is not mounted than a night deleted at once
        seen = {printable(path) for path in tree.files}
        unread = tuple(f"{printable(folder).rstrip('/')}/" for folder in tree.unreadable)
        with self.archive.read() as session:
            known = [*paths_below(session, printable(root)), *outside_below(session, printable(root))]
        # Another ingest may have brought in what came after the tree was read, so the disk has the last word.
        gone = [
            path for path in known if path not in seen and not f"{path}/".startswith(unread) and not _is_there(path)
        ]
        if not gone:
            return
        with self.archive.write() as session:
            frames, files = forget_vanished(session, gone, actor=self.actor)
            products = lose_outside(session, gone, actor=self.actor)
        report.vanished += frames + files + products
        self._retry_duplicates |= frames + products > 0  # the original of a duplicate may be among them

    def _done(self, path: str) -> None:
        self._open.discard(path)
        self._settle.forget(path)


def ingest_once(
    archive: Archive,
    settings: Settings,
    paths: Sequence[str | Path] | None = None,
    *,
    actor: str = "ingest",
    progress: Callable[[IngestReport], None] | None = None,
) -> IngestReport:
    """Ingest files and directories until nothing is left to wait for, and return.

    Parameters
    ----------
    paths : sequence of path-like, optional
        The archive directories of the settings if not given.
    progress : callable, optional
        Called after each round with all that was done so far.

    Raises
    ------
    ArchiveUnavailableError
        If the database does not answer.
    """
    paths = list(paths) if paths is not None else list(settings.archive_dirs)
    ingestor = Ingestor(archive, settings, actor)
    total = ingestor.round(paths)
    while ingestor.open_paths or ingestor.wants_rescan:
        if progress is not None:
            progress(total)
        if ingestor.open_paths:
            time.sleep(min(0.25, settings.settle_seconds))
        total.add(ingestor.round(paths if ingestor.wants_rescan else ()))
    return total


def release(archive: Archive, settings: Settings, path: str | Path | None = None, *, actor: str) -> IngestReport:
    """Read quarantined files again now: one, or all; those that are usable become frames.

    The report says what became of them.

    Raises
    ------
    NotFoundError
        If ``path`` is not in quarantine.
    """
    wanted = None if path is None else [printable(os.path.abspath(path))]
    with archive.read() as session:
        paths = held_paths(session, wanted)
    if path is not None and not paths:
        raise NotFoundError(f"{path} is not in quarantine", file=path)
    ingestor = Ingestor(archive, settings, actor)
    total = ingestor.round([item for item in paths if os.path.lexists(item)], force=True)
    while ingestor.open_paths:
        time.sleep(min(0.25, settings.settle_seconds))
        total.add(ingestor.round((), force=True))
    return total


def _unchanged(entry: Known, file: FileStat, retry_duplicates: bool) -> bool:
    if entry.reason is QuarantineReason.DUPLICATE and retry_duplicates:
        return False
    if entry.reason is QuarantineReason.UNREADABLE and file.problem is None:
        return False  # permissions may be repaired without a trace in size and time
    return (entry.size, entry.mtime) == (file.size, file.mtime)


def _is_there(path: str) -> bool:
    """Whether a raw file is on the disk; a directory is not (those that cannot be read are held by their path)."""
    return is_candidate(os.path.basename(path)) and os.path.lexists(path)


def _refused(result: Stored | StoredOutside) -> HeldFile:
    if isinstance(result, StoredOutside):
        file = result.file
        text = f"the same product as {result.twin}"
        reason = QuarantineReason.DUPLICATE
        return HeldFile(file.path, file.file_name, file.size, file.mtime, reason, text, night=file.night)
    frame, reason, text = result.frame, QuarantineReason.DUPLICATE, f"the same exposure as {result.twin}"
    if result.outcome is Outcome.DAMAGED:
        reason, text = QuarantineReason.DAMAGED, result.fault
    name = os.path.basename(frame.path)
    return HeldFile(frame.path, name, frame.size, frame.mtime, reason, text, night=frame.columns["night"])
