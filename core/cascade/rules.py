"""The calibration plan on one screen: which raw frames make which master, and which master serves which frames.

A *raw source* says how raw frames are grouped into blocks. A *master source* says by which keys a master must match the
data and how far in time it may be: ``windows`` are (days, level) pairs, the first that holds gives the level, 0 is the
calibration plan, 1 extended validity, 2 the last resort. A *task* is a recipe with what it takes and makes. The tables
are data: `rules_version` is their hash and is stored with every decision.

Match keys follow the instrument's own association rules (read-out mode for everything made from CCD frames, filter
flag and field mode for trace and wavelength tables, the mode class for the master flat) and the fatal consistency
checks of the recipes; validity follows the calibration plan (bias, flat, arc daily; dark monthly).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

__all__ = ["RULES", "InputRule", "MasterSource", "RawSource", "Rules", "Task"]


@dataclass(frozen=True)
class RawSource:
    """Frames of one tag, one template start and one setup are one block."""

    tag: str
    minimum: int
    usual: int
    lamps: tuple[str, ...] = ()  # each must shine in at least one frame of the block


@dataclass(frozen=True)
class MasterSource:
    """A calibration product (``windows``) or a static calibration (no windows: chosen by its validity dates)."""

    tag: str
    rule: str
    match: tuple[str, ...] = ()
    windows: tuple[tuple[float, int], ...] = ()

    @property
    def static(self) -> bool:
        """Whether validity dates decide, not the distance in time."""
        return not self.windows

    @property
    def widest(self) -> float:
        """Largest distance in time that is accepted at all [d]."""
        return max(days for days, _ in self.windows)


@dataclass(frozen=True)
class InputRule:
    """How many calibrations of a tag a task takes; ``asked``: only if the options of the plan name the tag."""

    tag: str
    minimum: int = 1
    maximum: int = 1
    asked: bool = False


@dataclass(frozen=True)
class Task:
    """One recipe: the raw tag that starts it, its calibrations, its products.

    ``pictured`` are (parameter, product) pairs: the parameter is switched on so that the pictures of the block can be
    drawn from the product, which is not kept (unless a person sets the parameter).
    """

    recipe: str
    main: str
    inputs: tuple[InputRule, ...] = ()
    products: tuple[str, ...] = ()
    pictured: tuple[tuple[str, str], ...] = ()
    asked: bool = False  # only if the options of the plan name the recipe


@dataclass(frozen=True)
class Rules:
    """All tables together; ``tasks`` are in cascade order (a task uses only what earlier ones make)."""

    raws: tuple[RawSource, ...]
    masters: tuple[MasterSource, ...]
    tasks: tuple[Task, ...]
    without_task: tuple[tuple[str, str], ...] = ()  # raw tag, why no block is made from it
    # Of masters whose distances in time differ by less than this, the better one is taken [d].
    near: float = 0.25
    _hash: dict[str, str] = field(default_factory=dict, compare=False, repr=False)

    @property
    def version(self) -> str:
        """Hash of the tables, 12 hex digits."""
        if "v" not in self._hash:
            tables = (self.raws, self.masters, self.tasks, self.without_task, self.near)
            self._hash["v"] = hashlib.sha256(repr(tables).encode()).hexdigest()[:12]
        return self._hash["v"]

    def pictured(self, recipe: str) -> dict[str, str]:
        """Parameters switched on for the pictures of a recipe's blocks, to the products they make."""
        return dict(pair for task in self.tasks if task.recipe == recipe for pair in task.pictured)

    def raw(self, tag: str) -> RawSource:
        """Source of a raw tag."""
        return next(source for source in self.raws if source.tag == tag)

    def master(self, tag: str) -> MasterSource:
        """Source of a calibration tag."""
        return next(source for source in self.masters if source.tag == tag)


DAILY = ((1.5, 0), (7.0, 1), (30.0, 2))
MONTHLY = ((31.0, 0), (62.0, 1), (190.0, 2))
CCD = ("readout", "binning", "units")
OPTICS = (*CCD, "blue", "field")

RULES = Rules(
    raws=(
        #          tag        min  usual
        RawSource("BIAS", 3, 11),
        RawSource("DARK", 3, 5),
        RawSource("FLAT", 3, 11),
        RawSource("ARC", 3, 15, lamps=("Ne", "Xe", "HgCd")),
    ),
    masters=(
        #             tag              rule         match keys           windows
        MasterSource("MASTER_BIAS", "bias-1", CCD, DAILY),
        MasterSource("MASTER_DARK", "dark-1", CCD, MONTHLY),
        MasterSource("MASTER_FLAT", "flat-1", (*CCD, "ins_mode"), DAILY),
        MasterSource("TRACE_TABLE", "trace-1", OPTICS, DAILY),
        MasterSource("WAVECAL_TABLE", "wavecal-1", OPTICS, DAILY),
        MasterSource("BADPIX_TABLE", "badpix-1"),
        MasterSource("LINE_CATALOG", "lines-1"),
    ),
    tasks=(
        Task("muse_bias", "BIAS", (InputRule("BADPIX_TABLE", 0),), ("MASTER_BIAS",)),
        Task(
            "muse_dark",
            "DARK",
            (InputRule("MASTER_BIAS"), InputRule("BADPIX_TABLE", 0)),
            ("MASTER_DARK",),
        ),
        Task(
            "muse_flat",
            "FLAT",
            (InputRule("MASTER_BIAS"), InputRule("MASTER_DARK", 0, asked=True), InputRule("BADPIX_TABLE", 0)),
            ("MASTER_FLAT", "TRACE_TABLE"),
            pictured=(("samples", "TRACE_SAMPLES"),),
        ),
        Task(
            "muse_wavecal",
            "ARC",
            (
                InputRule("MASTER_BIAS"),
                InputRule("TRACE_TABLE"),
                InputRule("LINE_CATALOG"),
                InputRule("MASTER_DARK", 0, asked=True),
                InputRule("MASTER_FLAT", 0, asked=True),
                InputRule("BADPIX_TABLE", 0),
            ),
            ("WAVECAL_TABLE",),
            pictured=(("residuals", "WAVECAL_RESIDUALS"),),
        ),
        Task(
            "muse_lsf",
            "ARC",
            (
                InputRule("MASTER_BIAS"),
                InputRule("TRACE_TABLE"),
                InputRule("WAVECAL_TABLE"),
                InputRule("LINE_CATALOG"),
                InputRule("BADPIX_TABLE", 0),
            ),
            ("LSF_PROFILE",),
            asked=True,
        ),
    ),
    without_task=(
        ("ILLUM", "used together with on-sky frames, which are not reduced yet"),
        ("SKYFLAT", "muse_twilight is not part of the cascade yet"),
        ("STD", "muse_scibasic and muse_standard are not part of the cascade yet"),
        ("ASTROMETRY", "muse_scibasic and muse_astrometry are not part of the cascade yet"),
        ("OBJECT", "muse_scibasic and muse_scipost are not part of the cascade yet"),
        ("SKY", "muse_scibasic and muse_create_sky are not part of the cascade yet"),
        ("MASK", "muse_geometry is not part of the cascade yet"),
        ("MASK_CHECK", "muse_geometry is not part of the cascade yet"),
        ("ARC_LSF", "the long arc sequence for muse_lsf is not part of the cascade yet"),
    ),
)
