"""What the cascade reasons about: frames, calibrations, blocks, and the reasons for each decision.

All of it is frozen and made of plain values, so that a plan can be compared, hashed, stored and sent over HTTP. Times
are modified Julian dates (UTC, days); nothing here reads a clock, a file or a database.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

from core.cascade.signature import product_identity
from core.instruments.setup import Setup

__all__ = [
    "BlockPlan",
    "BlockState",
    "FrameInfo",
    "InputChoice",
    "Missing",
    "NotProcessed",
    "Origin",
    "Plan",
    "ProductInfo",
    "Quality",
    "Refusal",
    "Request",
]


class Quality(IntEnum):
    """Trust in a product.

    A rejected one is never used. A doubtful one has outliers, or was made with something doubtful: it is used only if
    nothing better has the same level.
    """

    REJECTED = 0
    DOUBTFUL = 1
    PROVISIONAL = 2
    CERTIFIED = 3

    @property
    def word(self) -> str:
        """The name in lower case, as pages and reasons show it."""
        return self.name.lower()


class Origin(StrEnum):
    """Where a calibration comes from."""

    PRODUCT = "product"  # exists in the archive
    PLANNED = "planned"  # will be made by a block of the same plan
    STATIC = "static"  # delivered, valid between two dates
    FRAME = "frame"  # a raw frame


class BlockState(StrEnum):
    """State that the plan alone can know; the rest of a block's life is kept by the archive."""

    INCOMPLETE = "incomplete"
    WAITING = "waiting"
    READY = "ready"


@dataclass(frozen=True)
class FrameInfo:
    """One raw frame.

    Attributes
    ----------
    id : str
        Name that stays the same for ever, e.g. ``MUSE.2026-11-01T09:48:00.000``.
    tag : str
        Raw tag of the classification: ``BIAS``, ``DARK``, ``FLAT``, ``ARC``, ...
    mjd_mid : float
        Middle of the exposure [d].
    tpl_start : str
        ``TPL.START``; empty if the header has none (such a frame is alone in its group).
    tpl_nexp : int
        ``TPL.NEXP``, the number of exposures the template was to take; 0 if unknown.
    lamps : tuple of str
        Names of the lamps that shine.
    units : tuple of int
        Units in the file, ascending.
    night : str
        Night (date at noon before), passed through to the block.
    edition : int
        1 for the content that came first under this name, one more for each other content; part of the signature.
    obs, target : str
        Observation block and name of the target; empty if unknown.
    temperature : float or None
        Ambient temperature [deg C].
    """

    id: str
    tag: str
    setup: Setup
    mjd_mid: float
    tpl_start: str = ""
    tpl_nexp: int = 0
    lamps: tuple[str, ...] = ()
    units: tuple[int, ...] = ()
    night: str = ""
    edition: int = 1
    obs: str = ""
    target: str = ""
    temperature: float | None = None


@dataclass(frozen=True)
class ProductInfo:
    """One input of a block: a product that exists or is planned, a static calibration, or a raw frame.

    Attributes
    ----------
    id : str
        Name in the archive; for a planned one ``<block key>/<tag>``.
    tag : str
        ``PRO.CATG``.
    mjd : float
        Time of the data it was made from (middle of the exposures) [d]; unused for static ones.
    valid_from, valid_to : float
        Half-open validity of a static calibration [d].
    block, signature, recipe : str
        Key, signature and recipe of the block that made or will make it; empty for files from outside.
    digest : str
        Hash of the file; stands for the product in signatures if no block of ours made it.
    lost : tuple of int
        Those of ``units`` that its block could not make, ascending.
    version : str
        Of static calibrations: of two that are valid from the same time the one that sorts last is the newer.
    pair : str
        The same for calibrations that were made together and must be used together; empty if that is not known.
    group, night, tpl_start, obs, target : str
        Of the data it was made from; empty if unknown.
    temperature : float or None
        Ambient temperature of these data [deg C].
    doubt : str
        Why it is doubtful, if it is.
    expired : str
        Day on which its file was removed, if it is to be made again before it is used.
    unmade : str
        Why that failed the last time, if it did.
    pairs : tuple of (str, str)
        Tag and ``pair`` of the calibrations that it was made with, as far as they have partners.
    """

    id: str
    tag: str
    mjd: float = 0.0
    setup: Setup | None = None
    quality: Quality = Quality.PROVISIONAL
    origin: Origin = Origin.PRODUCT
    units: tuple[int, ...] = ()
    valid_from: float = float("-inf")
    valid_to: float = float("inf")
    block: str = ""
    signature: str = ""
    digest: str = ""
    lost: tuple[int, ...] = ()
    version: str = ""
    pair: str = ""
    group: str = ""
    night: str = ""
    tpl_start: str = ""
    obs: str = ""
    target: str = ""
    temperature: float | None = None
    pairs: tuple[tuple[str, str], ...] = ()
    doubt: str = ""
    expired: str = ""
    unmade: str = ""
    recipe: str = ""

    @classmethod
    def of_frame(cls, frame: FrameInfo) -> ProductInfo:
        """A raw frame as an input of blocks."""
        return cls(
            id=frame.id,
            tag=frame.tag,
            mjd=frame.mjd_mid,
            setup=frame.setup,
            origin=Origin.FRAME,
            units=frame.units,
            digest=f"{frame.id} {frame.edition}",
            night=frame.night,
            tpl_start=frame.tpl_start,
            obs=frame.obs,
            target=frame.target,
            temperature=frame.temperature,
        )

    @property
    def to_come(self) -> bool:
        """Whether its block must be done before it can be used: for the first time, or again."""
        return self.origin is Origin.PLANNED or bool(self.expired and not self.unmade)

    @property
    def identity(self) -> str:
        """What stands for the product in a signature: the same for a planned product and the one it becomes."""
        return product_identity(self.tag, self.signature, self.digest, self.id)


