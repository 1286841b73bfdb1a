"""Raw frames and quarantined files, as pages and REST show them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from sqlalchemy import ColumnElement, bindparam, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session, undefer

from core.archive.models import Block, BlockInput, Event, Frame, Product, QuarantinedFile
from core.archive.pages.slices import Slice, slice_by_id
from core.archive.states import BlockState, InputKind, QuarantineState
from core.errors import NotFoundError
from core.instruments.registry import instruments

__all__ = [
    "FrameFilter",
    "LooseFrames",
    "TimelineTick",
    "blocks_of_frame",
    "find_frame",
    "find_held",
    "find_names",
    "frames_in_no_block",
    "list_frames",
    "list_quarantine",
    "products_of_blocks",
    "quarantine_count",
    "quarantine_history",
    "timeline",
]


_TAKEN: Final = (
    select(BlockInput.id)
    .join(Block, Block.id == BlockInput.block_id)
    .where(BlockInput.frame_id == Frame.id, Block.state != BlockState.SUPERSEDED)
)
_LOOSE: Final = (
    select(Frame.instrument, Frame.tag, Frame.state_reason, func.count(), func.min(Frame.dp_id))
    .where(Frame.night == bindparam("night"), ~_TAKEN.exists())
    .group_by(Frame.instrument, Frame.tag, Frame.state_reason)
    .order_by(func.min(Frame.mjd_obs))
)
_TICKS: Final = (
    select(Frame.dp_id, Frame.tag, Frame.mjd_obs, Frame.exptime, Frame.lamps)
    .where(Frame.night == bindparam("night"))
    .order_by(Frame.mjd_obs)
)
_FRAME: Final = select(Frame).where(Frame.dp_id == bindparam("dp_id")).options(undefer(Frame.header))
_USERS: Final = (
    select(Block)
    .join(BlockInput, BlockInput.block_id == Block.id)
    .where(BlockInput.frame_id == bindparam("frame"), BlockInput.kind == InputKind.RAW)
    .order_by(Block.id.desc())
)
_EVENTS: Final = (
    select(Event)
    .where(Event.kind == bindparam("kind"), Event.subject == bindparam("subject"))
    .order_by(Event.time.desc())
    .limit(bindparam("limit"))
)


@dataclass(frozen=True)
class FrameFilter:
    """What a list of frames is restricted to; None means all."""

    night: date | None = None
    tag: str | None = None
    mode: str | None = None
    from_mjd: float | None = None
    to_mjd: float | None = None


@dataclass(frozen=True)
class TimelineTick:
    """One frame on the time axis of a night."""

    dp_id: str
    tag: str
    mjd_obs: float
    exptime: float
    lamps: str


def list_frames(session: Session, wanted: FrameFilter, after: int | None, limit: int) -> Slice[Frame, int]:
    """Frames by descending id, those after ``after``."""
    statement = select(Frame)
    if wanted.night is not None:
        statement = statement.where(Frame.night == wanted.night)
    if wanted.tag is not None:
        statement = statement.where(Frame.tag == wanted.tag)
    if wanted.mode is not None:
        statement = statement.where(Frame.mode == wanted.mode)
    if wanted.from_mjd is not None:
        statement = statement.where(Frame.mjd_obs >= wanted.from_mjd)
    if wanted.to_mjd is not None:
        statement = statement.where(Frame.mjd_obs <= wanted.to_mjd)
    return slice_by_id(session, statement, Frame.id, after, limit)


@dataclass(frozen=True)
class LooseFrames:
    """Frames of a night that no block takes, of one instrument and tag; ``first`` is the name of the first.

    ``reason`` is why they are not used, if they say so themselves.
    """

    instrument: str
    tag: str
    reason: str
    number: int
    first: str


def frames_in_no_block(session: Session, night: date) -> list[LooseFrames]:
    """Frames of a night that are in no block, by time."""
    return [LooseFrames(*row) for row in session.execute(_LOOSE, {"night": night})]


def find_frame(session: Session, dp_id: str) -> Frame:
    """A frame by its name, with its header.

    Raises
    ------
    NotFoundError
        If the archive has no such frame.
    """
    frame = session.scalar(_FRAME, {"dp_id": dp_id})
    if frame is None:
        raise NotFoundError(f"the archive has no frame {dp_id}; was it ingested? See the quarantine", frame=dp_id)
    return frame


def timeline(session: Session, night: date) -> list[TimelineTick]:
    """All frames of a night on the time axis, by time."""
    return [TimelineTick(*row) for row in session.execute(_TICKS, {"night": night})]


def blocks_of_frame(session: Session, frame_id: int) -> list[Block]:
    """Blocks that take a frame, newest plan first."""
    return list(session.scalars(_USERS, {"frame": frame_id}))


def products_of_blocks(session: Session, block_ids: Sequence[int]) -> list[Product]:
    """Products of blocks, by block, tag and unit."""
    return list(
        session.scalars(
            select(Product).where(Product.block_id.in_(block_ids)).order_by(Product.block_id, Product.tag, Product.unit)
        )
    )


def list_quarantine(
    session: Session,
    *,
    night: date | None = None,
    state: QuarantineState | None = QuarantineState.HELD,
    after: int | None = None,
    limit: int = 200,
) -> Slice[QuarantinedFile, int]:
    """Quarantined files by descending id, those after ``after``."""
    statement = select(QuarantinedFile)
    if night is not None:
        statement = statement.where(QuarantinedFile.night == night)
    if state is not None:
        statement = statement.where(QuarantinedFile.state == state)
    return slice_by_id(session, statement, QuarantinedFile.id, after, limit)


def quarantine_count(session: Session) -> int:
    """Files held in quarantine now."""
    return (
        session.scalar(
            select(func.count()).select_from(QuarantinedFile).where(QuarantinedFile.state == QuarantineState.HELD)
        )
        or 0
    )


def quarantine_history(session: Session, subject: str, kind: str, limit: int = 50) -> list[Event]:
    """Events of one thing, oldest first."""
    return list(session.scalars(_EVENTS, {"kind": kind, "subject": subject, "limit": limit}))[::-1]


def find_held(session: Session, text: str, limit: int) -> list[QuarantinedFile]:
    """Files held in quarantine whose name starts with a text, newest first."""
    statement = select(QuarantinedFile).where(QuarantinedFile.state == QuarantineState.HELD)
    statement = statement.where(QuarantinedFile.file_name.startswith(text, autoescape=True))
    return list(session.scalars(statement.order_by(QuarantinedFile.id.desc()).limit(limit)))


def find_names(session: Session, text: str, limit: int) -> list[tuple[str, str, str]]:
    """What the search box finds: (kind, name, key) of frames and blocks whose name starts with a text, and products.

    A date or time alone is looked for behind the instrument's prefix.
    """
    names = [item.name for item in instruments()]
    starts = [text] if text.upper().startswith(tuple(names)) else [text, *(f"{name}.{text}" for name in names)]
    found: list[tuple[str, str, str]] = []
    # SQLite would read the whole table for LIKE, but compares bytes, so that a range on the index serves; the collation
    # of PostgreSQL may order otherwise.
    ranges = session.get_bind().dialect.name == "sqlite"

    def begins(name: InstrumentedAttribute[str], start: str) -> ColumnElement[bool]:
        return name.between(start, start + "\uffff") if ranges else name.startswith(start, autoescape=True)

    for kind, name, key in (
        ("block", Block.name, Block.name),
        ("frame", Frame.dp_id, Frame.dp_id),
        ("product", Product.file_name, Product.id),
    ):
        statement = select(name, key).order_by(name.desc()).limit(limit)
        if kind == "block":
            statement = statement.where(Block.state != BlockState.SUPERSEDED)
        # One start at a time: of several in one statement a database may read the whole index, for its order.
        hits = {tuple(hit) for start in starts for hit in session.execute(statement.where(begins(name, start)))}
        found += [(kind, str(label), str(value)) for label, value in sorted(hits, reverse=True)[:limit]]
    return found
