"""What the REST interface returns, as pydantic models."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from core.archive.models import Block, BlockInput, BlockPart, Event, Frame, Product, Qc1Parameter, QuarantinedFile
from core.archive.pages.nights import NightSummary
from core.archive.pages.qc1_texts import LastText
from core.archive.qc1_summaries import Qc1Summary
from core.archive.states import (
    BlockState,
    FrameState,
    InputKind,
    ProductState,
    QuarantineReason,
    QuarantineState,
)
from core.archive.verdicts import Doubt
from core.cascade.model import Request
from core.instruments.setup import Setup
from service.web.words import QUARANTINE_CURES

__all__ = [
    "BlockDetail",
    "BlockInputOut",
    "BlockOut",
    "BlockPartOut",
    "BlockProgress",
    "BlockQc1",
    "DoubtOut",
    "EventOut",
    "FrameDetail",
    "FrameOut",
    "LastValueOut",
    "NightDetail",
    "NightOut",
    "Page",
    "PartProgress",
    "ProductDetail",
    "ProductOut",
    "Qc1ParameterOut",
    "Qc1TableOut",
    "QuarantinedOut",
]

T = TypeVar("T")
Key = TypeVar("Key")


class Page(BaseModel, Generic[T, Key]):
    """One page of a list; ask for the next with ``after=next``."""

    items: list[T]
    next: Key | None = Field(None, description="Key of the next page; null: this is the last")


class NightOut(BaseModel):
    """One night in numbers."""

    night: date = Field(description="Evening date; a night goes from noon to noon at Paranal, 16 to 16 UT")
    frames: int
    blocks: int
    done: int
    open: int
    outliers: int
    failed_units: int = Field(description="Blocks that are done except for units that failed")
    skipped_units: int = Field(description="Blocks that are done except for units that had to be left out")
    doubtful: int = Field(description="Blocks that were made with doubtful calibrations")
    held: int = Field(description="Files in quarantine")
    states: dict[BlockState, int]
    verdict: str = Field(description="good, warn, bad, run or none")

    @classmethod
    def of(cls, item: NightSummary) -> NightOut:
        """From a summary."""
        return cls(
            night=item.night,
            frames=item.frames,
            blocks=item.blocks,
            done=item.done,
            open=item.open,
            outliers=item.outliers,
            failed_units=item.failed_units,
            skipped_units=item.skipped_units,
            doubtful=item.doubtful,
            held=item.held,
            states=item.states,
            verdict=item.verdict,
        )


class SetupOut(BaseModel):
    """The keys that calibrations must share."""

    instrument: str
    mode: str = Field(description="What of it the filter by mode looks at")
    readout: str
    label: str = Field(description="All of it in short")
    values: dict[str, str] = Field(description="All keys that the instrument declares")

    @classmethod
    def of(cls, setup: Setup) -> SetupOut:
        """From the set-up of a row."""
        return cls(
            instrument=setup.instrument,
            mode=setup.mode,
            readout=setup.readout,
            label=setup.label,
            values=dict(setup.values),
        )


class FrameOut(BaseModel):
    """One raw frame."""

    id: int
    dp_id: str
    night: date
    date_obs: datetime
    mjd_obs: float
    exptime: float = Field(description="[s]")
    tag: str
    rule: str = Field(description="Classification rule that gave the tag")
    dpr_catg: str
    dpr_type: str
    dpr_tech: str | None
    lamps: str
    units: list[int]
    setup: SetupOut
    tpl_id: str | None
    tpl_start: datetime | None
    tpl_expno: int | None
    tpl_nexp: int | None
    ambient_temp: float | None = Field(description="[deg C]")
    size: int = Field(description="[byte]")
    state: FrameState
    state_reason: str = Field(description="Why it is not used: damage, or who excluded it and why; empty if it is")
    notes: str = Field(description="What a reader should know, of its header; empty if nothing")

    @classmethod
    def of(cls, row: Frame) -> FrameOut:
        """From a row."""
        return cls.model_validate(_fields(cls, row))


class FrameDetail(FrameOut):
    """One raw frame with its header and what was made from it."""

    path: str
    sha256: str | None
    header: dict[str, Any] = Field(description="Primary keywords in dot notation")
    blocks: list[str]
    products: list[int]

    @classmethod
    def of_all(cls, row: Frame, blocks: list[Block], products: list[Product]) -> FrameDetail:
        """From a row and its descendants."""
        extra = {"blocks": [block.name for block in blocks], "products": [product.id for product in products]}
        return cls.model_validate({**_fields(FrameOut, row), **_plain(row, "path", "sha256", "header"), **extra})


class QuarantinedOut(BaseModel):
    """A file that could not be ingested."""

    id: int
    file_name: str
    path: str
    night: date | None
    size: int | None
    reason: QuarantineReason
    text: str = Field(description="What is wrong")
    cure: str = Field(description="What to do")
    first_seen: datetime
    last_seen: datetime
    tries: int
    state: QuarantineState

    @classmethod
    def of(cls, row: QuarantinedFile) -> QuarantinedOut:
        """From a row."""
        return cls.model_validate({**_fields(cls, row, "cure"), "cure": QUARANTINE_CURES[row.reason]})


class BlockOut(BaseModel):
    """One block: one execution of one recipe."""

    id: int
    name: str
    night: date
    tag: str
    recipe: str
    recipe_version: str
    n_raw: int
    units: list[int]
    setup: SetupOut
    mjd_mid: float
    state: BlockState
    state_reason: str
    tries: int
    max_tries: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    duration: float | None = Field(description="[s]")
    peak_mb: float | None = Field(description="Largest memory of one process [MiB]")
    score: int | None = Field(description="0 good, 1 outlier, null not scored")
    n_outliers: int
    failed_units: list[int] = Field(description="Of a block that is done: units that failed and have no products")
    skipped_units: list[int] = Field(
        description="Of a block that is done: units left out (detector off or no calibration)"
    )
    doubtful: bool = Field(
        description="Made with a calibration that has outliers, was rejected, or is doubtful itself; a person who "
        "certifies that calibration takes the doubt away"
    )
    remaking: bool = Field(description="It was done, and runs again for products that expired")
    error_type: str | None
    error_message: str | None

    @classmethod
    def of(cls, row: Block) -> BlockOut:
        """From a row."""
        return cls.model_validate(_fields(cls, row))


class BlockInputOut(BaseModel):
    """One input with the reason of its choice and the candidates that were refused."""

    role: str
    kind: InputKind
    required: bool
    frame: str | None
    product: int | None
    source_block: str | None
    static_path: str | None
    level: int | None = Field(
        description="0 calibration plan, 1 extended validity, 2 last resort, 3 static calibration"
    )
    age_days: float | None = Field(description="Calibration minus block, mid-exposure [d]")
    rule: str
    reason: str
    refused: list[dict[str, Any]]

    @classmethod
    def of(cls, row: BlockInput) -> BlockInputOut:
        """From a row with everything loaded."""
        return cls(
            frame=row.frame.dp_id if row.frame else None,
            product=row.product_id,
            source_block=row.source_block.name if row.source_block else None,
            **_plain(row, "role", "kind", "required", "static_path", "level", "age_days", "rule", "reason", "refused"),
        )


class EventOut(BaseModel):
    """Something that happened."""

    time: datetime
    from_state: str | None
    to_state: str | None
    actor: str
    text: str

    @classmethod
    def of(cls, row: Event) -> EventOut:
        """From a row."""
        return cls.model_validate(_fields(cls, row))


class ProductOut(BaseModel):
    """One product file."""

    id: int
    tag: str = Field(description="PRO.CATG")
    unit: int | None = Field(description="null: merged, or of the whole instrument")
    file_name: str
    night: date
    mjd_obs: float
    mjd_mid: float
    size: int = Field(description="[byte]")
    sha256: str
    datamd5: str | None
    state: ProductState
    judge: str | None = Field(description="Who certified or rejected it: a person, or 'automatic'; null: nobody")
    created_at: datetime
    expired_at: datetime | None = Field(
        description="When the file of an intermediate product was removed; it is made again on demand; null: it is kept"
    )
    block_id: int | None
    setup: SetupOut

    @classmethod
    def of(cls, row: Product) -> ProductOut:
        """From a row."""
        return cls.model_validate(_fields(cls, row))


class ProductDetail(ProductOut):
    """One product with its extensions and what used it."""

    block: str | None
    extensions: list[dict[str, Any]]
    used_by: list[str]


class PartProgress(BaseModel):
    """How far a part of a block is: a unit, a slab of wavelength, a step before or after them."""

    label: str
    state: BlockState = Field(description="Of the block, unless its parts are leased one by one")
    phase: str = Field(description="What it does")
    fraction: float


class BlockProgress(BaseModel):
    """How far a block is."""

    name: str
    state: BlockState
    fraction: float = Field(description="Mean over the parts, 0 to 1")
    parts: dict[str, PartProgress] = Field(description="By key: number of the unit, or slab-012")
    elapsed: float | None = Field(description="[s]")
    expected: float | None = Field(description="Median of the last runs with as many units [s]")


class LostUnitOut(BaseModel):
    """A unit of a block that is done without it, and why."""

    unit: int
    failed: bool = Field(description="false: left out, as its detector was off or a calibration is missing")
    error_type: str
    message: str


class BlockPartOut(BaseModel):
    """A part of a block that is leased by itself."""

    key: str
    label: str
    state: BlockState
    state_reason: str
    tries: int
    lease_owner: str | None
    started_at: datetime | None
    duration: float | None = Field(description="[s]")
    peak_mb: float | None = Field(description="Largest memory of its process [MiB]")
    error_type: str | None
    error_message: str | None

    @classmethod
    def of(cls, row: BlockPart) -> BlockPartOut:
        """From a row."""
        return cls.model_validate(_fields(cls, row))


class DoubtOut(BaseModel):
    """A doubtful calibration that a block was made with."""

    role: str
    source_block: str | None
    reason: str

    @classmethod
    def of(cls, item: Doubt) -> DoubtOut:
        """From a doubt."""
        return cls(role=item.role, source_block=item.source and item.source.name, reason=item.reason)


class BlockDetail(BlockOut):
    """One block with everything that decided it."""

    lost_units: list[LostUnitOut] = Field(description="Why units have no products")
    doubts: list[DoubtOut] = Field(description="Why it is doubtful")
    parts: list[BlockPartOut] = Field(description="Of a block whose parts are leased one by one")
    memory_note: str = Field(description="If a process took more memory than the recipe is declared to need")
    parameters: dict[str, Any] = Field(description="Those that differ from the defaults")
    signature: str | None
    rules_hash: str
    plan_version: int
    inputs: list[BlockInputOut]
    explanation: list[str] = Field(description="Why these inputs, in sentences")
    products: list[ProductOut]
    events: list[EventOut]
    plots: list[str]


class PlanRequest(BaseModel):
    """What is wanted of a night otherwise than usual."""

    model_config = ConfigDict(extra="forbid")

    with_recipes: list[str] = Field([], max_length=100, description="Recipes on request to run, by name")
    with_inputs: list[str] = Field([], max_length=100, description="Inputs on request to take, by tag")
    older_only: bool = Field(False, description="Use only calibrations taken before the data")

    @classmethod
    def of(cls, request: Request) -> PlanRequest:
        """As REST says it."""
        return cls(
            with_recipes=sorted(request.with_recipes),
            with_inputs=sorted(request.with_roles),
            older_only=request.older_only,
        )


class BlockQc1(BaseModel):
    """Summary of one QC1 parameter of one block."""

    table: str
    column: str
    keyword: str
    unit: str
    qc_class: str
    number: int
    median: float
    low: float
    high: float
    score: int | None
    outliers: int
    limits: tuple[float | None, float | None]

    @classmethod
    def of(cls, parameter: Qc1Parameter, summary: Qc1Summary) -> BlockQc1:
        """From what is kept of a block."""
        return cls(
            table=parameter.table_name,
            column=parameter.column_name,
            keyword=parameter.keyword,
            unit=parameter.unit,
            qc_class=parameter.qc_class,
            number=summary.number,
            median=summary.median,
            low=summary.low,
            high=summary.high,
            score=summary.score,
            outliers=summary.outliers,
            limits=(summary.limit_low, summary.limit_high),
        )


class NightDetail(NightOut):
    """One night with its frames by type, blocks and quarantine."""

    frames_by_tag: dict[str, int]
    block_list: list[BlockOut]
    quarantine: list[QuarantinedOut]


class LastValueOut(BaseModel):
    """The newest values of a parameter, over all elements of one block."""

    mjd_obs: float
    median: float
    low: float
    high: float
    number: int
    score: int | None
    outliers: int


class Qc1ParameterOut(BaseModel):
    """Definition of a QC1 parameter: one column of one table."""

    column: str
    keyword: str
    unit: str
    qc_class: str
    value_type: str
    axes: list[str] = Field(
        description="What it is split by: unit, quadrant, slice, lamp, exposure, input, source, ..."
    )
    numbered: str | None = Field(description="Name in the QC1 database: master{quadrant}_median")
    description: str
    last: LastValueOut | None = None
    last_texts: list[str] = Field(default=[], description="Of a text: those of the newest block")

    @classmethod
    def of(
        cls, row: Qc1Parameter, numbered: str | None, last: Qc1Summary | None = None, texts: LastText | None = None
    ) -> Qc1ParameterOut:
        """From a row."""
        return cls(
            column=row.column_name,
            keyword=row.keyword,
            unit=row.unit,
            qc_class=row.qc_class,
            value_type=row.value_type,
            axes=[axis for axis in row.axes.split(",") if axis],
            numbered=numbered,
            description=row.description,
            last=None if last is None else LastValueOut.model_validate(last, from_attributes=True),
            last_texts=[] if texts is None else list(texts.texts),
        )


class Qc1TableOut(BaseModel):
    """One QC1 table."""

    table: str
    parameters: list[Qc1ParameterOut]


def _plain(row: Any, *names: str) -> dict[str, Any]:
    return {name: getattr(row, name) for name in names}


def _fields(model: type[BaseModel], row: Any, *others: str) -> dict[str, Any]:
    """Values of the row for all fields but others, which the row does not have."""
    values = {}
    for name in model.model_fields.keys() - set(others):
        value = SetupOut.of(row.setup) if name == "setup" else getattr(row, name)
        values[name] = list(value) if name == "units" else value
    return values
