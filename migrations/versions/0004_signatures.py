"""signatures of what a block used: their scheme, and editions of frames

Revision ID: 0004
Revises: 0003
Create Date: 2026-11-29 01:45:00.000000
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

COLUMNS = {"block_inputs": ("content",), "frames": ("edition", "former_sha256"), "blocks": ("signature_scheme",)}


def upgrade() -> None:
    # Rows that are there have signatures of scheme 1; the first plan signs them anew (core.archive.signing).
    op.add_column("blocks", sa.Column("signature_scheme", sa.SmallInteger(), server_default="1", nullable=False))
    op.create_index(op.f("ix_blocks_signature_scheme"), "blocks", ["signature_scheme"])
    op.add_column("frames", sa.Column("former_sha256", sa.String(length=64)))
    op.add_column("frames", sa.Column("edition", sa.Integer(), server_default="1", nullable=False))
    op.add_column("block_inputs", sa.Column("content", sa.String(length=64)))


def downgrade() -> None:
    # Signatures of the older program cannot be made again: it plans anew what it finds, once.
    op.drop_index(op.f("ix_blocks_signature_scheme"), table_name="blocks")
    for table, names in COLUMNS.items():
        # SQLite cannot drop a column of a table with references in place; its batch mode makes the table anew.
        with op.batch_alter_table(table) as batch_op:
            for name in names:
                batch_op.drop_column(name)