@dataclass(frozen=True)
class InputChoice:
    """The calibration chosen for one role of a block, and why."""

    role: str
    product: ProductInfo
    level: int
    days: float  # product minus block, mid-exposure [d]; 0 for static calibrations
    rule: str
    reason: str


@dataclass(frozen=True)
class Refusal:
    """A candidate that was not chosen: ``code`` for programs, ``reason`` for people."""

    role: str
    candidate: str
    code: str
    reason: str
    days: float | None = None


@dataclass(frozen=True)
class Missing:
    """What a block lacks; a block with one of these does not run."""

    role: str
    code: str
    reason: str


@dataclass(frozen=True)
class NotProcessed:
    """A frame that no block takes, and why."""

    frame: str
    tag: str
    reason: str


@dataclass(frozen=True)
class BlockPlan:
    """One recipe execution.

    Attributes
    ----------
    key : str
        Name that stays the same when frames are added or other calibrations are chosen.
    group : str
        Name of what it reduces, of which ``key`` is made.
    frames : tuple of str
        Raw frames that start it, by time; none if products do, which then come first among ``inputs``.
    editions : tuple of int
        Their editions.
    mjd : float
        Mean of the mid-exposure times [d].
    omitted : tuple of (role, int)
        Number of further candidates, all farther in time than those refused by name.
    signature : str
        Hash of what the block uses (`core.cascade.signature`); equal signatures give equal products.
    rules_version : str
        Hash of the rules that decided it.
    obs, target, temperature, pairs
        As of its products, see `ProductInfo`.
    """

    key: str
    group: str
    tag: str
    recipe: str
    setup: Setup
    night: str
    tpl_start: str
    mjd: float
    units: tuple[int, ...]
    frames: tuple[str, ...]
    editions: tuple[int, ...]
    inputs: tuple[InputChoice, ...]
    refusals: tuple[Refusal, ...]
    omitted: tuple[tuple[str, int], ...]
    missing: tuple[Missing, ...]
    notes: tuple[str, ...]
    products: tuple[str, ...]
    state: BlockState
    signature: str
    rules_version: str
    obs: str = ""
    target: str = ""
    temperature: float | None = None
    pairs: tuple[tuple[str, str], ...] = ()

    @property
    def planned_inputs(self) -> tuple[str, ...]:
        """Keys of the blocks that must be done first."""
        waiting = {c.product.block for c in self.inputs if c.product.to_come}
        return tuple(sorted(waiting))


@dataclass(frozen=True)
class Request:
    """What somebody wants done otherwise than usual.

    Attributes
    ----------
    with_recipes : frozenset of str
        Recipes to run that usually are not run, e.g. ``muse_lsf``.
    with_roles : frozenset of str
        Optional calibrations to use that are usually not used, e.g. ``MASTER_DARK``.
    older_only : bool
        Use only calibrations taken before the data (what could be done on that night is what is done).
    """

    with_recipes: frozenset[str] = frozenset()
    with_roles: frozenset[str] = frozenset()
    older_only: bool = False

    def __or__(self, other: Request) -> Request:
        """What either of two wants."""
        return Request(
            self.with_recipes | other.with_recipes,
            self.with_roles | other.with_roles,
            self.older_only or other.older_only,
        )


@dataclass(frozen=True)
class Plan:
    """Blocks in cascade order, and the frames that none of them takes; ``rules_version`` is that of all rules."""

    blocks: tuple[BlockPlan, ...]
    not_processed: tuple[NotProcessed, ...]
    rules_version: str
    _index: dict[str, BlockPlan] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        self._index.update({block.key: block for block in self.blocks})

    def block(self, key: str) -> BlockPlan:
        """Block of a key.

        Raises
        ------
        KeyError
            If the plan has no such block.
        """
        return self._index[key]
