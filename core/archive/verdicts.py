"""What is thought of a block: its scores, whether it was made with doubtful calibrations, automatic certification.

A block is *doubtful* if one of its calibrations has outliers, was rejected, or is doubtful itself. A person who
certifies a calibration takes the doubt away, and who rejects it raises it; scores stay as they are beside that.

Verdicts rest on other blocks: scores on earlier values, doubt on the calibrations. What changes there makes blocks
*due* (`mark_due`); they are judged again in small portions (`judge_due`), by whoever runs blocks. When none is due, all
verdicts follow from what is in the archive, in whatever order it came in.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from core.archive.clock import database_now
from core.archive.events import record_event
from core.archive.models import Block, BlockInput, DueVerdict, Product
from core.archive.scoring import blocks_with_history, score_block
from core.archive.states import BlockState, InputKind, ProductState

__all__ = [
    "AUTOMATIC",
    "DOUBT",
    "Doubt",
    "any_due",
    "doubts",
    "judge_done",
    "judge_due",
    "mark_due",
    "product_judged",
    "values_changed",
]

AUTOMATIC: Final = "automatic"  # judge of the products that were certified by their scores
DOUBT: Final = "doubt"  # kind of the events, whose subject is a block that is trusted more or less than before
_CHUNK = 500
_USED: Final = (InputKind.PRODUCT, InputKind.STATIC)


@dataclass(frozen=True)
class Doubt:
    """A calibration of a block that is doubtful: its role, the block that made it (if one did), and why."""

    role: str
    source: Block | None
    reason: str


def doubts(session: Session, block_id: int, inputs: Iterable[BlockInput] | None = None) -> list[Doubt]:
    """The doubtful ones among the calibrations of a block, in the order of its inputs.

    Parameters
    ----------
    inputs : iterable of BlockInput, optional
        Those of the block in their order, where they are known already.
    """
    if inputs is None:
        mine = select(BlockInput).where(BlockInput.block_id == block_id).order_by(BlockInput.position)
        inputs = session.scalars(mine.where(BlockInput.kind.in_(_USED)))
    used = [item for item in inputs if item.kind in _USED]
    files = _judgements(session, {item.source_block_id for item in used if item.source_block_id is not None})
    reasons = ((item, _doubt_of(item, files.get((item.source_block_id, item.role), set()))) for item in used)
    return [Doubt(item.role, item.source_block, reason) for item, reason in reasons if reason]


def judge_done(session: Session, block: Block, *, certify: bool, actor: str, now: datetime) -> None:
    """Score a block whose values and products are stored; say whether it is doubtful; certify it, if it is good.

    Parameters
    ----------
    certify : bool
        Whether calibrations whose scores are all good are certified.
    """
    before = _trusted(block)
    found = score_block(session, block, now)
    block.score, block.n_outliers, block.grave_outliers = found.score, found.n_outliers, found.grave
    block.doubtful = bool(doubts(session, block.id))
    _certify(session, block, certify=certify)
    session.flush()
    if _trusted(block) is not before:
        text = _words(block)
        record_event(session, DOUBT, block.name, actor=actor, text=text, now=now)
        mark_due(session, _dependants(session, block.id))


def mark_due(session: Session, block_ids: Collection[int]) -> None:
    """Have blocks judged again."""
    wanted = sorted(set(block_ids))
    for part in (wanted[start : start + _CHUNK] for start in range(0, len(wanted), _CHUNK)):
        known = set(session.scalars(select(DueVerdict.block_id).where(DueVerdict.block_id.in_(part))))
        rows = [{"block_id": number} for number in part if number not in known]
        if rows:
            session.execute(insert(DueVerdict), rows)


def values_changed(session: Session, block: Block) -> None:
    """Have those judged again whose limits rest on the values of a block that became, or is no longer, done."""
    mark_due(session, blocks_with_history(session, block))


def product_judged(session: Session, product: Product, *, actor: str) -> None:
    """Have those judged again that a person's decision on a product concerns, and what uses it planned again."""
    if product.block is None:
        dependants = session.scalars(
            select(BlockInput.block_id)
            .join(Block, Block.id == BlockInput.block_id)
            .where(BlockInput.product_id == product.id, Block.state == BlockState.DONE)
        )
        mark_due(session, list(dependants))
        return
    mark_due(session, _dependants(session, product.block.id))
    values_changed(session, product.block)
    record_event(session, DOUBT, product.block.name, actor=actor, text=f"{product.tag} {product.state}")


