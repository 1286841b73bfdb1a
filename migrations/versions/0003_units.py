"""units of any instrument instead of IFUs of MUSE

Revision ID: 0003
Revises: 0002
Create Date: 2026-11-29 01:30:00.000000
"""

from collections.abc import Iterator

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
COLUMNS = (
    ("frames", "ifu_mask", "unit_mask"),
    ("blocks", "ifu_mask", "unit_mask"),
    ("blocks", "failed_ifu_mask", "failed_unit_mask"),
    ("blocks", "skipped_ifu_mask", "skipped_unit_mask"),
    ("blocks", "lost_ifus", "lost_units"),
    ("products", "ifu", "unit"),
    ("qc1_values", "ifu", "unit"),
    ("scores", "ifu", "unit"),
)
CHUNK = 1000


def upgrade() -> None:
    _drop_indexes("ifu")
    for table, old, new in COLUMNS:
        op.alter_column(table, old, new_column_name=new)
    _create_indexes("unit")
    _rename_in_documents("lost_units", "ifu", "unit")
    op.execute("UPDATE qc1_parameters SET axes = REPLACE(axes, 'ifu', 'unit')")


def downgrade() -> None:
    op.execute("UPDATE qc1_parameters SET axes = REPLACE(axes, 'unit', 'ifu')")
    _rename_in_documents("lost_units", "unit", "ifu")
    _drop_indexes("unit")
    for table, old, new in reversed(COLUMNS):
        op.alter_column(table, new, new_column_name=old)
    _create_indexes("ifu")


def _drop_indexes(word: str) -> None:
    op.drop_index(f"ix_blocks_night_state_score_failed_{word}_mask_skipped_{word}_mask", table_name="blocks")
    op.drop_index(f"ix_blocks_failed_{word}s", table_name="blocks")
    op.drop_index(f"ix_products_block_id_tag_{word}", table_name="products")


def _create_indexes(word: str) -> None:
    masks = [f"failed_{word}_mask", f"skipped_{word}_mask"]
    op.create_index(f"ix_blocks_night_state_score_{masks[0]}_{masks[1]}", "blocks", ["night", "state", "score", *masks])
    failed = sa.text(f"failed_{word}_mask <> 0")
    op.create_index(
        f"ix_blocks_failed_{word}s", "blocks", ["state", "mjd_mid"], sqlite_where=failed, postgresql_where=failed
    )
    op.create_index(f"ix_products_block_id_tag_{word}", "products", ["block_id", "tag", word])


def _rename_in_documents(lost: str, old: str, new: str) -> None:
    """The entries of two lists of documents, of the blocks that have any."""
    blocks = sa.table("blocks", sa.column("id", sa.BigInteger), sa.column(lost, JSON), sa.column("plots", JSON))
    bind = op.get_bind()
    for rows in _chunks(blocks, lost):
        for row in rows:
            changed = {
                name: [{new if key == old else key: value for key, value in entry.items()} for entry in entries or []]
                for name, entries in ((lost, row[1]), ("plots", row[2]))
            }
            if changed[lost] or changed["plots"]:
                bind.execute(sa.update(blocks).where(blocks.c.id == row[0]).values(**changed))


def _chunks(blocks: sa.TableClause, lost: str) -> Iterator[list[sa.Row[tuple[int, list[dict], list[dict]]]]]:
    bind, last = op.get_bind(), 0
    columns = (blocks.c.id, blocks.c[lost], blocks.c.plots)
    while rows := bind.execute(sa.select(*columns).where(blocks.c.id > last).order_by(blocks.c.id).limit(CHUNK)).all():
        yield list(rows)
        last = rows[-1][0]
