"""The contents of raw files, known after every byte was read: their hashes, copies, new editions, damage."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from core.archive.clock import database_now
from core.archive.events import record_event
from core.archive.frame_use import set_aside
from core.archive.intake import HeldFile, hold_files
from core.archive.models import Block, BlockInput, Frame
from core.archive.states import BLOCK_OPEN_STATES, FrameState, QuarantineReason
from core.fitsfile.integrity import faults_told

__all__ = ["frames_to_hash", "store_hash"]

_MORE: Final = 500  # rows asked for beyond those wanted


def frames_to_hash(
    session: Session, limit: int = 100, leave_out: Collection[int] = (), *, planned_only: bool = False
) -> list[tuple[int, str, int, float]]:
    """Frames without content hash, newest first, without those to be left out: (id, path, size, mtime).

    Parameters
    ----------
    planned_only : bool
        Only those that blocks still to be done start from or use, and those that were written again: what was made from
        them may have to be made anew.
    """
    query = (
        select(Frame.id, Frame.path, Frame.size, Frame.mtime)
        .where(Frame.sha256.is_(None), Frame.state == FrameState.PRESENT)
        .order_by(Frame.id.desc())
        .limit(limit + _MORE)
    )
    if planned_only:
        of_open_blocks = (
            select(BlockInput.id)
            .join(Block, Block.id == BlockInput.block_id)
            .where(BlockInput.frame_id == Frame.id, Block.state.in_(BLOCK_OPEN_STATES))
        )
        query = query.where(or_(of_open_blocks.exists(), Frame.former_sha256.is_not(None)))
    found: list[tuple[int, str, int, float]] = []
    rows = session.execute(query).all()
    while rows and len(found) < limit:
        found += [(number, path, size, mtime) for number, path, size, mtime in rows if number not in leave_out]
        # The numbers are not told to the database: a disk that is away may make them many.
        rows = session.execute(query.where(Frame.id < rows[-1].id)).all()
    return found[:limit]


def store_hash(
    session: Session,
    frame_id: int,
    sha256: str,
    *,
    size: int,
    mtime: float,
    faults: Sequence[str] = (),
    actor: str = "hasher",
    now: datetime | None = None,
) -> HeldFile | None:
    """Store the content hash of a frame, if the file is still the one that was hashed.

    A file that was written again and has another hash now is a new edition of the frame: what was made from it is
    planned again, as of every frame with an event.

    Parameters
    ----------
    faults : sequence of str
        Checksums of the file that do not agree with its bytes: then the frame is DAMAGED, and not used.

    Returns
    -------
    HeldFile or None
        What went to quarantine: the damaged file, or that of a frame that is a DUPLICATE now, since an earlier one has
        the same content.
    """
    now = now or database_now(session)
    frame = session.get(Frame, frame_id)
    if frame is None or (frame.size, frame.mtime) != (size, mtime):
        return None
    frame.sha256 = sha256
    if frame.former_sha256 not in (None, sha256):
        frame.edition += 1
        text = f"the file was written again with other content: edition {frame.edition}"
        record_event(
            session, "frame", frame.dp_id, actor=actor, text=text, from_state=frame.state, to_state=frame.state, now=now
        )
    frame.former_sha256 = None
    if faults and frame.state is FrameState.PRESENT:
        text = faults_told(faults)
        set_aside(session, frame, FrameState.DAMAGED, text, actor=actor, now=now)
        return _hold_frame(session, frame, QuarantineReason.DAMAGED, text, actor, now)
    twin = session.scalar(
        select(Frame)
        .where(Frame.sha256 == sha256, Frame.id != frame_id, Frame.state == FrameState.PRESENT)
        .order_by(Frame.id)
        .limit(1)
    )
    if twin is None or frame.state is not FrameState.PRESENT:
        return None
    first, later = sorted((frame, twin), key=lambda row: row.id)
    later.state = FrameState.DUPLICATE  # before it is held, which would call it missing
    session.flush()
    text = f"same content as {first.path}"
    record_event(
        session,
        "frame",
        later.dp_id,
        actor=actor,
        text=text,
        from_state=FrameState.PRESENT,
        to_state=FrameState.DUPLICATE,
        now=now,
    )
    return _hold_frame(session, later, QuarantineReason.DUPLICATE, text, actor, now)


def _hold_frame(
    session: Session, frame: Frame, reason: QuarantineReason, text: str, actor: str, now: datetime
) -> HeldFile:
    held = HeldFile(frame.path, frame.file_name, frame.size, frame.mtime, reason, text, night=frame.night)
    hold_files(session, [held], actor=actor, now=now)
    return held
