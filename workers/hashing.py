"""The contents of raw files are read when there is time: hashed, and compared with the checksums that they carry."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from core.archive.contents import frames_to_hash, store_hash
from core.archive.sessions import Archive
from core.fitsfile.integrity import check_file
from workers.ingest_examine import stat_file

__all__ = ["Hasher"]

log = logging.getLogger(__name__)

_HASH_AGAIN: Final = 900.0  # a frame that could not be read
_HASH_CHANGED: Final = 60.0  # one that is not as it was ingested


class Hasher:
    """Hashes the content of frames and verifies their checksums, off the hot path of ingest, newest first.

    A frame that cannot be read, or is not as it was ingested, is left alone for a while: it must not keep the older
    ones from their turn.

    Parameters
    ----------
    archive : Archive
    clock : callable
        Seconds that pass evenly; for tests.
    planned_only : bool
        Look only at frames of blocks that are still to be done.
    """

    def __init__(
        self, archive: Archive, clock: Callable[[], float] = time.monotonic, *, planned_only: bool = False
    ) -> None:
        self._archive, self._clock, self._planned_only = archive, clock, planned_only
        self._later: dict[int, float] = {}  # frame -> when it is tried again

    def round(self, stop: threading.Event, limit: int = 20) -> int:
        """Look at some frames that have no hash yet; returns how many were hashed or put off."""
        now = self._clock()
        self._later = {number: due for number, due in self._later.items() if due > now}
        with self._archive.read() as session:
            todo = frames_to_hash(session, limit, self._later.keys(), planned_only=self._planned_only)
        seen = 0
        for frame_id, path, size, mtime in todo:
            if stop.is_set():
                break
            seen += 1
            try:
                found = check_file(Path(path))
            except OSError as error:
                log.warning("%s cannot be hashed, tried again in %g min: %s", path, _HASH_AGAIN / 60, error)
                self._later[frame_id] = now + _HASH_AGAIN
                continue
            file = stat_file(path)
            if (file.size, file.mtime) != (size, mtime):
                self._later[frame_id] = now + _HASH_CHANGED  # it changed; a rescan reads it again
                continue
            with self._archive.write() as session:
                held = store_hash(session, frame_id, found.sha256, size=size, mtime=mtime, faults=found.faults)
            if held is not None:
                log.warning("quarantine %s: %s: %s", held.path, held.reason, held.text)
        return seen
