"""Products: one, with what it was made from and what used it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import date
from typing import Final

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session, joinedload, undefer

from core.archive.models import Block, BlockInput, Product, Qc1Parameter, Qc1Value, Score
from core.archive.pages.slices import Slice, slice_by_id
from core.archive.states import BlockState, ProductState
from core.errors import NotFoundError
from core.qc1.axes import Position

__all__ = [
    "ProductValue",
    "earlier_products",
    "find_product",
    "list_products",
    "previous_product",
    "product_qc1",
    "used_by",
]

_PRODUCT: Final = (
    select(Product)
    .where(Product.id == bindparam("product"))
    .options(undefer(Product.header), joinedload(Product.block))
)
# Two look-ups, each by its index: a condition with "or" makes planners walk all blocks.
_BY_NAME: Final = select(BlockInput.block_id).where(BlockInput.product_id == bindparam("product"))
_BY_BLOCK: Final = select(BlockInput.block_id).where(
    BlockInput.source_block_id == bindparam("block"), BlockInput.role == bindparam("tag")
)
_USERS: Final = (
    select(Block)
    .where(Block.id.in_(_BY_NAME.union(_BY_BLOCK)), Block.state != BlockState.SUPERSEDED)
    .order_by(Block.mjd_mid)
    .limit(bindparam("limit"))
)
_SCORES: Final = select(Score).where(Score.product_id == bindparam("product"), Score.score.is_not(None))
_VALUES: Final = (
    select(Qc1Parameter, Qc1Value)
    .join(Qc1Parameter, Qc1Parameter.id == Qc1Value.parameter_id)
    .where(Qc1Value.product_id == bindparam("product"), Qc1Value.hidden.is_(False))
    .order_by(Qc1Parameter.id, *(getattr(Qc1Value, name) for name in Position._fields))
)


def find_product(session: Session, product_id: int) -> Product:
    """A product with its header and block.

    Raises
    ------
    NotFoundError
        If the archive has no such product.
    """
    product = session.scalar(_PRODUCT, {"product": product_id})
    if product is None:
        raise NotFoundError(f"the archive has no product {product_id}", product=product_id)
    return product


def list_products(
    session: Session,
    *,
    night: date | None = None,
    tag: str | None = None,
    unit: int | None = None,
    state: ProductState | None = None,
    after: int | None = None,
    limit: int = 100,
) -> Slice[Product, int]:
    """Products by descending id, those after ``after``."""
    statement = select(Product)
    for column, value in ((Product.night, night), (Product.tag, tag), (Product.unit, unit), (Product.state, state)):
        if value is not None:
            statement = statement.where(column == value)
    return slice_by_id(session, statement, Product.id, after, limit)


def used_by(session: Session, product: Product, limit: int = 200) -> list[Block]:
    """Blocks that take a product, by name or through the block that made it."""
    of = {"product": product.id, "block": product.block_id, "tag": product.tag, "limit": limit}
    return list(session.scalars(_USERS, of))


def previous_product(session: Session, product: Product) -> Product | None:
    """The product of the same tag, unit and set-up before it, not rejected or expired; None for the first."""
    return next(iter(earlier_products(session, product, 1)), None)


def earlier_products(session: Session, product: Product, number: int) -> list[Product]:
    """Those of the same tag, unit and set-up before it, not rejected or expired, the newest first."""
    found = session.scalars(
        select(Product)
        .where(
            Product.tag == product.tag,
            Product.mjd_mid < product.mjd_mid,
            Product.instrument == product.instrument,
            Product.setup_text == product.setup_text,
            Product.unit.is_(None) if product.unit is None else Product.unit == product.unit,
            Product.state.in_((ProductState.PROVISIONAL, ProductState.CERTIFIED)),
            Product.expired_at.is_(None),
        )
        .order_by(Product.mjd_mid.desc())
        .limit(number)
    )
    return list(found)


@dataclass(frozen=True)
class ProductValue:
    """A QC1 value measured on a product with its verdict.

    Attributes
    ----------
    score : int or None
        1 if any rule says outlier, 0 if rules say good, None if none applied.
    low, high : float or None
        The narrowest limits of the rules that applied.
    """

    parameter: Qc1Parameter
    row: Qc1Value
    score: int | None = None
    low: float | None = None
    high: float | None = None


def product_qc1(session: Session, product_id: int) -> list[ProductValue]:
    """QC1 values measured on a product with their scores, by parameter."""
    verdicts: dict[tuple[int | None, ...], list[Score]] = defaultdict(list)
    for score in session.scalars(_SCORES, {"product": product_id}):
        verdicts[score.parameter_id, *_place(score)].append(score)
    rows = session.execute(_VALUES, {"product": product_id})
    return [_judged(parameter, value, verdicts[parameter.id, *_place(value)]) for parameter, value in rows]


def _place(row: Qc1Value | Score) -> Position:
    return Position(*(getattr(row, name) for name in Position._fields))


def _judged(parameter: Qc1Parameter, row: Qc1Value, scores: list[Score]) -> ProductValue:
    return ProductValue(
        parameter,
        row,
        max((score.score for score in scores if score.score is not None), default=None),
        max((score.low for score in scores if score.low is not None), default=None),
        min((score.high for score in scores if score.high is not None), default=None),
    )
