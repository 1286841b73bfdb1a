"""What is new since the last plan: news, cheap to ask for at every look, and the nights whose plan may have changed.

All of it follows from the state of the archive, so that a restarted dispatcher knows as much as before.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy import ColumnElement, String, cast, func, or_, select
from sqlalchemy.orm import Session

from core.archive.models import Block, BlockInput, Event, Frame, OutsideFile, Product
from core.archive.requests import EVENT_KIND as REQUEST
from core.archive.states import BlockState, FrameState, InputKind
from core.archive.verdicts import DOUBT

__all__ = [
    "PLANNER",
    "News",
    "fresh_frames",
    "last_plan_id",
    "last_plan_time",
    "news",
    "nights_changed",
]

PLANNER = "planner"  # actor of the events of plans of all that had changed

_ENDED = (BlockState.DONE.value, BlockState.FAILED.value, BlockState.CANCELLED.value)
_TO_RUN = (BlockState.READY.value, BlockState.WAITING.value)
_OF_FILES = (FrameState.PRESENT.value, FrameState.MISSING.value)  # events of files, not of trust in them
_UNUSABLE = (BlockState.FAILED.value, BlockState.CANCELLED.value, BlockState.SUPERSEDED.value)


# Plans of all that had changed; those of nights that a person chose say nothing of the other nights.
_WHOLE_PLAN = (Event.kind == "plan", Event.actor == PLANNER)


def last_plan_time(session: Session) -> datetime | None:
    """When all that had changed was planned last; None if never.

    The last row counts, not the latest time: clocks may be set back.
    """
    return session.scalar(select(Event.time).where(*_WHOLE_PLAN).order_by(Event.id.desc()).limit(1))


def last_plan_id(session: Session) -> int | None:
    """Number of the event of that plan."""
    return session.scalar(select(func.max(Event.id)).where(*_WHOLE_PLAN))


@dataclass(frozen=True)
class News:
    """What happened since a look at the archive; cheap to ask for, however long the history is.

    Attributes
    ----------
    frames : tuple of int
        Number of frames, and the highest number of one.
    last_event : int
    frames_changed : bool
        Something else is wanted of a night; a frame or a product from outside disappeared, came back, or was excluded;
        a block is trusted more or less than before.
    run_again : bool
        A person let a block run again.
    redone : int
        Blocks that were done with other parameters than planned.
    withdrawn : bool
        A product changed its state, or a block failed, was cancelled or replaced.
    """

    frames: tuple[int, int]
    last_event: int
    frames_changed: bool
    run_again: bool
    redone: int
    withdrawn: bool


def news(session: Session, after_event: int | None) -> News:
    """What happened after an event; everything, if that is None."""
    count, highest = session.execute(select(func.count(), func.max(Frame.id)).select_from(Frame)).one()
    frames = (count, highest or 0)
    if after_event is None:
        last = session.scalar(select(func.max(Event.id))) or 0
        return News(frames, last, True, True, 0, True)
    events = session.execute(
        select(Event.id, Event.kind, Event.from_state, Event.to_state).where(Event.id > after_event).order_by(Event.id)
    ).all()
    last = events[-1].id if events else after_event
    blocks = [event for event in events if event.kind == "block"]
    done = any(event.to_state == BlockState.DONE for event in blocks)
    return News(
        frames,
        last,
        frames_changed=any(
            event.kind in ("frame", REQUEST, DOUBT) or (event.kind == "product" and event.to_state in _OF_FILES)
            for event in events
        ),
        run_again=any(event.from_state in _ENDED and event.to_state in _TO_RUN for event in blocks),
        redone=_redone(session) if done else 0,
        withdrawn=any(event.kind == "product" for event in events)
        or any(event.to_state in _UNUSABLE for event in blocks),
    )


def _redone(session: Session) -> int:
    query = select(func.count()).select_from(Block)
    changed = (Block.state == BlockState.DONE, Block.signature != Block.plan_signature)
    return session.scalar(query.where(*changed)) or 0


def nights_changed(session: Session, since: datetime | None, after: News | None = None) -> set[date]:
    """Nights whose plan may differ from the stored one.

    Those with frames that came in, disappeared or were excluded since then; those of products from outside that did, of
    blocks that use them, and of blocks that lack what they are; and those of blocks that were run again, or were done
    with other parameters than planned. All nights with frames if ``since`` is None.

    What came after a look (``after``) is found by its number, too: the clocks of other machines may be behind.
    """
    frames = select(Frame.night).distinct()
    if since is None:  # frames that are gone matter where something was planned with them
        planned = select(Block.night).where(Block.state != BlockState.SUPERSEDED).distinct()
        return set(session.scalars(frames.where(Frame.state == FrameState.PRESENT))) | set(session.scalars(planned))
    new, recent = Frame.ingested_at > since, Event.time > since
    if after is not None:
        new, recent = new | (Frame.id > after.frames[1]), recent | (Event.id > after.last_event)
    nights = set(session.scalars(frames.where(new)))
    nights |= set(
        session.scalars(frames.join(Event, Event.subject == Frame.dp_id).where(Event.kind == "frame", recent))
    )
    nights |= _nights_of_outside_files(session, recent)
    nights |= _nights_of_doubt(session, recent)
    requested = session.scalars(select(Event.subject).where(Event.kind == REQUEST, recent))
    nights |= {date.fromisoformat(night) for night in requested}
    blocks = select(Block.night).distinct()
    nights |= set(
        session.scalars(
            blocks.where(
                Block.state == BlockState.DONE, Block.finished_at > since, Block.signature != Block.plan_signature
            )
        )
    )
    nights |= set(
        session.scalars(
            blocks.join(Event, Event.subject == Block.name).where(
                Event.kind == "block",
                Event.from_state.in_(_ENDED),
                Event.to_state.in_(_TO_RUN),
                recent,
            )
        )
    )
    return nights


def _nights_of_doubt(session: Session, recent: ColumnElement[bool]) -> set[date]:
    """Nights of blocks that are trusted more or less than before, those beside them, and those of what uses them."""
    doubted = (
        select(Block.id, Block.night)
        .join(Event, Event.subject == Block.name)
        .where(Event.kind == DOUBT, recent, Block.state != BlockState.SUPERSEDED)
        .subquery()
    )
    concerned = (
        select(Block.night)
        .join(BlockInput, BlockInput.block_id == Block.id)
        .join(doubted, BlockInput.source_block_id == doubted.c.id)
        .where(Block.state != BlockState.SUPERSEDED)
    )
    day = timedelta(days=1)
    beside = {night + step * day for night in session.scalars(select(doubted.c.night)) for step in (-1, 0, 1)}
    return beside | set(session.scalars(concerned))


def _nights_of_outside_files(session: Session, recent: ColumnElement[bool]) -> set[date]:
    changed = (
        select(Product.id, Product.night, Product.tag)
        .join(OutsideFile, OutsideFile.product_id == Product.id)
        .join(Event, Event.subject == cast(Product.id, String))
        .where(Event.kind == "product", Event.to_state.in_(_OF_FILES), recent)
        .distinct()
        .subquery()
    )
    lacking = (BlockInput.kind == InputKind.MISSING) & (BlockInput.role == changed.c.tag)
    concerned = (
        select(Block.night)
        .join(BlockInput, BlockInput.block_id == Block.id)
        .join(changed, or_(BlockInput.product_id == changed.c.id, lacking))
        .where(Block.state != BlockState.SUPERSEDED)
        .distinct()
    )
    return set(session.scalars(select(changed.c.night))) | set(session.scalars(concerned))


def fresh_frames(session: Session, since: datetime) -> frozenset[str]:
    """Names of the frames that came in after a moment."""
    return frozenset(session.scalars(select(Frame.dp_id).where(Frame.ingested_at > since)))
