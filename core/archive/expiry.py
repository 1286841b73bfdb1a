"""Intermediate products expire: their files are removed after a while, their rows stay and say so.

A pixel table is a hundred times larger than what is measured of it. What has expired is a product as before: its QC1
values, scores, pictures and verdicts stay, and it is chosen for other blocks, which have it made again first
(`core.archive.remaking`).

The rows are written and committed first (`expire_products`), the files removed then (`expired_files`). What is killed
in between leaves files that no row knows any more: housekeeping finds them as it finds those of a crash.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, and_, exists, false, or_, select, update
from sqlalchemy.orm import Session, aliased

from core.archive.events import record_event
from core.archive.models import Block, BlockInput, Frame, Product
from core.archive.states import BlockState, FrameState, InputKind, ProductState

__all__ = ["USABLE", "expire_products", "expired_files", "has_files", "products_to_expire"]

# A block that lacks something cannot run; the plan that completes it has made again what it needs.
_NEEDING: Final = (BlockState.WAITING, BlockState.READY, BlockState.QUEUED, BlockState.RUNNING)
USABLE: Final = (ProductState.PROVISIONAL, ProductState.CERTIFIED)
_FINISHED: Final = (BlockState.DONE, BlockState.SUPERSEDED)


def products_to_expire(
    session: Session, intermediates: Mapping[str, Collection[str]], before: datetime, limit: int
) -> list[int]:
    """Numbers of some intermediate products that have been kept for long enough.

    Their blocks are finished, no block that is still to be done takes them, and the raw frames are there that they
    could be made again from; those of a block that was replaced are of no use any more.

    Parameters
    ----------
    intermediates : mapping
        Recipe to the tags of its intermediate products.
    before : datetime.datetime
        Only those that were made earlier.
    """
    return list(session.scalars(_old(intermediates, before).order_by(Product.created_at).limit(limit)))


def expire_products(
    session: Session,
    numbers: Collection[int],
    intermediates: Mapping[str, Collection[str]],
    before: datetime,
    *,
    actor: str,
    now: datetime,
) -> list[int]:
    """Say of products that they have expired, with an event of each block; their files are to be removed afterwards.

    Returns
    -------
    list of int
        Those of ``numbers`` of which `products_to_expire` still holds.
    """
    found = list(session.scalars(_old(intermediates, before).where(Product.id.in_(numbers))))
    session.execute(update(Product).where(Product.id.in_(found)).values(expired_at=now))
    rows = session.execute(
        select(Block.name, Product.tag).join(Product, Product.block_id == Block.id).where(Product.id.in_(found))
    )
    tags: dict[str, Counter[str]] = defaultdict(Counter)
    for name, tag in rows:
        tags[name][tag] += 1
    for name, counts in tags.items():
        files = ", ".join(f"{tag} ({count})" for tag, count in counts.items())
        record_event(session, "block", name, actor=actor, text=f"files of intermediates expired: {files}", now=now)
    return found


def expired_files(session: Session, numbers: Collection[int]) -> list[str]:
    """Paths of those products that have expired and of which nobody is about to place new files.

    That holds as long as the transaction has the write lock: no block is claimed or finished meanwhile.
    """
    query = (
        select(Product.path)
        .join(Block, Block.id == Product.block_id)
        .where(Product.id.in_(numbers), Product.expired_at.is_not(None), Block.state.in_(_FINISHED))
    )
    return list(session.scalars(query))


def has_files(*, expired: bool) -> ColumnElement[bool]:
    """Whether a row of `BlockInput` is of products that a block made and that have expired, or have not."""
    kept = Product.expired_at.is_not(None) if expired else Product.expired_at.is_(None)
    return exists().where(
        Product.block_id == BlockInput.source_block_id,
        Product.tag == BlockInput.role,
        Product.state.in_(USABLE),
        kept,
    )


def _old(intermediates: Mapping[str, Collection[str]], before: datetime) -> Select[Any]:
    kinds = (and_(Block.recipe == recipe, Product.tag.in_(tags)) for recipe, tags in intermediates.items())
    every_tag = {tag for tags in intermediates.values() for tag in tags}
    done = and_(Block.state == BlockState.DONE, ~_lacks_raw_frame())
    return (
        select(Product.id)
        .join(Block, Block.id == Product.block_id)
        .where(
            Product.expired_at.is_(None),
            Product.tag.in_(every_tag),
            Product.created_at < before,
            or_(false(), *kinds),
            or_(done, Block.state == BlockState.SUPERSEDED),
            ~_needed(),
        )
    )


def _lacks_raw_frame() -> ColumnElement[bool]:
    return exists().where(
        BlockInput.block_id == Block.id,
        BlockInput.kind == InputKind.RAW,
        Frame.id == BlockInput.frame_id,
        Frame.state != FrameState.PRESENT,
    )


def _needed() -> ColumnElement[bool]:
    taker, entry = aliased(Block), aliased(BlockInput)
    made_by_its_block = and_(entry.source_block_id == Product.block_id, entry.role == Product.tag)
    return exists().where(
        taker.id == entry.block_id,
        taker.state.in_(_NEEDING),
        or_(made_by_its_block, entry.product_id == Product.id),
    )
