"""why a frame is not used

Revision ID: 0012
Revises: 0011
Create Date: 2026-11-29 07:30:00.000000
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("frames") as frames:
        frames.add_column(sa.Column("state_reason", sa.Text(), nullable=False, server_default=""))


def downgrade() -> None:
    op.execute("UPDATE frames SET state = 'present' WHERE state IN ('damaged', 'excluded')")
    op.execute("UPDATE quarantine SET state = 'gone', reason = 'unreadable' WHERE reason = 'damaged'")
    with op.batch_alter_table("frames") as frames:
        frames.drop_column("state_reason")
