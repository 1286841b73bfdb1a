"""The intake of raw files: what is known of a file, new frames, duplicates, quarantine.

Functions take the session of a write transaction where they change something. All look-ups go by lists of names in
chunks, so that a directory of ten years is compared with the archive in a few hundred statements.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from enum import StrEnum
from typing import Any, TypeVar

from sqlalchemy import func, insert, or_, select, tuple_
from sqlalchemy.orm import Session

from core.archive.clock import database_now
from core.archive.events import record_event
from core.archive.models import Frame, QuarantinedFile
from core.archive.states import FrameState, QuarantineReason, QuarantineState

__all__ = [
    "HeldFile",
    "Known",
    "NewFrame",
    "Outcome",
    "Stored",
    "chunks",
    "forget_vanished",
    "held_paths",
    "hold_files",
    "known_files",
    "paths_below",
    "release_held",
    "store_frames",
    "twin_paths",
]

_CHUNK = 500
_NAME_LENGTH = 200  # characters, where more follow
_HELD = QuarantinedFile.state == QuarantineState.HELD
_DAMAGED = FrameState.DAMAGED
_THERE = (FrameState.PRESENT, FrameState.EXCLUDED)  # others are known by their rows in quarantine

T = TypeVar("T")


@dataclass(frozen=True)
class Known:
    """What the archive knows of a path. ``reason`` is None for frames and products."""

    size: int | None
    mtime: float | None
    reason: QuarantineReason | None = None


@dataclass(frozen=True)
class NewFrame:
    """A raw file that was read and classified. ``columns`` are the other columns of `Frame`."""

    path: str
    dp_id: str
    size: int
    mtime: float
    instrument: str
    date_obs: datetime
    columns: Mapping[str, Any]

    def row(self) -> dict[str, Any]:
        """All columns."""
        return {
            "path": self.path,
            "dp_id": self.dp_id,
            "size": self.size,
            "mtime": self.mtime,
            "instrument": self.instrument,
            "date_obs": self.date_obs,
            **self.columns,
        }


@dataclass(frozen=True)
class HeldFile:
    """A file that cannot be used, and why. ``night`` if its header or its name says it."""

    path: str
    file_name: str
    size: int | None
    mtime: float | None
    reason: QuarantineReason
    text: str
    night: date | None = None


class Outcome(StrEnum):
    """What became of a new frame."""

    NEW = "new"
    UPDATED = "updated"  # the known file was written again
    MOVED = "moved"  # the known file has another place now
    DUPLICATE = "duplicate"
    DAMAGED = "damaged"  # the file is still the one that does not agree with its checksums


@dataclass(frozen=True)
class Stored:
    """What became of one new frame; ``twin`` is the path of the earlier one, of duplicates."""

    frame: NewFrame
    outcome: Outcome
    released: bool = False  # it was in quarantine before
    twin: str = ""
    fault: str = ""  # of damaged ones

    @property
    def usable(self) -> bool:
        """Whether the archive has it as a frame now."""
        return self.outcome not in (Outcome.DUPLICATE, Outcome.DAMAGED)


def known_files(session: Session, paths: Sequence[str]) -> dict[str, Known]:
    """What the archive knows of some paths; unknown ones are left out.

    Frames that are not there and released or vanished quarantine rows count as unknown, so that the file is read again.
    """
    known: dict[str, Known] = {}
    for part in chunks(paths):
        frames = session.execute(
            select(Frame.path, Frame.size, Frame.mtime).where(Frame.path.in_(part), Frame.state.in_(_THERE))
        )
        known.update({path: Known(size, mtime) for path, size, mtime in frames})
        held = session.execute(
            select(QuarantinedFile.path, QuarantinedFile.size, QuarantinedFile.mtime, QuarantinedFile.reason).where(
                QuarantinedFile.path.in_(part), QuarantinedFile.state == QuarantineState.HELD
            )
        )
        known.update({path: Known(size, mtime, reason) for path, size, mtime, reason in held})
    return known


def store_frames(
    session: Session,
    frames: Sequence[NewFrame],
    *,
    exists: Mapping[str, bool],
    actor: str = "ingest",
    now: datetime | None = None,
) -> list[Stored]:
    """Store frames that were read; find those that the archive has already.

    A frame is a duplicate if the archive has its instrument and ``DATE-OBS`` under a path that still exists. If that
    path is gone or its file is damaged, the file has moved. A name that another exposure has already (some come again
    every year) gets the time added. A damaged frame is used again when its file changed; one that a person excluded is
    not.

    Parameters
    ----------
    exists : mapping
        Whether the path of an earlier frame still exists; paths that are not in it count as existing. Ask
        `twin_paths` for the paths to look at.
    """
    now = now or database_now(session)
    by_path, by_name, by_date = _earlier(session, frames)
    new: list[dict[str, Any]] = []
    results: list[Stored] = []
    for frame in frames:
        same = by_path.get(frame.path)
        twin = by_date.get((frame.instrument, frame.date_obs))
        if twin is not None and twin is not same and exists.get(twin.path, True) and twin.state is not _DAMAGED:
            results.append(Stored(frame, Outcome.DUPLICATE, twin=twin.path))
            continue
        if same is not None and same.state is _DAMAGED and (same.size, same.mtime) == (frame.size, frame.mtime):
            results.append(Stored(frame, Outcome.DAMAGED, fault=same.state_reason))
            continue
        old = same or twin
        frame = replace(frame, dp_id=_free_name(frame, old, by_name))
        if old is None:
            row = Frame(path=frame.path, dp_id=frame.dp_id)  # only for the look-ups of this batch
            new.append({**frame.row(), "state": FrameState.PRESENT, "ingested_at": now})
            outcome = Outcome.NEW
        else:
            outcome = Outcome.UPDATED if old is same else Outcome.MOVED
            state = FrameState.EXCLUDED if old.state is FrameState.EXCLUDED else FrameState.PRESENT
            _expect_hash(old, frame)
            text = f"{outcome}: {old.path}" if outcome is Outcome.MOVED else f"{outcome}: {frame.path}"
            record_event(
                session,
                "frame",
                old.dp_id,
                actor=actor,
                text=text,
                from_state=old.state,
                to_state=state,
                now=now,
            )
            for column, value in frame.row().items():
                setattr(old, column, value)
            old.state, old.state_reason = state, old.state_reason if state is FrameState.EXCLUDED else ""
            row = old
        by_path[frame.path] = by_name[frame.dp_id] = by_date[frame.instrument, frame.date_obs] = row
        results.append(Stored(frame, outcome))
    session.flush()
    if new:
        session.execute(insert(Frame), new)
    usable = [result.frame.path for result in results if result.usable]
    released = release_held(session, usable, actor, now)
    return [replace(result, released=result.frame.path in released) for result in results]


def _free_name(frame: NewFrame, old: Frame | None, by_name: Mapping[str, Frame]) -> str:
    """The name of the file; with the time of the exposure if another frame has it."""
    owner = by_name.get(frame.dp_id)
    if owner is None or owner is old:
        return frame.dp_id
    if old is not None:
        return old.dp_id
    return f"{frame.dp_id[:_NAME_LENGTH]}@{frame.date_obs:%Y%m%dT%H%M%S.%f}-{frame.instrument}"


def _expect_hash(old: Frame, new: NewFrame) -> None:
    """A known file that was written again is hashed again; is it another edition, or the same content?

    One of another size is, and one whose first content was never hashed may be: it is counted at once. Else the new
    hash tells (`core.archive.contents`), so that a file that was only copied anew is not reduced again.
    """
    if (old.size, old.mtime) == (new.size, new.mtime) and old.state is not _DAMAGED:
        return
    if _ending(old.path) != _ending(new.path) and old.header == new.columns["header"]:
        old.sha256 = old.former_sha256 = None  # an archive that is compressed in place is still the same
        return
    known = old.sha256 or old.former_sha256
    if old.size != new.size or known is None:
        old.edition += 1
        known = None
    old.sha256, old.former_sha256 = None, known


def _ending(path: str) -> str:
    """What says how a file is compressed."""
    return path.rpartition(".")[2].lower()


def twin_paths(session: Session, frames: Sequence[NewFrame]) -> set[str]:
    """Paths of earlier frames with the time of some new ones: see whether they still exist."""
    *_, by_date = _earlier(session, frames)
    return {row.path for row in by_date.values()} - {frame.path for frame in frames}


def hold_files(
    session: Session, files: Iterable[HeldFile], *, actor: str = "ingest", now: datetime | None = None
) -> set[str]:
    """Put files into quarantine; returns the paths that were not there with the same reason before.

    A frame that the archive had under the path counts as missing from now on.
    """
    now = now or database_now(session)
    files = list({file.path: file for file in files}.values())
    rows: dict[str, QuarantinedFile] = {}
    for part in chunks([file.path for file in files]):
        found = session.scalars(select(QuarantinedFile).where(QuarantinedFile.path.in_(part)))
        rows.update({row.path: row for row in found})
        lost = session.scalars(select(Frame).where(Frame.path.in_(part), Frame.state == FrameState.PRESENT)).all()
        for frame in lost:
            frame.state = FrameState.MISSING
            record_event(
                session,
                "frame",
                frame.dp_id,
                actor=actor,
                text="the file was replaced by one that cannot be used",
                from_state=FrameState.PRESENT,
                to_state=FrameState.MISSING,
                now=now,
            )
    fresh: set[str] = set()
    for file in files:
        row = rows.get(file.path)
        before = None if row is None else (row.state, row.reason)
        if row is None:
            row = QuarantinedFile(path=file.path, file_name=file.file_name, first_seen=now, tries=0)
            session.add(row)
        row.size, row.mtime, row.night = file.size, file.mtime, file.night
        row.reason, row.text, row.state = file.reason, file.text, QuarantineState.HELD
        row.last_seen = now
        row.tries += 1
        if before != (QuarantineState.HELD, file.reason):
            fresh.add(file.path)
            record_event(
                session,
                "quarantine",
                file.path,
                actor=actor,
                text=f"{file.reason}: {file.text}",
                from_state=before[0] if before else None,
                to_state=QuarantineState.HELD,
                now=now,
            )
    return fresh


def held_paths(session: Session, paths: Collection[str] | None = None) -> list[str]:
    """Paths in quarantine, of all or among some."""
    query = select(QuarantinedFile.path).where(QuarantinedFile.state == QuarantineState.HELD)
    if paths is None:
        return list(session.scalars(query.order_by(QuarantinedFile.id)))
    found: list[str] = []
    for part in chunks(list(paths)):
        found.extend(session.scalars(query.where(QuarantinedFile.path.in_(part))))
    return found


def paths_below(session: Session, root: str) -> list[str]:
    """Paths of the present frames and held files below a directory."""
    prefix = root.rstrip("/") + "/"
    columns = ((Frame.path, Frame.state == FrameState.PRESENT), (QuarantinedFile.path, _HELD))
    return [
        path
        for column, condition in columns
        for path in session.scalars(select(column).where(func.substr(column, 1, len(prefix)) == prefix, condition))
    ]


def forget_vanished(
    session: Session, paths: Sequence[str], *, actor: str = "ingest", now: datetime | None = None
) -> tuple[int, int]:
    """Files that are gone: frames are MISSING from now on, held files GONE.

    Parameters
    ----------
    paths : sequence of str
        See on the disk that they are not there: a list of files may be older than what the archive knows.

    Returns
    -------
    tuple of int
        Number of frames and of held files that vanished.
    """
    now = now or database_now(session)
    frames = gone = 0
    for part in chunks(paths):
        for frame in session.scalars(select(Frame).where(Frame.path.in_(part), Frame.state == FrameState.PRESENT)):
            frame.state = FrameState.MISSING
            frames += 1
            record_event(
                session,
                "frame",
                frame.dp_id,
                actor=actor,
                text="the file is gone",
                from_state=FrameState.PRESENT,
                to_state=FrameState.MISSING,
                now=now,
            )
        for row in session.scalars(select(QuarantinedFile).where(QuarantinedFile.path.in_(part), _HELD)):
            row.state = QuarantineState.GONE
            gone += 1
            record_event(
                session,
                "quarantine",
                row.path,
                actor=actor,
                text="the file is gone",
                from_state=QuarantineState.HELD,
                to_state=QuarantineState.GONE,
                now=now,
            )
    return frames, gone


def _earlier(
    session: Session, frames: Sequence[NewFrame]
) -> tuple[dict[str, Frame], dict[str, Frame], dict[tuple[str, datetime], Frame]]:
    """Frames of the archive that have the path, the name, or the time of a new one."""
    rows: set[Frame] = set()
    for part in chunks(frames):
        rows.update(
            session.scalars(
                select(Frame).where(
                    or_(
                        Frame.path.in_([frame.path for frame in part]),
                        Frame.dp_id.in_([frame.dp_id for frame in part]),
                    )
                )
            )
        )
        moments = [(frame.instrument, frame.date_obs) for frame in part]
        rows.update(session.scalars(select(Frame).where(tuple_(Frame.instrument, Frame.date_obs).in_(moments))))
    ordered = sorted(rows, key=lambda row: -row.id)  # of several, the oldest row wins
    return (
        {row.path: row for row in ordered},
        {row.dp_id: row for row in ordered},
        {(row.instrument, row.date_obs): row for row in ordered},
    )


def release_held(session: Session, paths: Sequence[str], actor: str, now: datetime) -> set[str]:
    """Take files out of quarantine that are usable now; returns the paths that were held."""
    released: set[str] = set()
    for part in chunks(paths):
        rows = session.scalars(
            select(QuarantinedFile).where(QuarantinedFile.path.in_(part), QuarantinedFile.state == QuarantineState.HELD)
        )
        for row in rows.all():
            row.state, row.last_seen = QuarantineState.RELEASED, now
            released.add(row.path)
            record_event(
                session,
                "quarantine",
                row.path,
                actor=actor,
                text="the file is usable now",
                from_state=QuarantineState.HELD,
                to_state=QuarantineState.RELEASED,
                now=now,
            )
    return released


def chunks(items: Sequence[T]) -> Iterable[Sequence[T]]:
    """Cut a list for statements that name its items."""
    return (items[start : start + _CHUNK] for start in range(0, len(items), _CHUNK))