def any_due(session: Session) -> bool:
    """Whether a block is to be judged again."""
    return session.scalar(select(DueVerdict.block_id).limit(1)) is not None


def judge_due(session: Session, *, certify: bool, actor: str, limit: int = 20, now: datetime | None = None) -> int:
    """Judge some of the blocks that are due again, earliest data first; returns how many."""
    now = now or database_now(session)
    due = session.scalars(
        select(Block).join(DueVerdict, DueVerdict.block_id == Block.id).order_by(Block.mjd_mid, Block.id).limit(limit)
    ).all()
    session.execute(delete(DueVerdict).where(DueVerdict.block_id.in_([block.id for block in due])))
    for block in due:
        if block.state is not BlockState.DONE:
            continue
        before = _words(block)
        judge_done(session, block, certify=certify, actor=actor, now=now)
        if _words(block) != before:
            text = f"judged again, as other data came or were judged: {_words(block)}, before {before}"
            record_event(session, "block", block.name, actor=actor, text=text, now=now)
    return len(due)


_Judgements = set[tuple[ProductState, str | None]]


def _judgements(session: Session, block_ids: Collection[int]) -> dict[tuple[int | None, str], _Judgements]:
    """States and judges of the products of blocks, by block and tag."""
    found: dict[tuple[int | None, str], _Judgements] = defaultdict(set)
    if block_ids:
        rows = select(Product.block_id, Product.tag, Product.state, Product.judge).where(
            Product.block_id.in_(block_ids), Product.state != ProductState.SUPERSEDED
        )
        for block, tag, state, judge in session.execute(rows.distinct()):
            found[block, tag].add((state, judge))
    return found


def _doubt_of(item: BlockInput, files: _Judgements) -> str:
    """Why an input is doubtful, of which these files of its source are used; empty if it is not."""
    if item.source_block is None:
        return "rejected" if item.product is not None and item.product.state is ProductState.REJECTED else ""
    source = item.source_block
    if any(state is ProductState.REJECTED for state, _ in files):
        return "rejected"
    if files and all(state is ProductState.CERTIFIED and judge != AUTOMATIC for state, judge in files):
        return ""  # a person looked at it
    if source.score == 1:
        return f"{source.n_outliers} outlier{'' if source.n_outliers == 1 else 's'}"
    return "made with doubtful calibrations" if source.doubtful else ""


def _trusted(block: Block) -> bool:
    return block.score != 1 and not block.doubtful


def _words(block: Block) -> str:
    scores = {None: "not scored", 0: "all scores good"}.get(block.score, f"{block.n_outliers} outliers")
    return f"{scores}, made with doubtful calibrations" if block.doubtful else scores


def _dependants(session: Session, block_id: int) -> list[int]:
    """Blocks that are done with products of a block."""
    return list(
        session.scalars(
            select(Block.id)
            .join(BlockInput, BlockInput.block_id == Block.id)
            .where(BlockInput.source_block_id == block_id, Block.state == BlockState.DONE)
            .distinct()
        )
    )


def _certify(session: Session, block: Block, *, certify: bool) -> None:
    """Certify the calibrations of a good block, unless a person judged them; take it back when it is good no more.

    Science products are not certified: only calibrations are (quality control of the observatory, since October 2011).
    """
    lost = block.failed_unit_mask | block.skipped_unit_mask
    if certify and block.score == 0 and not block.doubtful and not lost:
        rows = select(Product).where(
            Product.block_id == block.id, Product.state == ProductState.PROVISIONAL, Product.judge.is_(None)
        )
        for product in session.scalars(rows):
            if product.header.get("PRO.SCIENCE") is False:
                product.state, product.judge = ProductState.CERTIFIED, AUTOMATIC
        return
    session.execute(
        update(Product)
        .where(Product.block_id == block.id, Product.state == ProductState.CERTIFIED, Product.judge == AUTOMATIC)
        .values(state=ProductState.PROVISIONAL, judge=None)
        .execution_options(synchronize_session="fetch")
    )
