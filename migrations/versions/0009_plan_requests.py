"""what persons want done otherwise than usual in a night

Revision ID: 0009
Revises: 0008
Create Date: 2026-11-29 02:30:00.000000
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    op.create_table(
        "plan_requests",
        sa.Column("night", sa.Date(), nullable=False),
        sa.Column("with_recipes", JSON, nullable=False),
        sa.Column("with_inputs", JSON, nullable=False),
        sa.Column("older_only", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("night", name=op.f("pk_plan_requests")),
    )


def downgrade() -> None:
    op.drop_table("plan_requests")
