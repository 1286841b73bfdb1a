"""whether the outliers of a block are so many that its night is bad

Revision ID: 0014
Revises: 0013
Create Date: 2026-11-29 08:10:00.000000
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_INDEX = "ix_blocks_night_verdict"
_BEFORE = ["night", "state", "score", "failed_unit_mask", "skipped_unit_mask", "doubtful"]
_AFTER = [*_BEFORE[:3], "grave_outliers", *_BEFORE[3:]]


def upgrade() -> None:
    op.drop_index(_INDEX, "blocks")
    with op.batch_alter_table("blocks") as blocks:
        blocks.add_column(sa.Column("grave_outliers", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.create_index(_INDEX, "blocks", _AFTER)
    # As new blocks are judged: by the part of the scored values of a parameter that are outliers by any rule.
    op.execute(
        sa.text(
            """
            UPDATE blocks SET grave_outliers = :yes WHERE score = 1 AND EXISTS (
                SELECT 1 FROM (
                    SELECT parameter_id, MAX(score) AS flagged FROM scores
                    WHERE scores.block_id = blocks.id AND score IS NOT NULL
                    GROUP BY parameter_id, unit, quadrant, slice, lamp, exposure, item
                ) AS scored JOIN qc1_parameters ON qc1_parameters.id = scored.parameter_id
                GROUP BY parameter_id, qc_class
                HAVING SUM(flagged) > 0 AND SUM(flagged) >= COUNT(*) * CAST(
                    CASE WHEN qc_class IN ('KPI', 'HC') THEN 0.02 ELSE 0.05 END AS DOUBLE PRECISION)
            )
            """
        ).bindparams(sa.bindparam("yes", True, sa.Boolean()))
    )


def downgrade() -> None:
    op.drop_index(_INDEX, "blocks")
    with op.batch_alter_table("blocks") as blocks:
        blocks.drop_column("grave_outliers")
    op.create_index(_INDEX, "blocks", _BEFORE)
