"""Turns what a block left behind into rows: products and QC1 values; and keeps the QC1 definitions."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime
from pathlib import PurePath
from typing import Any

from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from core.archive.models import (
    Block,
    Product,
    Qc1Parameter,
    Qc1Text,
    Qc1Value,
    Score,
    setup_columns,
    unit_mask,
)
from core.archive.records import BlockResult, NewProduct, NewQc1Text, NewQc1Value
from core.archive.states import ProductState
from core.archive.verdicts import AUTOMATIC
from core.errors import NotFoundError
from core.instruments.registry import instrument

__all__ = ["restore_products", "store_result"]


def store_result(session: Session, block: Block, result: BlockResult, now: datetime) -> None:
    """Replace the products, QC1 values, plots and lost units of a block, and remove its scores.

    A product under the path of an earlier one takes over its row; other earlier products of the block are
    superseded. QC1 values that are not finite are not stored: the column in the product header tells.
    """
    session.execute(delete(Score).where(Score.block_id == block.id))
    session.execute(delete(Qc1Value).where(Qc1Value.block_id == block.id))
    session.execute(delete(Qc1Text).where(Qc1Text.block_id == block.id))
    products = _store_products(session, block, result.products, now)
    parameters = _parameter_ids(session, (*result.qc1_values, *result.qc1_texts))

    def row(item: NewQc1Value | NewQc1Text, **own: Any) -> dict[str, Any]:
        return {
            "parameter_id": parameters[item.table, item.column],
            "block_id": block.id,
            "product_id": products[item.product] if item.product is not None else None,
            **item.position._asdict(),
            **own,
        }

    values = [row(item, **_value_columns(item, block)) for item in result.qc1_values if math.isfinite(item.value)]
    texts = [row(item, **_text_columns(item, block)) for item in result.qc1_texts]
    for table, rows in ((Qc1Value, values), (Qc1Text, texts)):
        if rows:
            session.execute(insert(table), rows)
    block.plots = [asdict(plot) for plot in result.plots]
    block.lost_units = [asdict(entry) for entry in sorted(result.lost, key=lambda entry: entry.unit)]
    block.failed_unit_mask = unit_mask(entry.unit for entry in result.lost if entry.failed)
    block.skipped_unit_mask = unit_mask(entry.unit for entry in result.lost if not entry.failed)


def restore_products(session: Session, block: Block, result: BlockResult, now: datetime) -> bool:
    """Take new files of a block for those that expired, if they have the same content.

    Verdicts of products, QC1 values, scores and plots stay as they are: they are of this content.

    Returns
    -------
    bool
        False if the content is another; nothing is changed then.
    """
    rows = {row.path: row for row in session.scalars(select(Product).where(Product.block_id == block.id))}
    pairs = [(rows.get(item.path), item) for item in result.products]
    if not all(row is not None and _same_content(row, item) for row, item in pairs):
        return False
    for row, item in pairs:
        if row is not None:
            row.size, row.sha256, row.header = item.size, item.sha256, dict(item.header)
            row.created_at, row.expired_at = now, None
    session.flush()
    return True


def _same_content(row: Product, item: NewProduct) -> bool:
    return row.state is not ProductState.SUPERSEDED and item.datamd5 is not None and row.datamd5 == item.datamd5


def _store_products(session: Session, block: Block, items: Iterable[NewProduct], now: datetime) -> dict[str, int]:
    earlier = {row.path: row for row in session.scalars(select(Product).where(Product.block_id == block.id)).all()}
    setups = instrument(block.instrument).setup
    rows: dict[str, Product] = {}
    for item in items:
        row = earlier.pop(item.path, None)
        if row is None:
            row = Product(block_id=block.id, path=item.path)
            session.add(row)
        row.tag, row.unit, row.file_name = item.tag, item.unit, PurePath(item.path).name
        row.size, row.sha256 = item.size, item.sha256
        row.night, row.mjd_obs, row.mjd_mid = item.night, item.mjd_obs, item.mjd_mid
        if not _still_judged(row, item):
            row.state, row.judge = item.state, None
        row.datamd5, row.created_at, row.header = item.datamd5, now, dict(item.header)
        row.expired_at = None
        for column, value in setup_columns(setups.of_keywords(item.header)).items():
            setattr(row, column, value)
        rows[item.path] = row
    for row in earlier.values():
        row.state = ProductState.SUPERSEDED
    session.flush()
    return {path: row.id for path, row in rows.items()}


def _still_judged(row: Product, item: NewProduct) -> bool:
    """Whether a person's decision on the former file holds for the new one: as long as the data are the same."""
    return row.judge not in (None, AUTOMATIC) and _same_content(row, item)


def _parameter_ids(session: Session, items: Iterable[NewQc1Value | NewQc1Text]) -> dict[tuple[str, str], int]:
    wanted = {(item.table, item.column) for item in items}
    if not wanted:
        return {}
    tables = {table for table, _ in wanted}
    found = {
        (table, column): number
        for number, table, column in session.execute(
            select(Qc1Parameter.id, Qc1Parameter.table_name, Qc1Parameter.column_name).where(
                Qc1Parameter.table_name.in_(tables)
            )
        )
    }
    unknown = sorted(wanted - found.keys())
    if unknown:
        names = ", ".join(f"{table}..{column}" for table, column in unknown[:5])
        raise NotFoundError(f"QC1 parameters are not registered: {names}", parameter=unknown[0][1])
    return found


def _value_columns(item: NewQc1Value, block: Block) -> dict[str, Any]:
    return {
        "mjd_obs": item.mjd_obs,
        "value": float(item.value),
        "mode": item.mode if item.mode is not None else block.mode,
        "readout": item.readout if item.readout is not None else block.readout,
        "hidden": False,
    }


def _text_columns(item: NewQc1Text, block: Block) -> dict[str, Any]:
    return {
        "mjd_obs": item.mjd_obs,
        "text": item.text,
        "mode": item.mode if item.mode is not None else block.mode,
        "hidden": False,
    }
