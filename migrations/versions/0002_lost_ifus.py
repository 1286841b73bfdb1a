"""blocks that are done may lack IFUs: which, and why

Revision ID: 0002
Revises: 0001
Create Date: 2026-11-20 19:45:00.000000
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
MASKS = ("failed_ifu_mask", "skipped_ifu_mask")


def upgrade() -> None:
    for name in MASKS:
        op.add_column("blocks", sa.Column(name, sa.Integer(), server_default="0", nullable=False))
    op.add_column("blocks", sa.Column("lost_ifus", JSON, server_default="[]", nullable=False))
    op.drop_index(op.f("ix_blocks_night_state_score"), table_name="blocks")
    op.create_index(
        op.f("ix_blocks_night_state_score_failed_ifu_mask_skipped_ifu_mask"),
        "blocks",
        ["night", "state", "score", *MASKS],
    )
    op.create_index(
        "ix_blocks_failed_ifus",
        "blocks",
        ["state", "mjd_mid"],
        sqlite_where=sa.text("failed_ifu_mask <> 0"),
        postgresql_where=sa.text("failed_ifu_mask <> 0"),
    )


def downgrade() -> None:
    op.drop_index("ix_blocks_failed_ifus", table_name="blocks")
    op.drop_index(op.f("ix_blocks_night_state_score_failed_ifu_mask_skipped_ifu_mask"), table_name="blocks")
    op.create_index(op.f("ix_blocks_night_state_score"), "blocks", ["night", "state", "score"])
    # SQLite cannot drop a column of a table with references in place; its batch mode makes the table anew.
    with op.batch_alter_table("blocks") as batch_op:
        batch_op.drop_column("lost_ifus")
        for name in reversed(MASKS):
            batch_op.drop_column(name)
