"""What the dispatcher looks at: which nights to plan again, which blocks to run, and earlier QC1 values.

All of it follows from the state of the archive, so that a restarted dispatcher knows as much as before.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import ColumnElement, String, cast, func, or_, select
from sqlalchemy.orm import Session, aliased

from core.archive.models import Block, BlockInput, Event, Frame, OutsideFile, Product, Qc1Parameter, Qc1Value
from core.archive.requests import EVENT_KIND as REQUEST
from core.archive.states import BLOCK_OPEN_STATES, BlockState, FrameState, InputKind, ProductState
from core.cascade.signature import signature_with
from core.qc1.axes import Position

__all__ = [
    "PLANNER",
    "News",
    "blocks_with_stale_inputs",
    "earlier_values",
    "failed_signatures",
    "fresh_frames",
    "last_plan_id",
    "last_plan_time",
    "news",
    "nights_changed",
    "nights_executed",
    "nights_no_longer_running",
    "nights_waiting_for_frames",
    "nights_with_open_blocks",
    "products_before",
    "redone_signatures",
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
        Something else is wanted of a night; a frame or a product from outside disappeared, came back, or was excluded.
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
            event.kind in ("frame", REQUEST) or (event.kind == "product" and event.to_state in _OF_FILES)
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


def nights_executed(session: Session, since: datetime) -> set[date]:
    """Nights of the blocks that run now or ended after a moment."""
    query = select(Block.night).where(or_(Block.state == BlockState.RUNNING, Block.finished_at > since))
    return set(session.scalars(query.distinct()))


def nights_waiting_for_frames(session: Session) -> set[date]:
    """Nights with blocks that wait for the remaining exposures of a template."""
    query = (
        select(Block.night)
        .join(BlockInput, BlockInput.block_id == Block.id)
        .where(Block.state == BlockState.INCOMPLETE, BlockInput.rule == "arriving")
    )
    return set(session.scalars(query.distinct()))


def nights_no_longer_running(session: Session, names: Iterable[str]) -> set[date]:
    """Nights of those among the named blocks that do not run any more."""
    query = select(Block.night).where(Block.name.in_(list(names)), Block.state != BlockState.RUNNING)
    return set(session.scalars(query.distinct()))


def nights_changed(session: Session, since: datetime | None, after: News | None = None) -> set[date]:
    """Nights whose plan may differ from the stored one.

    Those with frames that came in, disappeared or were excluded since then; those of products from outside that did, of
    blocks that use them, and of blocks that lack what they are; and those of blocks that were run again, or were done
    with other parameters than planned. All nights with frames if ``since`` is None.

    What came after a look (``after``) is found by its number, too: the clocks of other machines may be behind.
    """
    frames = select(Frame.night).distinct()
    if since is None:
        return set(session.scalars(frames))
    new, recent = Frame.ingested_at > since, Event.time > since
    if after is not None:
        new, recent = new | (Frame.id > after.frames[1]), recent | (Event.id > after.last_event)
    nights = set(session.scalars(frames.where(new)))
    nights |= set(
        session.scalars(frames.join(Event, Event.subject == Frame.dp_id).where(Event.kind == "frame", recent))
    )
    nights |= _nights_of_outside_files(session, recent)
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


def blocks_with_stale_inputs(session: Session) -> dict[int, date]:
    """Blocks (with their nights) that use or wait for something that must not be used any more.

    That is a product that was rejected or superseded, or a block that failed, was cancelled or was replaced.
    """
    source = aliased(Block)
    bad_source = or_(
        source.state == BlockState.SUPERSEDED,
        (BlockInput.kind == InputKind.PLANNED) & source.state.in_((BlockState.FAILED, BlockState.CANCELLED)),
    )
    by_block = (
        select(Block.id, Block.night)
        .join(BlockInput, BlockInput.block_id == Block.id)
        .join(source, BlockInput.source_block_id == source.id)
        .where(Block.state != BlockState.SUPERSEDED, bad_source)
    )
    by_product = (
        select(Block.id, Block.night)
        .join(BlockInput, BlockInput.block_id == Block.id)
        .join(
            Product,
            or_(
                Product.id == BlockInput.product_id,
                (Product.block_id == BlockInput.source_block_id) & (Product.tag == BlockInput.role),
            ),
        )
        .where(
            Block.state != BlockState.SUPERSEDED,
            BlockInput.kind.in_((InputKind.PRODUCT, InputKind.STATIC)),
            Product.state == ProductState.REJECTED,
        )
    )
    return {number: night for query in (by_block, by_product) for number, night in session.execute(query.distinct())}


def nights_with_open_blocks(session: Session, first: date, last: date) -> set[date]:
    """Nights of a span in which blocks are still to be done."""
    return set(
        session.scalars(
            select(Block.night).where(Block.night.between(first, last), Block.state.in_(BLOCK_OPEN_STATES)).distinct()
        )
    )


def fresh_frames(session: Session, since: datetime) -> frozenset[str]:
    """Names of the frames that came in after a moment."""
    return frozenset(session.scalars(select(Frame.dp_id).where(Frame.ingested_at > since)))


def failed_signatures(session: Session, first_mjd: float, last_mjd: float) -> dict[str, str]:
    """Planned signatures of the blocks that failed or were cancelled, with the reason."""
    rows = session.execute(
        select(Block.plan_signature, Block.state, Block.error_message, Block.state_reason).where(
            Block.mjd_mid.between(first_mjd, last_mjd), Block.state.in_((BlockState.FAILED, BlockState.CANCELLED))
        )
    )
    return {signature: message or reason or str(state) for signature, state, message, reason in rows}


def redone_signatures(session: Session, first_mjd: float, last_mjd: float) -> dict[str, str]:
    """Planned signature to signature of the work, of the blocks that a person runs with other parameters."""
    rows = session.execute(
        select(Block.plan_signature, Block.parameters).where(
            Block.mjd_mid.between(first_mjd, last_mjd),
            Block.state != BlockState.SUPERSEDED,
            or_(Block.signature.is_(None), Block.signature != Block.plan_signature),
        )
    )
    return {planned: signature_with(planned, parameters) for planned, parameters in rows if parameters}


def products_before(session: Session, block_id: int) -> list[tuple[str, int | None, str]]:
    """Products of the last DONE block before this one, of the same recipe and setup: (tag, unit, path).

    They are what the pictures of a block compare it with.
    """
    block = session.get(Block, block_id)
    if block is None:
        return []
    earlier = session.scalar(
        select(Block.id)
        .where(
            Block.recipe == block.recipe,
            Block.state == BlockState.DONE,
            Block.mjd_mid < block.mjd_mid,
            Block.group_key != block.group_key,
            Block.instrument == block.instrument,
            Block.mode == block.mode,
            Block.readout == block.readout,
        )
        .order_by(Block.mjd_mid.desc())
        .limit(1)
    )
    rows = session.execute(
        select(Product.tag, Product.unit, Product.path)
        .where(Product.block_id == earlier, Product.state != ProductState.SUPERSEDED)
        .order_by(Product.id)
    )
    return [(tag, unit, path) for tag, unit, path in rows]


def earlier_values(
    session: Session,
    days: Mapping[tuple[str, str], float],
    mjd: float,
    *,
    readout: str | None,
    mode: str | None = None,
) -> dict[tuple[str, str], dict[Position, list[float]]]:
    """QC1 values before a time, for statistical thresholds.

    Parameters
    ----------
    days : mapping
        (table, column) to how many days back.
    mjd : float
        Values at this time and later are left out.
    readout : str or None
        Read-out mode that the values must share.
    mode : str, optional
        Instrument mode that they must share, if given.

    Returns
    -------
    dict
        (table, column) to position to values, by time. Hidden values, and those of
        replaced blocks and rejected products, are left out.
    """
    result: dict[tuple[str, str], dict[Position, list[float]]] = {}
    for (table, column), span in days.items():
        query = (
            select(*(getattr(Qc1Value, name) for name in Position._fields), Qc1Value.value)
            .join(Qc1Parameter, Qc1Value.parameter_id == Qc1Parameter.id)
            .join(Block, Qc1Value.block_id == Block.id)
            .outerjoin(Product, Qc1Value.product_id == Product.id)
            .where(
                Qc1Parameter.table_name == table,
                Qc1Parameter.column_name == column,
                Qc1Value.mjd_obs >= mjd - span,
                Qc1Value.mjd_obs < mjd,
                Qc1Value.hidden.is_(False),
                Qc1Value.readout.is_(None) if readout is None else Qc1Value.readout == readout,
                Block.state == BlockState.DONE,
                or_(Product.id.is_(None), Product.state != ProductState.REJECTED),
            )
            .order_by(Qc1Value.mjd_obs, Qc1Value.id)
        )
        if mode is not None:
            query = query.where(Qc1Value.mode == mode)
        series: dict[Position, list[float]] = defaultdict(list)
        for *position, value in session.execute(query):
            series[Position(*position)].append(value)
        result[table, column] = dict(series)
    return result
