"""parts of blocks that are leased one by one, and the memory that was measured

Revision ID: 0008
Revises: 0007
Create Date: 2026-11-29 02:00:00.000000
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("blocks", sa.Column("peak_mb", sa.Float(53), nullable=True))
    op.add_column("blocks", sa.Column("work_name", sa.String(255), nullable=True))
    op.create_table(
        "block_parts",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("block_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("key", sa.String(32), nullable=False),
        sa.Column("label", sa.String(64), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("required", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("state_reason", sa.Text(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("max_tries", sa.Integer(), nullable=False),
        sa.Column("lease_owner", sa.String(128), nullable=True),
        sa.Column("lease_until", MOMENT, nullable=True),
        sa.Column("heartbeat_at", MOMENT, nullable=True),
        sa.Column("queued_at", MOMENT, nullable=True),
        sa.Column("started_at", MOMENT, nullable=True),
        sa.Column("finished_at", MOMENT, nullable=True),
        sa.Column("duration", sa.Float(53), nullable=True),
        sa.Column("not_before", MOMENT, nullable=True),
        sa.Column("error_type", sa.String(64), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("peak_mb", sa.Float(53), nullable=True),
        sa.Column("progress", JSON, nullable=False),
        sa.ForeignKeyConstraint(
            ["block_id"], ["blocks.id"], name=op.f("fk_block_parts_block_id_blocks"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_block_parts")),
        sa.UniqueConstraint("block_id", "key", name=op.f("uq_block_parts_block_id_key")),
    )
    op.create_index(op.f("ix_block_parts_state"), "block_parts", ["state"])


def downgrade() -> None:
    op.execute(
        "UPDATE blocks SET state = 'ready' WHERE state = 'running' AND work_name IS NOT NULL"
    )  # nobody holds it as a whole
    op.drop_table("block_parts")
    op.drop_column("blocks", "work_name")
    op.drop_column("blocks", "peak_mb")
