"""first tables

Revision ID: 0001
Revises: nothing
Create Date: 2026-11-20 17:19:28.654057
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    op.create_table(
        "blocks",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("name", sa.String(length=160), nullable=False),
        sa.Column("group_key", sa.String(length=200), nullable=False),
        sa.Column("recipe", sa.String(length=64), nullable=False),
        sa.Column("recipe_version", sa.String(length=32), nullable=False),
        sa.Column("tag", sa.String(length=32), nullable=False),
        sa.Column("night", sa.Date(), nullable=False),
        sa.Column("mjd_mid", sa.Float(precision=53), nullable=False),
        sa.Column("n_raw", sa.Integer(), nullable=False),
        sa.Column("ifu_mask", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("state_reason", sa.Text(), nullable=False),
        sa.Column("plan_signature", sa.String(length=64), nullable=False),
        sa.Column("signature", sa.String(length=64), nullable=True),
        sa.Column("rules_hash", sa.String(length=64), nullable=False),
        sa.Column("plan_version", sa.Integer(), nullable=False),
        sa.Column("superseded_by_id", BIG_ID, nullable=True),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("max_tries", sa.Integer(), nullable=False),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        sa.Column("lease_owner", sa.String(length=128), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("heartbeat_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("queued_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("duration", sa.Float(precision=53), nullable=True),
        sa.Column("not_before", sa.DateTime(timezone=True), nullable=True),
        sa.Column("log_path", sa.Text(), nullable=True),
        sa.Column("error_type", sa.String(length=64), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("score", sa.SmallInteger(), nullable=True),
        sa.Column("n_outliers", sa.Integer(), nullable=False),
        sa.Column("notes", sa.Text(), nullable=False),
        sa.Column("parameters", JSON, nullable=False),
        sa.Column("ins_mode", sa.String(length=32), nullable=True),
        sa.Column("det_read_curid", sa.Integer(), nullable=True),
        sa.Column("det_read_curname", sa.String(length=32), nullable=True),
        sa.Column("opti1_name", sa.String(length=32), nullable=True),
        sa.Column("blue_filter", sa.Boolean(), nullable=True),
        sa.Column("field_mode", sa.String(length=32), nullable=True),
        sa.Column("bin_x", sa.SmallInteger(), nullable=True),
        sa.Column("bin_y", sa.SmallInteger(), nullable=True),
        sa.Column("progress", JSON, nullable=False),
        sa.Column("plots", JSON, nullable=False),
        sa.ForeignKeyConstraint(["superseded_by_id"], ["blocks.id"], name=op.f("fk_blocks_superseded_by_id_blocks")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_blocks")),
        sa.UniqueConstraint("name", name=op.f("uq_blocks_name")),
    )
    with op.batch_alter_table("blocks", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_blocks_finished_at"), ["finished_at"], unique=False)
        batch_op.create_index(
            batch_op.f("ix_blocks_group_key_plan_version"), ["group_key", "plan_version"], unique=False
        )
        batch_op.create_index(batch_op.f("ix_blocks_night_state_score"), ["night", "state", "score"], unique=False)
        batch_op.create_index(batch_op.f("ix_blocks_recipe_mjd_mid"), ["recipe", "mjd_mid"], unique=False)
        batch_op.create_index(
            batch_op.f("ix_blocks_state_priority_mjd_mid"), ["state", "priority", "mjd_mid"], unique=False
        )
        batch_op.create_index(
            "uq_blocks_signature_done",
            ["signature"],
            unique=True,
            sqlite_where=sa.text("state = 'done'"),
            postgresql_where=sa.text("state = 'done'"),
        )

    op.create_table(
        "events",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("subject", sa.String(length=255), nullable=False),
        sa.Column("from_state", sa.String(length=16), nullable=True),
        sa.Column("to_state", sa.String(length=16), nullable=True),
        sa.Column("actor", sa.String(length=128), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
    )
    with op.batch_alter_table("events", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_events_kind_subject_time"), ["kind", "subject", "time"], unique=False)
        batch_op.create_index(batch_op.f("ix_events_time"), ["time"], unique=False)

    op.create_table(
        "frames",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("dp_id", sa.String(length=255), nullable=False),
        sa.Column("file_name", sa.String(length=255), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("mtime", sa.Float(precision=53), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=True),
        sa.Column("archive_name", sa.String(length=128), nullable=True),
        sa.Column("instrument", sa.String(length=16), nullable=False),
        sa.Column("dpr_catg", sa.String(length=32), nullable=False),
        sa.Column("dpr_type", sa.String(length=64), nullable=False),
        sa.Column("dpr_tech", sa.String(length=64), nullable=True),
        sa.Column("tag", sa.String(length=32), nullable=False),
        sa.Column("rule", sa.String(length=64), nullable=False),
        sa.Column("rules_version", sa.String(length=16), nullable=False),
        sa.Column("night", sa.Date(), nullable=False),
        sa.Column("date_obs", sa.DateTime(timezone=True), nullable=False),
        sa.Column("mjd_obs", sa.Float(precision=53), nullable=False),
        sa.Column("exptime", sa.Float(precision=53), nullable=False),
        sa.Column("mjd_mid", sa.Float(precision=53), nullable=False),
        sa.Column("lamps", sa.String(length=64), nullable=False),
        sa.Column("tpl_id", sa.String(length=64), nullable=True),
        sa.Column("tpl_start", sa.DateTime(timezone=True), nullable=True),
        sa.Column("tpl_expno", sa.Integer(), nullable=True),
        sa.Column("tpl_nexp", sa.Integer(), nullable=True),
        sa.Column("obs_id", sa.BigInteger(), nullable=True),
        sa.Column("prog_id", sa.String(length=64), nullable=True),
        sa.Column("object", sa.String(length=128), nullable=True),
        sa.Column("ifu_mask", sa.Integer(), nullable=False),
        sa.Column("ambient_temp", sa.Float(precision=53), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("ingested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ins_mode", sa.String(length=32), nullable=True),
        sa.Column("det_read_curid", sa.Integer(), nullable=True),
        sa.Column("det_read_curname", sa.String(length=32), nullable=True),
        sa.Column("opti1_name", sa.String(length=32), nullable=True),
        sa.Column("blue_filter", sa.Boolean(), nullable=True),
        sa.Column("field_mode", sa.String(length=32), nullable=True),
        sa.Column("bin_x", sa.SmallInteger(), nullable=True),
        sa.Column("bin_y", sa.SmallInteger(), nullable=True),
        sa.Column("header", JSON, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_frames")),
        sa.UniqueConstraint("dp_id", name=op.f("uq_frames_dp_id")),
        sa.UniqueConstraint("path", name=op.f("uq_frames_path")),
    )
    with op.batch_alter_table("frames", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_frames_ingested_at"), ["ingested_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_frames_instrument_date_obs"), ["instrument", "date_obs"], unique=False)
        batch_op.create_index(batch_op.f("ix_frames_night_tag_state"), ["night", "tag", "state"], unique=False)
        batch_op.create_index(batch_op.f("ix_frames_sha256"), ["sha256"], unique=False)
        batch_op.create_index(batch_op.f("ix_frames_tag_mjd_obs"), ["tag", "mjd_obs"], unique=False)
        batch_op.create_index(batch_op.f("ix_frames_tpl_start"), ["tpl_start"], unique=False)

    op.create_table(
        "qc1_parameters",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("table_name", sa.String(length=64), nullable=False),
        sa.Column("column_name", sa.String(length=64), nullable=False),
        sa.Column("keyword", sa.String(length=64), nullable=False),
        sa.Column("unit", sa.String(length=32), nullable=False),
        sa.Column("qc_class", sa.String(length=8), nullable=False),
        sa.Column("value_type", sa.String(length=8), nullable=False),
        sa.Column("axes", sa.String(length=64), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_qc1_parameters")),
        sa.UniqueConstraint("table_name", "column_name", name=op.f("uq_qc1_parameters_table_name_column_name")),
    )
    op.create_table(
        "quarantine",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("file_name", sa.String(length=255), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=True),
        sa.Column("mtime", sa.Float(precision=53), nullable=True),
        sa.Column("reason", sa.String(length=16), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("night", sa.Date(), nullable=True),
        sa.Column("first_seen", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen", sa.DateTime(timezone=True), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_quarantine")),
        sa.UniqueConstraint("path", name=op.f("uq_quarantine_path")),
    )
    with op.batch_alter_table("quarantine", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_quarantine_night_state"), ["night", "state"], unique=False)
        batch_op.create_index(batch_op.f("ix_quarantine_state_last_seen"), ["state", "last_seen"], unique=False)

    op.create_table(
        "workers",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("host", sa.String(length=128), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen", sa.DateTime(timezone=True), nullable=False),
        sa.Column("stopped_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("doing", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workers")),
        sa.UniqueConstraint("name", name=op.f("uq_workers_name")),
    )
    op.create_table(
        "products",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("block_id", BIG_ID, nullable=True),
        sa.Column("tag", sa.String(length=32), nullable=False),
        sa.Column("ifu", sa.SmallInteger(), nullable=True),
        sa.Column("file_name", sa.String(length=255), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("datamd5", sa.String(length=32), nullable=True),
        sa.Column("night", sa.Date(), nullable=False),
        sa.Column("mjd_obs", sa.Float(precision=53), nullable=False),
        sa.Column("mjd_mid", sa.Float(precision=53), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ins_mode", sa.String(length=32), nullable=True),
        sa.Column("det_read_curid", sa.Integer(), nullable=True),
        sa.Column("det_read_curname", sa.String(length=32), nullable=True),
        sa.Column("opti1_name", sa.String(length=32), nullable=True),
        sa.Column("blue_filter", sa.Boolean(), nullable=True),
        sa.Column("field_mode", sa.String(length=32), nullable=True),
        sa.Column("bin_x", sa.SmallInteger(), nullable=True),
        sa.Column("bin_y", sa.SmallInteger(), nullable=True),
        sa.Column("header", JSON, nullable=False),
        sa.ForeignKeyConstraint(["block_id"], ["blocks.id"], name=op.f("fk_products_block_id_blocks")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_products")),
        sa.UniqueConstraint("path", name=op.f("uq_products_path")),
    )
    with op.batch_alter_table("products", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_products_block_id_tag_ifu"), ["block_id", "tag", "ifu"], unique=False)
        batch_op.create_index(batch_op.f("ix_products_created_at"), ["created_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_products_file_name"), ["file_name"], unique=False)
        batch_op.create_index(batch_op.f("ix_products_night_tag"), ["night", "tag"], unique=False)
        batch_op.create_index(batch_op.f("ix_products_tag_mjd_mid"), ["tag", "mjd_mid"], unique=False)

    op.create_table(
        "block_inputs",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("block_id", BIG_ID, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("role", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("required", sa.Boolean(), nullable=False),
        sa.Column("frame_id", BIG_ID, nullable=True),
        sa.Column("product_id", BIG_ID, nullable=True),
        sa.Column("source_block_id", BIG_ID, nullable=True),
        sa.Column("static_path", sa.Text(), nullable=True),
        sa.Column("level", sa.SmallInteger(), nullable=True),
        sa.Column("age_days", sa.Float(precision=53), nullable=True),
        sa.Column("rule", sa.String(length=64), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("refused", JSON, nullable=False),
        sa.CheckConstraint(
            "kind <> 'planned' OR source_block_id IS NOT NULL", name=op.f("ck_block_inputs_planned_has_block")
        ),
        sa.CheckConstraint(
            "kind <> 'product' OR product_id IS NOT NULL OR source_block_id IS NOT NULL",
            name=op.f("ck_block_inputs_product_has_source"),
        ),
        sa.CheckConstraint("kind <> 'raw' OR frame_id IS NOT NULL", name=op.f("ck_block_inputs_raw_has_frame")),
        sa.CheckConstraint("kind <> 'static' OR static_path IS NOT NULL", name=op.f("ck_block_inputs_static_has_path")),
        sa.ForeignKeyConstraint(
            ["block_id"], ["blocks.id"], name=op.f("fk_block_inputs_block_id_blocks"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["frame_id"], ["frames.id"], name=op.f("fk_block_inputs_frame_id_frames")),
        sa.ForeignKeyConstraint(["product_id"], ["products.id"], name=op.f("fk_block_inputs_product_id_products")),
        sa.ForeignKeyConstraint(
            ["source_block_id"], ["blocks.id"], name=op.f("fk_block_inputs_source_block_id_blocks")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_block_inputs")),
    )
    with op.batch_alter_table("block_inputs", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_block_inputs_block_id_position"), ["block_id", "position"], unique=False)
        batch_op.create_index(batch_op.f("ix_block_inputs_frame_id"), ["frame_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_block_inputs_product_id"), ["product_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_block_inputs_source_block_id"), ["source_block_id"], unique=False)

    op.create_table(
        "qc1_values",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("parameter_id", sa.Integer(), nullable=False),
        sa.Column("block_id", BIG_ID, nullable=False),
        sa.Column("product_id", BIG_ID, nullable=True),
        sa.Column("mjd_obs", sa.Float(precision=53), nullable=False),
        sa.Column("ifu", sa.SmallInteger(), nullable=True),
        sa.Column("quadrant", sa.SmallInteger(), nullable=True),
        sa.Column("slice", sa.SmallInteger(), nullable=True),
        sa.Column("lamp", sa.SmallInteger(), nullable=True),
        sa.Column("item", sa.SmallInteger(), nullable=True),
        sa.Column("value", sa.Float(precision=53), nullable=False),
        sa.Column("ins_mode", sa.String(length=32), nullable=True),
        sa.Column("det_read_curid", sa.Integer(), nullable=True),
        sa.Column("hidden", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["block_id"], ["blocks.id"], name=op.f("fk_qc1_values_block_id_blocks")),
        sa.ForeignKeyConstraint(
            ["parameter_id"], ["qc1_parameters.id"], name=op.f("fk_qc1_values_parameter_id_qc1_parameters")
        ),
        sa.ForeignKeyConstraint(["product_id"], ["products.id"], name=op.f("fk_qc1_values_product_id_products")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_qc1_values")),
    )
    with op.batch_alter_table("qc1_values", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_qc1_values_block_id_parameter_id"), ["block_id", "parameter_id"], unique=False
        )
        batch_op.create_index(batch_op.f("ix_qc1_values_product_id"), ["product_id"], unique=False)
        batch_op.create_index(
            "ix_qc1_values_trend",
            [
                "parameter_id",
                "mjd_obs",
                "hidden",
                "ifu",
                "quadrant",
                "slice",
                "lamp",
                "item",
                "value",
                "block_id",
                "product_id",
                "ins_mode",
            ],
            unique=False,
        )

    op.create_table(
        "scores",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("block_id", BIG_ID, nullable=False),
        sa.Column("product_id", BIG_ID, nullable=True),
        sa.Column("parameter_id", sa.Integer(), nullable=False),
        sa.Column("ifu", sa.SmallInteger(), nullable=True),
        sa.Column("quadrant", sa.SmallInteger(), nullable=True),
        sa.Column("slice", sa.SmallInteger(), nullable=True),
        sa.Column("lamp", sa.SmallInteger(), nullable=True),
        sa.Column("item", sa.SmallInteger(), nullable=True),
        sa.Column("value", sa.Float(precision=53), nullable=True),
        sa.Column("rule", sa.String(length=64), nullable=False),
        sa.Column("rules_version", sa.String(length=16), nullable=False),
        sa.Column("low", sa.Float(precision=53), nullable=True),
        sa.Column("high", sa.Float(precision=53), nullable=True),
        sa.Column("score", sa.SmallInteger(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["block_id"], ["blocks.id"], name=op.f("fk_scores_block_id_blocks"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["parameter_id"], ["qc1_parameters.id"], name=op.f("fk_scores_parameter_id_qc1_parameters")
        ),
        sa.ForeignKeyConstraint(["product_id"], ["products.id"], name=op.f("fk_scores_product_id_products")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_scores")),
    )
    with op.batch_alter_table("scores", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_scores_block_id_parameter_id"), ["block_id", "parameter_id"], unique=False)
        batch_op.create_index(
            batch_op.f("ix_scores_parameter_id_created_at"), ["parameter_id", "created_at"], unique=False
        )
        batch_op.create_index(batch_op.f("ix_scores_product_id"), ["product_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_scores_score_created_at"), ["score", "created_at"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("scores", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_scores_score_created_at"))
        batch_op.drop_index(batch_op.f("ix_scores_product_id"))
        batch_op.drop_index(batch_op.f("ix_scores_parameter_id_created_at"))
        batch_op.drop_index(batch_op.f("ix_scores_block_id_parameter_id"))

    op.drop_table("scores")
    with op.batch_alter_table("qc1_values", schema=None) as batch_op:
        batch_op.drop_index("ix_qc1_values_trend")
        batch_op.drop_index(batch_op.f("ix_qc1_values_product_id"))
        batch_op.drop_index(batch_op.f("ix_qc1_values_block_id_parameter_id"))

    op.drop_table("qc1_values")
    with op.batch_alter_table("block_inputs", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_block_inputs_source_block_id"))
        batch_op.drop_index(batch_op.f("ix_block_inputs_product_id"))
        batch_op.drop_index(batch_op.f("ix_block_inputs_frame_id"))
        batch_op.drop_index(batch_op.f("ix_block_inputs_block_id_position"))

    op.drop_table("block_inputs")
    with op.batch_alter_table("products", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_products_tag_mjd_mid"))
        batch_op.drop_index(batch_op.f("ix_products_night_tag"))
        batch_op.drop_index(batch_op.f("ix_products_file_name"))
        batch_op.drop_index(batch_op.f("ix_products_created_at"))
        batch_op.drop_index(batch_op.f("ix_products_block_id_tag_ifu"))

    op.drop_table("products")
    op.drop_table("workers")
    with op.batch_alter_table("quarantine", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_quarantine_state_last_seen"))
        batch_op.drop_index(batch_op.f("ix_quarantine_night_state"))

    op.drop_table("quarantine")
    op.drop_table("qc1_parameters")
    with op.batch_alter_table("frames", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_frames_tpl_start"))
        batch_op.drop_index(batch_op.f("ix_frames_tag_mjd_obs"))
        batch_op.drop_index(batch_op.f("ix_frames_sha256"))
        batch_op.drop_index(batch_op.f("ix_frames_night_tag_state"))
        batch_op.drop_index(batch_op.f("ix_frames_instrument_date_obs"))
        batch_op.drop_index(batch_op.f("ix_frames_ingested_at"))

    op.drop_table("frames")
    with op.batch_alter_table("events", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_events_time"))
        batch_op.drop_index(batch_op.f("ix_events_kind_subject_time"))

    op.drop_table("events")
    with op.batch_alter_table("blocks", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_blocks_signature_done",
            sqlite_where=sa.text("state = 'done'"),
            postgresql_where=sa.text("state = 'done'"),
        )
        batch_op.drop_index(batch_op.f("ix_blocks_state_priority_mjd_mid"))
        batch_op.drop_index(batch_op.f("ix_blocks_recipe_mjd_mid"))
        batch_op.drop_index(batch_op.f("ix_blocks_night_state_score"))
        batch_op.drop_index(batch_op.f("ix_blocks_group_key_plan_version"))
        batch_op.drop_index(batch_op.f("ix_blocks_finished_at"))

    op.drop_table("blocks")
