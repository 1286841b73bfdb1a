"""Whether a raw frame is used: set aside with a reason, and taken back.

A frame is set aside since its file is damaged, which the hashing thread finds, or since a person excludes it. Nothing
is planned with it any more; its templates are planned anew with the others. What was made of nothing but such frames
is withdrawn, as nothing would replace it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.archive.clock import database_now
from core.archive.events import record_event
from core.archive.models import Block, BlockInput, Frame, QuarantinedFile
from core.archive.states import BlockState, FrameState, InputKind, QuarantineState
from core.archive.transitions import change_block
from core.errors import NotFoundError, StateConflictError

__all__ = ["exclude_frame", "include_frame", "set_aside"]

_USED: Final = (FrameState.PRESENT, FrameState.MISSING)  # what is gone still counts for what was made of it
_SET_ASIDE: Final = (FrameState.DAMAGED, FrameState.EXCLUDED)
_WITHDRAWABLE: Final = frozenset(BlockState) - {BlockState.RUNNING, BlockState.SUPERSEDED}


def exclude_frame(session: Session, name: str, *, actor: str, comment: str, now: datetime | None = None) -> Frame:
    """Use a frame no more, also if its file is delivered again, until a person includes it.

    Raises
    ------
    NotFoundError
        If the archive has no such frame.
    StateConflictError
        If it is the copy of another frame.
    """
    frame = _find(session, name)
    if frame.state is FrameState.DUPLICATE:
        raise StateConflictError(f"frame {name} is a copy of another one and is not used anyway", frame=name)
    set_aside(session, frame, FrameState.EXCLUDED, f"excluded by {actor}: {comment}", actor=actor, now=now)
    return frame


def include_frame(session: Session, name: str, *, actor: str, comment: str, now: datetime | None = None) -> Frame:
    """Use a frame again that was excluded, or that is damaged; a damaged one stays included until its file changes.

    Raises
    ------
    NotFoundError
        If the archive has no such frame.
    StateConflictError
        If it was not set aside.
    """
    now = now or database_now(session)
    frame = _find(session, name)
    if frame.state not in _SET_ASIDE:
        raise StateConflictError(f"frame {name} is {frame.state}: only one that was set aside is included", frame=name)
    held = session.scalars(
        select(QuarantinedFile).where(QuarantinedFile.path == frame.path, QuarantinedFile.state == QuarantineState.HELD)
    )
    for row in held:
        row.state, row.last_seen = QuarantineState.RELEASED, now
    before, frame.state = frame.state, FrameState.PRESENT
    frame.state_reason = ""
    record_event(
        session, "frame", frame.dp_id, actor=actor, text=comment, from_state=before, to_state=frame.state, now=now
    )
    return frame


def set_aside(
    session: Session, frame: Frame, state: FrameState, reason: str, *, actor: str, now: datetime | None = None
) -> None:
    """Use a frame no more; what was made of nothing else is withdrawn.

    Parameters
    ----------
    state : FrameState
        DAMAGED or EXCLUDED.
    """
    before, frame.state, frame.state_reason = frame.state, state, reason
    session.flush()
    record_event(session, "frame", frame.dp_id, actor=actor, text=reason, from_state=before, to_state=state, now=now)
    for block_id in _blocks_without_frames(session, frame):
        change_block(
            session,
            block_id,
            BlockState.SUPERSEDED,
            from_states=_WITHDRAWABLE,
            actor=actor,
            text="all of its raw frames were set aside",
            now=now,
        )


def _blocks_without_frames(session: Session, frame: Frame) -> Sequence[int]:
    """Blocks that start from this frame and from none that is used."""
    started = (BlockInput.kind == InputKind.RAW, BlockInput.role == Block.tag)
    of_frame = (
        select(Block.id)
        .join(BlockInput, BlockInput.block_id == Block.id)
        .where(*started, BlockInput.frame_id == frame.id, Block.state.in_(_WITHDRAWABLE))
    )
    others = (
        select(BlockInput.id)
        .join(Frame, Frame.id == BlockInput.frame_id)
        .where(*started, BlockInput.block_id == Block.id, Frame.state.in_(_USED))
    )
    return session.scalars(of_frame.where(~others.exists())).all()


def _find(session: Session, name: str) -> Frame:
    frame = session.scalar(select(Frame).where(Frame.dp_id == name))
    if frame is None:
        raise NotFoundError(f"the archive has no frame {name}", frame=name)
    return frame
