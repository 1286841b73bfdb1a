"""What a calibration plan is: which raw frames make which master, and which master serves which frames.

A *raw source* says how raw frames are grouped into blocks. A *master source* says by which keys a master must match the
data and how far in time it may be: ``windows`` are (days, level) pairs, the first that holds gives the level, 0 is the
calibration plan, 1 extended validity, 2 the last resort. A *task* is a recipe with what it takes and makes. The tables
are data: a hash of those that decided is stored with every decision (`core.cascade.signature`).

The plan of an instrument is part of its declaration (`core.instruments`), where it stands on one screen.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from dataclasses import asdict, dataclass, field, replace
from typing import Final

from core.instruments.setup import SetupSpec, UnitSpec

__all__ = ["UNITS_KEY", "InputRule", "MasterSource", "RawSource", "Rules", "Task"]

UNITS_KEY: Final = "units"  # match key of any instrument: the calibration has the units of the data


@dataclass(frozen=True)
class RawSource:
    """Frames of one tag, one template start and one setup are one block."""

    tag: str
    minimum: int
    lamps: tuple[str, ...] = ()  # each must shine in at least one frame of the block


@dataclass(frozen=True)
class MasterSource:
    """A calibration product (``windows``) or a static calibration (no windows: chosen by its validity dates).

    Attributes
    ----------
    rule : str
        Name of the rule in reasons.
    near : float
        Of candidates whose distances in time differ by less than this, the better one is taken [d].
    """

    tag: str
    rule: str
    match: tuple[str, ...] = ()
    windows: tuple[tuple[float, int], ...] = ()
    near: float = 0.25

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
    """All tables together; ``tasks`` are in cascade order (a task uses only what earlier ones make).

    ``setup`` and ``units`` are those of the instrument: what match keys mean, and the words of reasons.

    Raises
    ------
    ValueError
        If a match key is none of the set-up.
    """

    setup: SetupSpec
    units: UnitSpec
    raws: tuple[RawSource, ...]
    masters: tuple[MasterSource, ...]
    tasks: tuple[Task, ...]
    without_task: tuple[tuple[str, str], ...] = ()  # raw tag, why no block is made from it
    _hash: dict[str, str] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        known = {*self.setup.names, UNITS_KEY}
        for source in self.masters:
            for key in source.match:
                if key not in known:
                    name = self.setup.instrument
                    raise ValueError(f"{source.tag} is matched by {key}, which is no set-up key of {name}")

    @property
    def version(self) -> str:
        """Hash of all tables with their words, 12 hex digits: for people; no decision depends on it."""
        if "v" not in self._hash:
            tables: tuple[RawSource | MasterSource | Task, ...] = (*self.raws, *self.masters, *self.tasks)
            content = json.dumps([[asdict(table) for table in tables], self.without_task])
            self._hash["v"] = hashlib.sha256(content.encode()).hexdigest()[:12]
        return self._hash["v"]

    def installed(self, recipes: Collection[str]) -> Rules:
        """The plan as far as its recipes are installed; raw frames of the others are told as not processed."""
        lacking = [task for task in self.tasks if task.recipe not in recipes]
        if not lacking:
            return self
        reasons = tuple((task.main, f"the recipe {task.recipe} is not installed") for task in lacking)
        kept = tuple(task for task in self.tasks if task.recipe in recipes)
        return replace(self, tasks=kept, without_task=(*self.without_task, *reasons), _hash={})

    def pictured(self, recipe: str) -> dict[str, str]:
        """Parameters switched on for the pictures of a recipe's blocks, to the products they make."""
        return dict(pair for task in self.tasks if task.recipe == recipe for pair in task.pictured)

    def task(self, recipe: str, tag: str) -> Task | None:
        """The task of a recipe that starts from a tag; None if there is none."""
        return next((task for task in self.tasks if (task.recipe, task.main) == (recipe, tag)), None)

    def raw(self, tag: str) -> RawSource:
        """Source of a raw tag."""
        return next(source for source in self.raws if source.tag == tag)

    def master(self, tag: str) -> MasterSource:
        """Source of a calibration tag."""
        return next(source for source in self.masters if source.tag == tag)
