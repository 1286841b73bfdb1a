"""From the archive to the pure planner: rows become the frames and products that it reasons about.

Ten years of an instrument with 24 units hold millions of product rows, of which a night needs few. So products are
asked for by tag and span of time, and the database puts the files of one block and tag together.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import Select, and_, case, func, literal, or_, select
from sqlalchemy.orm import Session

from core.archive.models import WORK_IS_DONE, Block, BlockInput, Frame, OutsideFile, Product, units_of_mask
from core.archive.states import FrameState, ProductState
from core.archive.verdicts import AUTOMATIC
from core.cascade.model import FrameInfo, Origin, ProductInfo, Quality
from core.cascade.signature import begun_pair
from core.instruments.registry import instrument
from core.instruments.setup import Setup

__all__ = ["Span", "planning_frames", "planning_products", "rest_of_templates"]

Span = tuple[float, float]  # first and last mid-exposure time [d]

_QUALITY = {
    ProductState.PROVISIONAL: Quality.PROVISIONAL,
    ProductState.CERTIFIED: Quality.CERTIFIED,
    ProductState.REJECTED: Quality.REJECTED,
}
_CHUNK = 500


def planning_frames(
    session: Session, first_night: date, last_night: date, tags: Iterable[str] | None = None
) -> list[FrameInfo]:
    """The frames of some nights (both ends included), as the planner wants them.

    Those that are present; and those that are gone but from which something was made that still counts: what is
    finished stays when raw files are purged.
    """
    query = _plannable().where(Frame.night.between(first_night, last_night))
    if tags is not None:
        query = query.where(Frame.tag.in_(sorted(tags)))
    return [_frame_info(frame) for frame in session.scalars(query)]


def rest_of_templates(session: Session, frames: Sequence[FrameInfo], nights: Collection[date]) -> list[FrameInfo]:
    """Frames of the templates of some frames that were taken in other nights than those."""
    tags = {frame.tag for frame in frames}
    starts = sorted(
        {datetime.fromisoformat(frame.tpl_start).replace(tzinfo=UTC) for frame in frames if frame.tpl_start}
    )
    found: list[FrameInfo] = []
    for part in (starts[i : i + _CHUNK] for i in range(0, len(starts), _CHUNK)):
        rows = session.scalars(_plannable().where(Frame.tpl_start.in_(part)))
        found += [_frame_info(frame) for frame in rows if frame.night not in nights and frame.tag in tags]
    return found


def _plannable() -> Select[Frame]:
    used = (
        select(BlockInput.frame_id)
        .join(Block, Block.id == BlockInput.block_id)
        .where(BlockInput.frame_id == Frame.id, WORK_IS_DONE)
    )
    kept = or_(Frame.state == FrameState.PRESENT, and_(Frame.state == FrameState.MISSING, used.exists()))
    return select(Frame).where(kept).order_by(Frame.mjd_mid, Frame.dp_id)


def _frame_info(frame: Frame) -> FrameInfo:
    return FrameInfo(
        id=frame.dp_id,
        tag=frame.tag,
        setup=frame.setup,
        mjd_mid=frame.mjd_mid,
        tpl_start=frame.tpl_start.strftime("%Y-%m-%dT%H:%M:%S") if frame.tpl_start else "",
        tpl_nexp=frame.tpl_nexp or 0,
        lamps=tuple(frame.lamps.split("+")) if frame.lamps else (),
        units=frame.units,
        night=frame.night.isoformat(),
        edition=frame.edition,
        obs="" if frame.obs_id is None else str(frame.obs_id),
        target=frame.object or "",
        temperature=frame.ambient_temp,
    )


def planning_products(session: Session, spans: Mapping[str, Span]) -> list[ProductInfo]:
    """The products that exist, as candidates for the planner.

    The files of one block and tag (one per unit) are one candidate, named ``<group key>/<tag>``; its quality is
    the worst of the files, and doubtful if that of the block is. So are those of a set from outside, named by the path
    of the first. Rejected ones are among them, so that the plan can say why they were refused, and those that expired;
    superseded and missing ones are not, nor static calibrations (`core.archive.outside.outside_statics`).

    Parameters
    ----------
    spans : mapping
        Tag to the span of mid-exposure times.
    """
    found: list[ProductInfo] = []
    for tag, (first, last) in spans.items():
        wanted = (Product.tag == tag, Product.mjd_mid.between(first, last), Product.state != ProductState.SUPERSEDED)
        found += _made_by_blocks(session, tag, wanted)
        found += _from_outside(session, wanted)
    return found


# A block that is not done is run again, or replaced: its products come as planned ones.
_OF_BLOCK = (
    Block.id,
    Block.group_key,
    Block.recipe,
    Block.mjd_mid,
    Block.unit_mask,
    Block.plan_signature,
    Block.signature,
    Block.parameters,
    Block.lost_units,
    Block.instrument,
    Block.setup_text,
    Block.score,
    Block.n_outliers,
    Block.doubtful,
    Block.error_message,
)


def _made_by_blocks(session: Session, tag: str, wanted: Sequence[Any]) -> list[ProductInfo]:
    unit_bit = literal(1).op("<<")(Product.unit - 1)
    # What its scores certified is as good as what is planned: a plan is the same before and after a block is done.
    quality = case(
        (Product.judge == AUTOMATIC, int(Quality.PROVISIONAL)),
        *((Product.state == state, int(quality)) for state, quality in _QUALITY.items()),
    )
    query = (
        select(
            Product.block_id,
            func.count(),
            func.count(Product.unit),
            func.sum(unit_bit),
            func.min(quality),
            func.count(Product.expired_at),
            func.min(Product.expired_at),
        )
        .where(*wanted, Product.block_id.is_not(None))
        .group_by(Product.block_id)
    )
    files = {number: row for number, *row in session.execute(query)}
    found = []
    for part in (list(files)[i : i + _CHUNK] for i in range(0, len(files), _CHUNK)):
        blocks = select(*_OF_BLOCK).where(Block.id.in_(part), WORK_IS_DONE).order_by(Block.id)
        for block in session.execute(blocks):
            count, with_unit, mask, worst, number_expired, when = files[block.id]
            # Of what could not be made again those files are taken that are left.
            expired = number_expired == count or (number_expired > 0 and block.error_message is None)
            # Changed parameters change what depends on it; otherwise the plan's own signature keeps plans stable.
            signature = (block.signature if block.parameters else block.plan_signature) or block.plan_signature
            # What its block was to make: it stays the choice when units of it fail, so that a plan is the same before
            # and after. Those that take it leave these units out.
            units = units_of_mask(block.unit_mask)
            merged = with_unit != count
            lost = {entry["unit"] for entry in block.lost_units} if merged else {*units} - {*units_of_mask(int(mask))}
            doubt = _doubt(block) if Quality(worst) is Quality.PROVISIONAL else ""
            found.append(
                ProductInfo(
                    id=f"{block.group_key}/{tag}",
                    tag=tag,
                    mjd=block.mjd_mid,
                    setup=_setup(block.instrument, block.setup_text),
                    quality=Quality.DOUBTFUL if doubt else Quality(worst),
                    doubt=doubt,
                    origin=Origin.PRODUCT,
                    units=units or instrument(block.instrument).units.all,
                    block=block.group_key,
                    signature=signature,
                    recipe=block.recipe,
                    pair=begun_pair(tag, signature) if _begins_pair(block.instrument, tag) else "",
                    lost=tuple(sorted(lost)),
                    expired=f"{when:%Y-%m-%d}" if expired else "",
                    unmade=block.error_message or "" if expired else "",
                )
            )
    return found


def _begins_pair(name: str, tag: str) -> bool:
    """Whether products of a tag are what their partners are made with."""
    return any(tag == first for first, _ in instrument(name).plan.pairs)


def _doubt(block: Any) -> str:
    """Why the products of a block are doubtful that no person judged; empty if they are not."""
    if block.score == 1:
        return f"{block.n_outliers} outlier{'' if block.n_outliers == 1 else 's'}"
    return "made with doubtful calibrations" if block.doubtful else ""


def _from_outside(session: Session, wanted: Sequence[Any]) -> list[ProductInfo]:
    query = (
        select(Product, OutsideFile)
        .outerjoin(OutsideFile, OutsideFile.product_id == Product.id)
        .where(*wanted, Product.block_id.is_(None))
        .order_by(Product.unit, Product.id)
    )
    sets: dict[str, list[Product]] = defaultdict(list)
    masks: dict[str, int] = defaultdict(int)
    for product, file in session.execute(query):
        if file is not None and (file.static or file.state is not FrameState.PRESENT):
            continue
        name = product.path if file is None else file.set_name
        sets[name].append(product)
        masks[name] |= 0 if file is None else file.unit_mask
    found = []
    for name, rows in sets.items():
        first = rows[0]
        units = {row.unit for row in rows if row.unit is not None} | set(units_of_mask(masks[name]))
        found.append(
            ProductInfo(
                id=first.path,
                tag=first.tag,
                mjd=first.mjd_mid,
                setup=first.setup,
                quality=min(_QUALITY[row.state] for row in rows),
                origin=Origin.PRODUCT,
                units=tuple(sorted(units)) or instrument(first.instrument).units.all,
                digest=_digest(rows),
            )
        )
    return found


def _digest(rows: Sequence[Product]) -> str:
    """Content of a set of files from outside: the hash of the file, or of the hashes of all."""
    if len(rows) == 1:
        return rows[0].sha256
    return hashlib.sha256("".join(sorted(row.sha256 for row in rows)).encode()).hexdigest()


def _setup(name: str, text: str) -> Setup:
    return instrument(name).setup.parse(text)
