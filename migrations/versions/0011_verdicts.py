"""verdicts: doubtful parents, who judged a product, blocks that are to be judged again

Revision ID: 0011
Revises: 0010
Create Date: 2026-11-29 03:00:00.000000
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
NIGHT = ["night", "state", "score", "failed_unit_mask", "skipped_unit_mask"]
NIGHT_NAME = "ix_blocks_" + "_".join(NIGHT)
NIGHT_DOUBTFUL = [*NIGHT, "doubtful"]
NIGHT_DOUBTFUL_NAME = "ix_blocks_night_verdict"


def upgrade() -> None:
    op.add_column("blocks", sa.Column("doubtful", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.drop_index(op.f(NIGHT_NAME), "blocks")
    op.create_index(NIGHT_DOUBTFUL_NAME, "blocks", NIGHT_DOUBTFUL)
    op.add_column("products", sa.Column("judge", sa.String(128), nullable=True))
    op.create_table(
        "due_verdicts",
        sa.Column("block_id", BIG_ID, nullable=False),
        sa.ForeignKeyConstraint(
            ["block_id"], ["blocks.id"], name=op.f("fk_due_verdicts_block_id_blocks"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("block_id", name=op.f("pk_due_verdicts")),
    )
    # What was certified or rejected until now, a person did; who, stands in the events.
    op.execute("UPDATE products SET judge = 'person' WHERE state IN ('certified', 'rejected')")


def downgrade() -> None:
    op.drop_table("due_verdicts")
    op.drop_column("products", "judge")
    op.drop_index(NIGHT_DOUBTFUL_NAME, "blocks")
    op.create_index(op.f(NIGHT_NAME), "blocks", NIGHT)
    op.drop_column("blocks", "doubtful")
