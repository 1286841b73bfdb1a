"""Products: one, with what it was made from and what used it."""

from __future__ import annotations

from datetime import date

from sqlalchemy import or_, select
from sqlalchemy.orm import Session, selectinload, undefer

from core.archive.models import Block, BlockInput, Product, Qc1Parameter, Qc1Value
from core.archive.states import BlockState, ProductState
from core.errors import NotFoundError

__all__ = ["find_product", "list_products", "product_qc1", "used_by"]


def find_product(session: Session, product_id: int) -> Product:
    """A product with its header and block.

    Raises
    ------
    NotFoundError
        If the archive has no such product.
    """
    product = session.scalar(
        select(Product).where(Product.id == product_id).options(undefer(Product.header), selectinload(Product.block))
    )
    if product is None:
        raise NotFoundError(f"the archive has no product {product_id}", product=product_id)
    return product


def list_products(
    session: Session,
    *,
    night: date | None = None,
    tag: str | None = None,
    ifu: int | None = None,
    state: ProductState | None = None,
    after: int | None = None,
    limit: int = 100,
) -> list[Product]:
    """Products by descending id; the next page starts after the last id of this one."""
    statement = select(Product).order_by(Product.id.desc()).limit(limit)
    for column, value in ((Product.night, night), (Product.tag, tag), (Product.ifu, ifu), (Product.state, state)):
        if value is not None:
            statement = statement.where(column == value)
    if after is not None:
        statement = statement.where(Product.id < after)
    return list(session.scalars(statement))


def used_by(session: Session, product: Product, limit: int = 200) -> list[Block]:
    """Blocks that take a product, by name or through the block that made it."""
    through = BlockInput.product_id == product.id
    if product.block_id is not None:
        through = or_(through, (BlockInput.source_block_id == product.block_id) & (BlockInput.role == product.tag))
    return list(
        session.scalars(
            select(Block)
            .join(BlockInput, BlockInput.block_id == Block.id)
            .where(through, Block.state != BlockState.SUPERSEDED)
            .order_by(Block.mjd_mid)
            .limit(limit)
        ).unique()
    )


def product_qc1(session: Session, product_id: int) -> list[tuple[Qc1Parameter, Qc1Value]]:
    """QC1 values measured on a product, by parameter."""
    rows = session.execute(
        select(Qc1Parameter, Qc1Value)
        .join(Qc1Parameter, Qc1Parameter.id == Qc1Value.parameter_id)
        .where(Qc1Value.product_id == product_id, Qc1Value.hidden.is_(False))
        .order_by(Qc1Parameter.id, Qc1Value.quadrant, Qc1Value.slice, Qc1Value.lamp, Qc1Value.item)
    )
    return [(parameter, value) for parameter, value in rows]
