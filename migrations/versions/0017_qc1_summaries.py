"""QC1 values and scores of each block in sums, so that pages need not read them all; modes of a recipe by index

Revision ID: 0017
Revises: 0016
Create Date: 2026-11-29 13:30:00.000000
"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_POSITION = "unit, quadrant, slice, lamp, exposure, item"
_VALUES = """
    SELECT block_id, parameter_id, MAX(mjd_obs) AS mjd_obs, COUNT(*) AS number,
        AVG(CASE WHEN twice BETWEEN n AND n + 2 THEN value END) AS median,
        MIN(value) AS low, MAX(value) AS high
    FROM (
        SELECT block_id, parameter_id, mjd_obs, value,
            2 * ROW_NUMBER() OVER (PARTITION BY block_id, parameter_id ORDER BY value) AS twice,
            COUNT(*) OVER (PARTITION BY block_id, parameter_id) AS n
        FROM qc1_values WHERE NOT hidden
    ) AS ranked
    GROUP BY block_id, parameter_id
"""
_LIMITS = """
    SELECT block_id, parameter_id, MAX(scored) AS scored, MAX(low) AS limit_low, MIN(high) AS limit_high
    FROM (
        SELECT block_id, parameter_id, COUNT(*) AS scored, MIN(low) AS low, MAX(high) AS high
        FROM scores WHERE score IS NOT NULL GROUP BY block_id, parameter_id, rule
    ) AS rules
    GROUP BY block_id, parameter_id
"""
_OUTLIERS = f"""
    SELECT block_id, parameter_id, COUNT(*) AS outliers
    FROM (SELECT DISTINCT block_id, parameter_id, {_POSITION} FROM scores WHERE score = 1) AS elements
    GROUP BY block_id, parameter_id
"""


def upgrade() -> None:
    op.create_table(
        "qc1_summaries",
        sa.Column("block_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("parameter_id", sa.Integer(), nullable=False),
        *(sa.Column(name, sa.Float(53), nullable=False) for name in ("mjd_obs", "median", "low", "high")),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in ("number", "scored", "outliers")),
        *(sa.Column(name, sa.Float(53)) for name in ("limit_low", "limit_high")),
        sa.ForeignKeyConstraint(
            ["block_id"], ["blocks.id"], name=op.f("fk_qc1_summaries_block_id_blocks"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["parameter_id"], ["qc1_parameters.id"], name=op.f("fk_qc1_summaries_parameter_id_qc1_parameters")
        ),
        sa.PrimaryKeyConstraint("block_id", "parameter_id", name=op.f("pk_qc1_summaries")),
    )
    columns = ("number", "median", "low", "high", "mjd_obs")
    op.execute(
        f"INSERT INTO qc1_summaries (block_id, parameter_id, {', '.join(columns)}, scored, outliers, limit_low, "
        f"limit_high) SELECT v.block_id, v.parameter_id, {', '.join(f'v.{name}' for name in columns)}, "
        "COALESCE(s.scored, 0), COALESCE(o.outliers, 0), s.limit_low, s.limit_high "
        f"FROM ({_VALUES}) AS v "
        f"LEFT JOIN ({_LIMITS}) AS s ON s.block_id = v.block_id AND s.parameter_id = v.parameter_id "
        f"LEFT JOIN ({_OUTLIERS}) AS o ON o.block_id = v.block_id AND o.parameter_id = v.parameter_id"
    )
    op.create_index(op.f("ix_qc1_summaries_parameter_id_mjd_obs"), "qc1_summaries", ["parameter_id", "mjd_obs"])
    op.create_index(op.f("ix_blocks_recipe_state_mode_mjd_mid"), "blocks", ["recipe", "state", "mode", "mjd_mid"])


def downgrade() -> None:
    op.drop_index(op.f("ix_blocks_recipe_state_mode_mjd_mid"), "blocks")
    op.drop_table("qc1_summaries")
