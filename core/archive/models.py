"""The tables of the archive.

Frames (raw files), blocks (one recipe execution each) with their inputs, products, QC1 definitions and
values, texts, scores, events, quarantine and the heartbeats of the daemons. Wide documents (headers, refused
candidates, progress) are JSON columns at the end of a row and loaded only when asked for.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Date,
    Float,
    ForeignKey,
    Index,
    Integer,
    SmallInteger,
    Text,
    UniqueConstraint,
    false,
    literal_column,
    or_,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from core.archive.base import Base, BigId, BoundedText, JsonDoc, UtcDateTime, enum_type
from core.archive.clock import DatabaseClock
from core.archive.states import (
    BlockState,
    FrameState,
    InputKind,
    ProductState,
    QuarantineReason,
    QuarantineState,
    WorkerKind,
)
from core.cascade.signature import SCHEME
from core.instruments.registry import instrument, setup_of
from core.instruments.setup import Setup, UnitSpec
from core.qc1.axes import Position

__all__ = [
    "HAS_FAILED_UNITS",
    "WORK_IS_DONE",
    "Base",
    "Block",
    "BlockInput",
    "BlockPart",
    "DueVerdict",
    "Event",
    "Frame",
    "LeaseColumns",
    "OutsideFile",
    "PlanRequest",
    "Product",
    "Qc1Parameter",
    "Qc1Value",
    "QuarantinedFile",
    "Score",
    "SetupColumns",
    "WorkerHeartbeat",
    "setup_columns",
    "unit_mask",
    "units_of_mask",
]


def unit_mask(units: Iterable[int]) -> int:
    """Bit mask of unit numbers (from 1 on): bit ``unit - 1`` is set."""
    mask = 0
    for unit in units:
        mask |= 1 << (unit - 1)
    return mask


def units_of_mask(mask: int) -> tuple[int, ...]:
    """Unit numbers of a bit mask, ascending."""
    return tuple(bit + 1 for bit in range(mask.bit_length()) if mask >> bit & 1)


class SetupColumns:
    """The set-up that calibrations must share: the same columns on frames, blocks and products.

    ``setup_text`` is canonical (`core.instruments.setup.Setup.text`), the others are two of its values, for pages.
    """

    if TYPE_CHECKING:
        instrument: Mapped[str]
    mode: Mapped[str] = mapped_column(BoundedText(32), default="", server_default="")
    readout: Mapped[str] = mapped_column(BoundedText(32), default="", server_default="")
    setup_text: Mapped[str] = mapped_column(BoundedText(255), default="", server_default="")

    @property
    def setup(self) -> Setup:
        """The set-up with its words."""
        return setup_of(self.instrument, self.setup_text)

    @property
    def unit_words(self) -> UnitSpec:
        """The units of the instrument and what they are called."""
        return instrument(self.instrument).units


def setup_columns(setup: Setup) -> dict[str, str]:
    """The columns of a frame, block or product that say its instrument and set-up."""
    return {
        "instrument": setup.instrument,
        "mode": setup.mode,
        "readout": setup.readout,
        "setup_text": setup.text,
    }


class Frame(SetupColumns, Base):
    """One raw file, known by its headers."""

    __tablename__ = "frames"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    dp_id: Mapped[str] = mapped_column(BoundedText(255), unique=True)  # file name without .fits / .fits.fz
    file_name: Mapped[str] = mapped_column(BoundedText(255))
    path: Mapped[str] = mapped_column(Text, unique=True)
    size: Mapped[int] = mapped_column(BigInteger)  # [byte]
    mtime: Mapped[float] = mapped_column(Float(53))  # [s since 1970]
    sha256: Mapped[str | None] = mapped_column(BoundedText(64))  # filled in later, off the hot path
    former_sha256: Mapped[str | None] = mapped_column(BoundedText(64))  # before it was written again, until sha256 is
    edition: Mapped[int] = mapped_column(Integer, default=1, server_default="1")  # how often the content was another
    archive_name: Mapped[str | None] = mapped_column(BoundedText(128))  # ARCFILE
    instrument: Mapped[str] = mapped_column(BoundedText(16))

    dpr_catg: Mapped[str] = mapped_column(BoundedText(32))
    dpr_type: Mapped[str] = mapped_column(BoundedText(64))
    dpr_tech: Mapped[str | None] = mapped_column(BoundedText(64))
    tag: Mapped[str] = mapped_column(BoundedText(32))
    rule: Mapped[str] = mapped_column(BoundedText(64))  # classification rule that gave the tag
    rules_version: Mapped[str] = mapped_column(BoundedText(16))

    night: Mapped[date] = mapped_column(Date)  # noon to noon, named by the evening
    date_obs: Mapped[datetime] = mapped_column(UtcDateTime)
    mjd_obs: Mapped[float] = mapped_column(Float(53))
    exptime: Mapped[float] = mapped_column(Float(53))  # [s]
    mjd_mid: Mapped[float] = mapped_column(Float(53))  # mid-exposure

    lamps: Mapped[str] = mapped_column(BoundedText(64), default="")  # lamps whose light came in, "Ne", "ContB+ContR"
    tpl_id: Mapped[str | None] = mapped_column(BoundedText(64))
    tpl_start: Mapped[datetime | None] = mapped_column(UtcDateTime)
    tpl_expno: Mapped[int | None] = mapped_column(Integer)
    tpl_nexp: Mapped[int | None] = mapped_column(Integer)
    obs_id: Mapped[int | None] = mapped_column(BigInteger)
    prog_id: Mapped[str | None] = mapped_column(BoundedText(64))
    object: Mapped[str | None] = mapped_column(BoundedText(128))
    unit_mask: Mapped[int] = mapped_column(Integer)  # units in the file, see `units_of_mask`
    ambient_temp: Mapped[float | None] = mapped_column(Float(53))  # [deg C]
    state: Mapped[FrameState] = mapped_column(enum_type(FrameState), default=FrameState.PRESENT)
    state_reason: Mapped[str] = mapped_column(Text, default="", server_default="")  # why it is not used
    notes: Mapped[str] = mapped_column(Text, default="", server_default="")  # what a reader should know, of its header
    ingested_at: Mapped[datetime] = mapped_column(UtcDateTime, default=DatabaseClock())
    header: Mapped[dict[str, Any]] = mapped_column(
        JsonDoc, deferred=True, sort_order=99
    )  # primary keywords, dot notation

    __table_args__ = (
        Index(None, "night", "tag", "state"),
        Index(None, "tag", "mjd_obs"),
        Index(None, "instrument", "date_obs"),
        Index(None, "tpl_start"),
        Index(None, "sha256"),
        Index(None, "ingested_at"),
    )

    @property
    def units(self) -> tuple[int, ...]:
        """Units that the file holds."""
        return units_of_mask(self.unit_mask)


class LeaseColumns:
    """What the work of one worker at a time needs, held by a lease: the same columns on blocks and on their parts."""

    state: Mapped[BlockState] = mapped_column(enum_type(BlockState))
    state_reason: Mapped[str] = mapped_column(Text, default="")
    tries: Mapped[int] = mapped_column(Integer, default=0)
    max_tries: Mapped[int] = mapped_column(Integer, default=3)
    lease_owner: Mapped[str | None] = mapped_column(BoundedText(128))
    lease_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    heartbeat_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    queued_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    started_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    duration: Mapped[float | None] = mapped_column(Float(53))  # [s]
    not_before: Mapped[datetime | None] = mapped_column(UtcDateTime)  # back-off before the next try
    error_type: Mapped[str | None] = mapped_column(BoundedText(64))
    error_message: Mapped[str | None] = mapped_column(Text)
    peak_mb: Mapped[float | None] = mapped_column(Float(53))  # largest memory of one process [MiB]
    # {"01": {"phase": "combine", "fraction": 0.4}, ...}: progress by part while it runs
    progress: Mapped[dict[str, Any]] = mapped_column(JsonDoc, default=dict, deferred=True, sort_order=99)


class Block(SetupColumns, LeaseColumns, Base):
    """One execution of one recipe on one group of raw frames (an association block)."""

    __tablename__ = "blocks"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    name: Mapped[str] = mapped_column(BoundedText(160), unique=True)  # first raw file + grouping tag
    group_key: Mapped[str] = mapped_column(BoundedText(200))  # TPL.START + tag + set-up: the same over re-plans
    recipe: Mapped[str] = mapped_column(BoundedText(64))
    recipe_version: Mapped[str] = mapped_column(BoundedText(32))
    instrument: Mapped[str] = mapped_column(BoundedText(16), default="", server_default="")
    tag: Mapped[str] = mapped_column(BoundedText(32))  # raw tag
    night: Mapped[date] = mapped_column(Date)
    mjd_mid: Mapped[float] = mapped_column(Float(53))
    n_raw: Mapped[int] = mapped_column(Integer)
    unit_mask: Mapped[int] = mapped_column(Integer)

    plan_signature: Mapped[str] = mapped_column(BoundedText(64))  # as planned: decides whether a new plan differs
    signature: Mapped[str | None] = mapped_column(BoundedText(64))  # of the work: inputs, parameters, versions
    # form of the two signatures, see `core.cascade.signature.SCHEME`
    signature_scheme: Mapped[int] = mapped_column(SmallInteger, default=SCHEME, server_default="1")
    rules_hash: Mapped[str] = mapped_column(BoundedText(64))  # of the rules that decided
    plan_version: Mapped[int] = mapped_column(Integer, default=1)
    superseded_by_id: Mapped[int | None] = mapped_column(ForeignKey("blocks.id"))
    priority: Mapped[int] = mapped_column(Integer, default=0)  # higher goes first
    cancel_requested: Mapped[bool] = mapped_column(Boolean, default=False)
    # it was done and is run again for products that expired; see `core.archive.remaking`
    remaking: Mapped[bool] = mapped_column(Boolean, default=False, server_default=false())
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=DatabaseClock())

    log_path: Mapped[str | None] = mapped_column(Text)
    work_name: Mapped[str | None] = mapped_column(BoundedText(255))  # shared work directory, while its parts are done
    score: Mapped[int | None] = mapped_column(SmallInteger)  # 0 good, 1 outlier, null not scored
    n_outliers: Mapped[int] = mapped_column(Integer, default=0)  # scores of value 1
    # whether so many of its values are outliers that its night is bad; see `core.archive.scoring`
    grave_outliers: Mapped[bool] = mapped_column(Boolean, default=False, server_default=false())
    # units without products in a block that is done: those that failed, those that there was nothing to reduce (with)
    failed_unit_mask: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    skipped_unit_mask: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    # made with a calibration that has outliers, was rejected, or is doubtful itself; see `core.archive.verdicts`
    doubtful: Mapped[bool] = mapped_column(Boolean, default=False, server_default=false())
    notes: Mapped[str] = mapped_column(Text, default="")  # what a reader should know, of the plan
    parameters: Mapped[dict[str, Any]] = mapped_column(JsonDoc, default=dict)  # those that differ from defaults
    # [{"unit": 7, "failed": true, "error_type": "tracing", "message": "..."}, ...]: why, for each bit of the two masks
    lost_units: Mapped[list[dict[str, Any]]] = mapped_column(JsonDoc, default=list, server_default="[]")
    # [{"name": "bias0-01", "title": ..., "caption": ..., "unit": 1, "path": ...}, ...]: PNG files beside the products
    plots: Mapped[list[dict[str, Any]]] = mapped_column(JsonDoc, default=list, deferred=True, sort_order=100)

    inputs: Mapped[list[BlockInput]] = relationship(
        back_populates="block",
        foreign_keys="BlockInput.block_id",
        cascade="all, delete-orphan",
        order_by="BlockInput.position",
    )
    products: Mapped[list[Product]] = relationship(back_populates="block", order_by="Product.id")
    parts: Mapped[list[BlockPart]] = relationship(
        back_populates="block", cascade="all, delete-orphan", passive_deletes=True, order_by="BlockPart.position"
    )

    __table_args__ = (
        Index(
            "ix_blocks_night_verdict",
            "night",
            "state",
            "score",
            "grave_outliers",
            "failed_unit_mask",
            "skipped_unit_mask",
            "doubtful",
        ),
        Index(None, "state", "priority", "mjd_mid"),
        Index(None, "group_key", "plan_version"),
        Index(None, "recipe", "mjd_mid"),
        Index(None, "recipe", "state", "mode", "mjd_mid"),  # modes of a recipe without their blocks
        Index(None, "finished_at"),
        Index(None, "signature_scheme"),
        # Few blocks ever have failed units, and the first page asks for the last of them.
        Index(
            "ix_blocks_failed_units",
            "state",
            "mjd_mid",
            sqlite_where=text("failed_unit_mask <> 0"),
            postgresql_where=text("failed_unit_mask <> 0"),
        ),
        # The same work is never DONE twice, whatever the workers believe.
        Index(
            "uq_blocks_signature_done",
            "signature",
            unique=True,
            sqlite_where=text("state = 'done'"),
            postgresql_where=text("state = 'done'"),
        ),
    )

    @property
    def units(self) -> tuple[int, ...]:
        """Units that the block reduces."""
        return units_of_mask(self.unit_mask)

    @property
    def failed_units(self) -> tuple[int, ...]:
        """Units that failed, of a block that is done."""
        return units_of_mask(self.failed_unit_mask) if self.state is BlockState.DONE else ()

    @property
    def skipped_units(self) -> tuple[int, ...]:
        """Units that a block that is done left out: detector off, or no calibration."""
        return units_of_mask(self.skipped_unit_mask) if self.state is BlockState.DONE else ()


class BlockPart(LeaseColumns, Base):
    """A part of a block that is leased by itself: a slab of wavelength, or the last step, which waits for the others.

    Only blocks of recipes whose parts are leased one by one have such rows, from the end of the preparation on.
    """

    __tablename__ = "block_parts"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    block_id: Mapped[int] = mapped_column(ForeignKey("blocks.id", ondelete="CASCADE"))
    key: Mapped[str] = mapped_column(BoundedText(32))  # slab-012
    label: Mapped[str] = mapped_column(BoundedText(64))  # 5850-5950 Angstrom
    position: Mapped[int] = mapped_column(Integer)
    required: Mapped[bool] = mapped_column(Boolean, default=True)  # without it the block fails

    block: Mapped[Block] = relationship(back_populates="parts")

    __table_args__ = (UniqueConstraint("block_id", "key"), Index(None, "state"))


# What a block made counts also while it is made again.
WORK_IS_DONE: Final = or_(Block.state == BlockState.DONE, Block.remaking)

# Written with a literal number: only so do the databases see that the index of the few blocks concerned serves it.
HAS_FAILED_UNITS: Final = Block.failed_unit_mask != literal_column("0")


class BlockInput(Base):
    """One input of a block: a raw frame, or the calibration of one role with the reason of its choice.

    A calibration made by a block (kinds ``product`` and ``planned``) is named by ``source_block_id`` and its
    tag ``role``; the files are the products of that block with that tag (one per unit, or one merged).
    ``product_id`` is set when one single file was chosen.
    """

    __tablename__ = "block_inputs"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    block_id: Mapped[int] = mapped_column(ForeignKey("blocks.id", ondelete="CASCADE"))
    position: Mapped[int] = mapped_column(Integer, default=0)
    role: Mapped[str] = mapped_column(BoundedText(32))  # tag in the set-of-frames
    kind: Mapped[InputKind] = mapped_column(enum_type(InputKind))
    required: Mapped[bool] = mapped_column(Boolean, default=True)
    frame_id: Mapped[int | None] = mapped_column(ForeignKey("frames.id"))
    product_id: Mapped[int | None] = mapped_column(ForeignKey("products.id"))
    source_block_id: Mapped[int | None] = mapped_column(ForeignKey("blocks.id"))
    static_path: Mapped[str | None] = mapped_column(Text)
    # What was signed: the edition of a frame, the hash of a file from outside; null in blocks of signature scheme 1
    content: Mapped[str | None] = mapped_column(BoundedText(64))
    level: Mapped[int | None] = mapped_column(SmallInteger)  # quality level of the match, 0 is best
    age_days: Mapped[float | None] = mapped_column(Float(53))  # calibration minus block, mid-exposure [d]
    rule: Mapped[str] = mapped_column(BoundedText(64), default="")
    reason: Mapped[str] = mapped_column(Text, default="")
    refused: Mapped[list[dict[str, Any]]] = mapped_column(JsonDoc, default=list, deferred=True, sort_order=99)

    block: Mapped[Block] = relationship(back_populates="inputs", foreign_keys=[block_id])
    frame: Mapped[Frame | None] = relationship()
    product: Mapped[Product | None] = relationship()
    source_block: Mapped[Block | None] = relationship(foreign_keys=[source_block_id])

    __table_args__ = (
        Index(None, "block_id", "position"),
        Index(None, "frame_id"),
        Index(None, "product_id"),
        Index(None, "source_block_id"),
        CheckConstraint("kind <> 'raw' OR frame_id IS NOT NULL", name="raw_has_frame"),
        CheckConstraint(
            "kind <> 'product' OR product_id IS NOT NULL OR source_block_id IS NOT NULL",
            name="product_has_source",
        ),
        CheckConstraint("kind <> 'planned' OR source_block_id IS NOT NULL", name="planned_has_block"),
        CheckConstraint("kind <> 'static' OR static_path IS NOT NULL", name="static_has_path"),
    )


class Product(SetupColumns, Base):
    """One product file."""

    __tablename__ = "products"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    block_id: Mapped[int | None] = mapped_column(ForeignKey("blocks.id"))  # null: came from outside
    instrument: Mapped[str] = mapped_column(BoundedText(16), default="", server_default="")
    tag: Mapped[str] = mapped_column(BoundedText(32))  # PRO.CATG
    unit: Mapped[int | None] = mapped_column(SmallInteger)  # null: merged, or of the whole instrument
    file_name: Mapped[str] = mapped_column(BoundedText(255))
    path: Mapped[str] = mapped_column(Text, unique=True)
    size: Mapped[int] = mapped_column(BigInteger)  # [byte]
    sha256: Mapped[str] = mapped_column(BoundedText(64))
    datamd5: Mapped[str | None] = mapped_column(BoundedText(32))  # DATAMD5 of the header
    night: Mapped[date] = mapped_column(Date)
    mjd_obs: Mapped[float] = mapped_column(Float(53))
    mjd_mid: Mapped[float] = mapped_column(Float(53))
    state: Mapped[ProductState] = mapped_column(enum_type(ProductState), default=ProductState.PROVISIONAL)
    judge: Mapped[str | None] = mapped_column(BoundedText(128))  # who certified or rejected it; null: nobody
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=DatabaseClock())
    # when the file was removed, as intermediates are after a while; null: it is kept
    expired_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    header: Mapped[dict[str, Any]] = mapped_column(
        JsonDoc, deferred=True, sort_order=99
    )  # primary keywords, dot notation

    block: Mapped[Block | None] = relationship(back_populates="products")

    __table_args__ = (
        Index(None, "block_id", "tag", "unit"),
        Index(None, "tag", "mjd_mid"),
        Index(None, "night", "tag"),
        Index(None, "file_name"),
        Index(None, "created_at"),
        Index(None, "sha256"),
        # The intermediates that still have files are few among those of years.
        Index(
            "ix_products_kept",
            "tag",
            "created_at",
            sqlite_where=text("expired_at IS NULL"),
            postgresql_where=text("expired_at IS NULL"),
        ),
    )


class OutsideFile(Base):
    """What ingest knows of a product that came from outside: a file of an archive directory, like a frame."""

    __tablename__ = "outside_files"

    product_id: Mapped[int] = mapped_column(ForeignKey("products.id", ondelete="CASCADE"), primary_key=True)
    mtime: Mapped[float] = mapped_column(Float(53))  # [s since 1970]
    state: Mapped[FrameState] = mapped_column(enum_type(FrameState), default=FrameState.PRESENT)
    static: Mapped[bool] = mapped_column(Boolean)  # chosen by its validity, not by the time of its data
    # Files of one set were made together, one per unit, and are taken together.
    set_name: Mapped[str] = mapped_column(Text)
    unit_mask: Mapped[int] = mapped_column(Integer, default=0)  # units in the file; 0: of the whole instrument

    product: Mapped[Product] = relationship()

    __table_args__ = (Index(None, "set_name"), Index(None, "static", "state"))

    @property
    def units(self) -> tuple[int, ...]:
        """Numbers of the units in the file."""
        return units_of_mask(self.unit_mask)


class Qc1Parameter(Base):
    """Definition of one QC1 parameter: one column of one QC1 table."""

    __tablename__ = "qc1_parameters"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    table_name: Mapped[str] = mapped_column(BoundedText(64))  # muse_bias
    column_name: Mapped[str] = mapped_column(BoundedText(64))  # master_ron
    keyword: Mapped[str] = mapped_column(BoundedText(64))  # QC.BIAS.MASTERn.RON
    unit: Mapped[str] = mapped_column(BoundedText(32), default="")
    qc_class: Mapped[str] = mapped_column(BoundedText(8))  # KPI, HC, CAL, ENG
    value_type: Mapped[str] = mapped_column(BoundedText(8))  # float, int, str
    axes: Mapped[str] = mapped_column(BoundedText(64), default="")  # what it is split by: "unit,quadrant"
    description: Mapped[str] = mapped_column(Text, default="")

    __table_args__ = (UniqueConstraint("table_name", "column_name"),)


class PositionColumns:
    """Where something was measured, see `core.qc1.axes`; null where a parameter is not split by it."""

    unit: Mapped[int | None] = mapped_column(SmallInteger)
    quadrant: Mapped[int | None] = mapped_column(SmallInteger)
    slice: Mapped[int | None] = mapped_column(SmallInteger)
    lamp: Mapped[int | None] = mapped_column(SmallInteger)
    exposure: Mapped[int | None] = mapped_column(SmallInteger)
    item: Mapped[int | None] = mapped_column(SmallInteger)


class Qc1Value(PositionColumns, Base):
    """One measured value of a QC1 parameter. Rows are hidden, never deleted, by persons."""

    __tablename__ = "qc1_values"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    parameter_id: Mapped[int] = mapped_column(ForeignKey("qc1_parameters.id"))
    block_id: Mapped[int] = mapped_column(ForeignKey("blocks.id"))
    product_id: Mapped[int | None] = mapped_column(ForeignKey("products.id"))
    mjd_obs: Mapped[float] = mapped_column(Float(53))
    value: Mapped[float] = mapped_column(Float(53))
    mode: Mapped[str | None] = mapped_column(BoundedText(32))
    readout: Mapped[str | None] = mapped_column(BoundedText(32))
    hidden: Mapped[bool] = mapped_column(Boolean, default=False)

    __table_args__ = (
        # Covers a trend: ten years of all units are read from the index alone, in order.
        Index(
            "ix_qc1_values_trend",
            "parameter_id",
            "mjd_obs",
            "hidden",
            *Position._fields,
            "value",
            "block_id",
            "product_id",
            "mode",
        ),
        Index(None, "block_id", "parameter_id"),
        Index(None, "product_id"),
    )


class Qc1Text(PositionColumns, Base):
    """One text of a QC1 parameter, such as the name of a star; it has no trend and no score."""

    __tablename__ = "qc1_texts"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    parameter_id: Mapped[int] = mapped_column(ForeignKey("qc1_parameters.id"))
    block_id: Mapped[int] = mapped_column(ForeignKey("blocks.id"))
    product_id: Mapped[int | None] = mapped_column(ForeignKey("products.id"))
    mjd_obs: Mapped[float] = mapped_column(Float(53))
    text: Mapped[str] = mapped_column(Text)
    mode: Mapped[str | None] = mapped_column(BoundedText(32))
    hidden: Mapped[bool] = mapped_column(Boolean, default=False)

    __table_args__ = (
        Index(None, "parameter_id", "mjd_obs"),
        Index(None, "block_id", "parameter_id"),
        Index(None, "product_id"),
    )


class Score(PositionColumns, Base):
    """The verdict of one score rule on one value."""

    __tablename__ = "scores"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    block_id: Mapped[int] = mapped_column(ForeignKey("blocks.id", ondelete="CASCADE"))
    product_id: Mapped[int | None] = mapped_column(ForeignKey("products.id"))
    parameter_id: Mapped[int] = mapped_column(ForeignKey("qc1_parameters.id"))
    value: Mapped[float | None] = mapped_column(Float(53))  # null: not a finite number
    rule: Mapped[str] = mapped_column(BoundedText(64))
    rules_version: Mapped[str] = mapped_column(BoundedText(16), default="")
    low: Mapped[float | None] = mapped_column(Float(53))
    high: Mapped[float | None] = mapped_column(Float(53))
    score: Mapped[int | None] = mapped_column(SmallInteger)  # 0 good, 1 outlier, null not scored
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=DatabaseClock())

    __table_args__ = (
        Index(None, "block_id", "parameter_id"),
        Index(None, "parameter_id", "created_at"),
        Index(None, "score", "created_at"),
        Index(None, "product_id"),
    )


class DueVerdict(Base):
    """A block that is done and to be judged again, since something that its verdict rests on has changed."""

    __tablename__ = "due_verdicts"

    block_id: Mapped[int] = mapped_column(BigId, ForeignKey("blocks.id", ondelete="CASCADE"), primary_key=True)


class Event(Base):
    """Something that happened to something: every change of state, and what persons do."""

    __tablename__ = "events"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    time: Mapped[datetime] = mapped_column(UtcDateTime, default=DatabaseClock())
    kind: Mapped[str] = mapped_column(BoundedText(32))  # block, product, frame, quarantine, worker
    subject: Mapped[str] = mapped_column(BoundedText(255))  # name of the thing
    from_state: Mapped[str | None] = mapped_column(BoundedText(16))
    to_state: Mapped[str | None] = mapped_column(BoundedText(16))
    actor: Mapped[str] = mapped_column(BoundedText(128))  # daemon or person
    text: Mapped[str] = mapped_column(Text, default="")

    __table_args__ = (Index(None, "kind", "subject", "time"), Index(None, "time"))


class QuarantinedFile(Base):
    """A file that could not be ingested, with the reason."""

    __tablename__ = "quarantine"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    path: Mapped[str] = mapped_column(Text, unique=True)
    file_name: Mapped[str] = mapped_column(BoundedText(255))
    size: Mapped[int | None] = mapped_column(BigInteger)  # null: not even stat works
    mtime: Mapped[float | None] = mapped_column(Float(53))
    reason: Mapped[QuarantineReason] = mapped_column(enum_type(QuarantineReason))
    text: Mapped[str] = mapped_column(Text)
    night: Mapped[date | None] = mapped_column(Date)  # null: neither header nor name tell a date
    first_seen: Mapped[datetime] = mapped_column(UtcDateTime, default=DatabaseClock())
    last_seen: Mapped[datetime] = mapped_column(UtcDateTime, default=DatabaseClock())
    tries: Mapped[int] = mapped_column(Integer, default=1)
    state: Mapped[QuarantineState] = mapped_column(enum_type(QuarantineState), default=QuarantineState.HELD)

    __table_args__ = (Index(None, "state", "last_seen"), Index(None, "night", "state"))


class PlanRequest(Base):
    """What a person wants done otherwise than usual in a night; no row: nothing."""

    __tablename__ = "plan_requests"

    night: Mapped[date] = mapped_column(Date, primary_key=True)
    with_recipes: Mapped[list[str]] = mapped_column(JsonDoc, default=list)
    with_inputs: Mapped[list[str]] = mapped_column(JsonDoc, default=list)
    older_only: Mapped[bool] = mapped_column(Boolean, default=False)


class WorkerHeartbeat(Base):
    """The last sign of life of a daemon."""

    __tablename__ = "workers"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    name: Mapped[str] = mapped_column(BoundedText(128), unique=True)
    kind: Mapped[WorkerKind] = mapped_column(enum_type(WorkerKind))
    host: Mapped[str] = mapped_column(BoundedText(128))
    pid: Mapped[int] = mapped_column(Integer)
    started_at: Mapped[datetime] = mapped_column(UtcDateTime, default=DatabaseClock())
    last_seen: Mapped[datetime] = mapped_column(UtcDateTime, default=DatabaseClock())
    stopped_at: Mapped[datetime | None] = mapped_column(UtcDateTime)  # set by an orderly stop
    doing: Mapped[str] = mapped_column(Text, default="")
    clock_offset: Mapped[float | None] = mapped_column(Float)  # by how much its host is ahead of the database [s]
