"""what a reader should know of a frame

Revision ID: 0010
Revises: 0009
Create Date: 2026-11-29 02:50:00.000000
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("frames") as frames:
        frames.add_column(sa.Column("notes", sa.Text(), nullable=False, server_default=""))


def downgrade() -> None:
    with op.batch_alter_table("frames") as frames:
        frames.drop_column("notes")
