"""one canonical set-up text and two filters instead of the set-up keywords of one instrument

The way down gives back what the set-up text tells: classes of modes instead of their names, 1 for what was not given.
Names come from the headers, where there are any (frames and products).

Revision ID: 0006
Revises: 0005
Create Date: 2026-11-29 02:00:00.000000
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
INSTRUMENT = "MUSE"  # until now there was no other
MODES = ("WFM-NOAO-E", "WFM-NOAO-N", "WFM-AO-E", "WFM-AO-N", "NFM-AO-N")
TABLES = ("frames", "blocks", "products")
OLD = (
    ("ins_mode", sa.String(32)),
    ("det_read_curid", sa.Integer()),
    ("det_read_curname", sa.String(32)),
    ("opti1_name", sa.String(32)),
    ("blue_filter", sa.Boolean()),
    ("field_mode", sa.String(32)),
    ("bin_x", sa.SmallInteger()),
    ("bin_y", sa.SmallInteger()),
)
TELLING = ("ins_mode", "det_read_curid", "blue_filter", "field_mode", "bin_x", "bin_y")
NEW = (("mode", 32), ("readout", 32), ("setup_text", 255))
# keyword of the header to the old column, where the set-up text has lost the name
NAMES = {"INS.MODE": "ins_mode", "DET.READ.CURNAME": "det_read_curname", "INS.OPTI1.NAME": "opti1_name"}
TREND = ("parameter_id", "mjd_obs", "hidden", "unit", "quadrant", "slice", "lamp", "item", "value", "block_id",
         "product_id")  # fmt: skip
CHUNK = 1000


def upgrade() -> None:
    for table in TABLES:
        names = NEW if table == "frames" else (("instrument", 16), *NEW)
        for name, length in names:
            op.add_column(table, sa.Column(name, sa.String(length), server_default="", nullable=False))
        _fill_new(table)
        for name, _ in OLD:
            op.drop_column(table, name)
    op.drop_index("ix_qc1_values_trend", table_name="qc1_values")
    op.alter_column("qc1_values", "ins_mode", new_column_name="mode")
    op.add_column("qc1_values", sa.Column("readout", sa.String(32)))
    op.execute("UPDATE qc1_values SET readout = CAST(det_read_curid AS VARCHAR(32))")
    op.drop_column("qc1_values", "det_read_curid")
    op.create_index("ix_qc1_values_trend", "qc1_values", [*TREND, "mode"])


def downgrade() -> None:
    op.drop_index("ix_qc1_values_trend", table_name="qc1_values")
    op.alter_column("qc1_values", "mode", new_column_name="ins_mode")
    op.add_column("qc1_values", sa.Column("det_read_curid", sa.Integer()))
    _number_readouts()
    op.drop_column("qc1_values", "readout")
    op.create_index("ix_qc1_values_trend", "qc1_values", [*TREND, "ins_mode"])
    for table in TABLES:
        for name, kind in OLD:
            op.add_column(table, sa.Column(name, kind))
        _fill_old(table)
        for name, _ in NEW if table == "frames" else (("instrument", 16), *NEW):
            op.drop_column(table, name)


def _fill_new(table: str) -> None:
    """One statement for each set-up: ten years have a few of them only."""
    rows = sa.table(table, *(sa.column(name) for name in (*TELLING, "instrument", *(name for name, _ in NEW))))
    bind = op.get_bind()
    old = [rows.c[name] for name in TELLING]
    for values in bind.execute(sa.select(*old).distinct()).all():
        setup = _setup(dict(zip(TELLING, values, strict=True)))
        text = ";".join(f"{key}={value}" for key, value in setup.items())
        same = [column.is_not_distinct_from(value) for column, value in zip(old, values, strict=True)]
        new = {"mode": setup["mode"], "readout": setup["readout"], "setup_text": text}
        bind.execute(sa.update(rows).where(*same).values(**new))
    if table != "frames":  # which knew their instrument
        bind.execute(sa.update(rows).values(instrument=INSTRUMENT))


def _setup(old: dict[str, Any]) -> dict[str, str]:
    """The set-up keys of the instrument as the planner read them until now."""
    mode = _mode_class(old["ins_mode"])
    blue = not mode.endswith("-E") if old["blue_filter"] is None else bool(old["blue_filter"])
    field = (old["field_mode"] or "").strip().upper()
    return {
        "mode": mode,
        "blue": "blue" if blue else "clear",
        "field": field[:3] if field.startswith(("WFM", "NFM")) else mode[:3],
        "readout": str(_one(old["det_read_curid"])),
        "binning": f"{_one(old['bin_x'])}x{_one(old['bin_y'])}",
    }


def _one(value: int | None) -> int:
    return 1 if value is None else value


def _mode_class(name: str | None) -> str:
    mode = (name or "").strip().upper().replace("NONAO", "NOAO")
    if not mode:
        return "WFM-NOAO-N"
    if mode.startswith("NFM"):
        return "NFM-AO-N"
    return mode if mode in MODES else "WFM-NOAO-E"


def _fill_old(table: str) -> None:
    rows = sa.table(table, *(sa.column(name, kind) for name, kind in OLD), sa.column("setup_text", sa.String))
    bind = op.get_bind()
    for (text,) in bind.execute(sa.select(rows.c.setup_text).distinct()).all():
        setup = dict(part.partition("=")[::2] for part in text.split(";"))
        if not setup.keys() >= {"mode", "blue", "field", "readout", "binning"}:  # of another instrument
            continue
        bin_x, bin_y = setup["binning"].split("x")
        old = {
            "ins_mode": setup["mode"],
            "det_read_curid": int(setup["readout"]),
            "blue_filter": setup["blue"] == "blue",
            "field_mode": setup["field"],
            "bin_x": int(bin_x),
            "bin_y": int(bin_y),
        }
        bind.execute(sa.update(rows).where(rows.c.setup_text == text).values(**old))
    if table != "blocks":  # a block has no header
        _fill_names(table)


def _number_readouts() -> None:
    """Read-out modes that are numbers, as numbers."""
    rows = sa.table("qc1_values", sa.column("readout", sa.String), sa.column("det_read_curid", sa.Integer))
    bind = op.get_bind()
    for (text,) in bind.execute(sa.select(rows.c.readout).distinct()).all():
        if text is not None and text.isdecimal():
            bind.execute(sa.update(rows).where(rows.c.readout == text).values(det_read_curid=int(text)))


def _fill_names(table: str) -> None:
    """Names as in the headers, in chunks of rows."""
    kinds = dict(OLD)
    names = (sa.column(name, kinds[name]) for name in NAMES.values())
    rows = sa.table(table, sa.column("id", sa.BigInteger), sa.column("header", JSON), *names)
    bind, last = op.get_bind(), 0
    query = sa.select(rows.c.id, rows.c.header).order_by(rows.c.id).limit(CHUNK)
    while found := bind.execute(query.where(rows.c.id > last)).all():
        for number, header in found:
            given = {column: header[key] for key, column in NAMES.items() if (header or {}).get(key) is not None}
            if given:
                bind.execute(sa.update(rows).where(rows.c.id == number).values(**given))
        last = found[-1][0]
