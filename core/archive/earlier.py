"""What came before a block: products to compare its pictures with, QC1 values for the thresholds of its scores."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from core.archive.models import WORK_IS_DONE, Block, Product, Qc1Parameter, Qc1Value
from core.archive.states import ProductState
from core.qc1.axes import Position

__all__ = ["earlier_values", "products_before"]


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
            WORK_IS_DONE,
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
        .where(Product.block_id == earlier, Product.state != ProductState.SUPERSEDED, Product.expired_at.is_(None))
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
                WORK_IS_DONE,
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
