"""QC1 values of single exposures, and texts

Revision ID: 0007
Revises: 0006
Create Date: 2026-11-29 01:45:00.000000
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
BEFORE = ("unit", "quadrant", "slice", "lamp", "item")
AFTER = ("unit", "quadrant", "slice", "lamp", "exposure", "item")


def upgrade() -> None:
    op.drop_index("ix_qc1_values_trend", table_name="qc1_values")
    for table in ("qc1_values", "scores"):
        op.add_column(table, sa.Column("exposure", sa.SmallInteger(), nullable=True))
    _create_trend_index(AFTER)
    op.create_table(
        "qc1_texts",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("parameter_id", sa.Integer(), nullable=False),
        sa.Column("block_id", BIG_ID, nullable=False),
        sa.Column("product_id", BIG_ID, nullable=True),
        sa.Column("mjd_obs", sa.Float(precision=53), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("mode", sa.String(length=32), nullable=True),
        sa.Column("hidden", sa.Boolean(), nullable=False),
        *(sa.Column(name, sa.SmallInteger(), nullable=True) for name in AFTER),
        sa.ForeignKeyConstraint(
            ["parameter_id"], ["qc1_parameters.id"], name=op.f("fk_qc1_texts_parameter_id_qc1_parameters")
        ),
        sa.ForeignKeyConstraint(["block_id"], ["blocks.id"], name=op.f("fk_qc1_texts_block_id_blocks")),
        sa.ForeignKeyConstraint(["product_id"], ["products.id"], name=op.f("fk_qc1_texts_product_id_products")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_qc1_texts")),
    )
    op.create_index("ix_qc1_texts_parameter_id_mjd_obs", "qc1_texts", ["parameter_id", "mjd_obs"])
    op.create_index("ix_qc1_texts_block_id_parameter_id", "qc1_texts", ["block_id", "parameter_id"])
    op.create_index("ix_qc1_texts_product_id", "qc1_texts", ["product_id"])


def downgrade() -> None:
    op.drop_table("qc1_texts")
    op.execute("DELETE FROM qc1_parameters WHERE value_type = 'str'")
    op.drop_index("ix_qc1_values_trend", table_name="qc1_values")
    for table in ("scores", "qc1_values"):
        op.drop_column(table, "exposure")
    _create_trend_index(BEFORE)


def _create_trend_index(position: tuple[str, ...]) -> None:
    columns = ["parameter_id", "mjd_obs", "hidden", *position, "value", "block_id", "product_id", "mode"]
    op.create_index("ix_qc1_values_trend", "qc1_values", columns)
