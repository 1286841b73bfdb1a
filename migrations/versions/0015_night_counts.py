"""each night in numbers, so that pages need not count frames and blocks

Revision ID: 0015
Revises: 0014
Create Date: 2026-11-29 10:30:00.000000
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_STATES = ("incomplete", "waiting", "ready", "queued", "running", "done", "failed", "cancelled")
# Of the blocks that are done.
_DONE = {
    "scored": "score IS NOT NULL",
    "outliers": "score = 1",
    "grave": "grave_outliers",
    "failed_units": "failed_unit_mask <> 0",
    "skipped_units": "skipped_unit_mask <> 0",
    "doubtful": "doubtful",
}
_COLUMNS = ("frames", "held", *_STATES, *_DONE)


def upgrade() -> None:
    op.create_table(
        "nights",
        sa.Column("night", sa.Date(), nullable=False),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in _COLUMNS),
        sa.PrimaryKeyConstraint("night", name=op.f("pk_nights")),
    )
    sums = {name: f"CASE WHEN state = '{name}' THEN 1 ELSE 0 END" for name in _STATES}
    sums |= {name: f"CASE WHEN state = 'done' AND {which} THEN 1 ELSE 0 END" for name, which in _DONE.items()}
    none = dict.fromkeys(_COLUMNS, "0")
    parts = (
        ("frames", {**none, "frames": "1"}, "1 = 1"),
        ("quarantine", {**none, "held": "1"}, "state = 'held' AND night IS NOT NULL"),
        ("blocks", {**none, **sums}, "state <> 'superseded'"),
    )
    rows = " UNION ALL ".join(
        f"SELECT night, {', '.join(f'{value} AS {name}' for name, value in values.items())} FROM {table} WHERE {which}"
        for table, values, which in parts
    )
    totals = ", ".join(f"SUM({name})" for name in _COLUMNS)
    op.execute(
        f"INSERT INTO nights (night, {', '.join(_COLUMNS)}) SELECT night, {totals} FROM ({rows}) AS x GROUP BY night"
    )


def downgrade() -> None:
    op.drop_table("nights")
