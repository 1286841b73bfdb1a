"""when the files of intermediate products were removed, and blocks that make them again

Revision ID: 0016
Revises: 0015
Create Date: 2026-11-29 13:00:00.000000
"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_INDEX = "ix_products_kept"
_KEPT = sa.text("expired_at IS NULL")


def upgrade() -> None:
    with op.batch_alter_table("products") as products:
        products.add_column(sa.Column("expired_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(_INDEX, "products", ["tag", "created_at"], sqlite_where=_KEPT, postgresql_where=_KEPT)
    with op.batch_alter_table("blocks") as blocks:
        blocks.add_column(sa.Column("remaking", sa.Boolean(), nullable=False, server_default=sa.false()))


def downgrade() -> None:
    # What expired stays so: its file is not there, as of any product whose file was removed by hand.
    with op.batch_alter_table("blocks") as blocks:
        blocks.drop_column("remaking")
    op.drop_index(_INDEX, "products")
    with op.batch_alter_table("products") as products:
        products.drop_column("expired_at")
