"""products from outside are files of the archive directories

Revision ID: 0005
Revises: 0004
Create Date: 2026-11-29 02:00:00.000000
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "outside_files",
        sa.Column("product_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("mtime", sa.Float(53), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("static", sa.Boolean(), nullable=False),
        sa.Column("set_name", sa.Text(), nullable=False),
        sa.Column("unit_mask", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["product_id"],
            ["products.id"],
            name=op.f("fk_outside_files_product_id_products"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("product_id", name=op.f("pk_outside_files")),
    )
    op.create_index("ix_outside_files_set_name", "outside_files", ["set_name"])
    op.create_index("ix_outside_files_static_state", "outside_files", ["static", "state"])
    op.create_index("ix_products_sha256", "products", ["sha256"])


def downgrade() -> None:
    op.drop_index("ix_products_sha256", table_name="products")
    op.drop_table("outside_files")
