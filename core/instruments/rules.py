"""What a calibration plan is: which frames and products start which recipe, and what serves them.

A *task* is a recipe with what starts it: raw frames of a tag, or products of a tag that earlier tasks make, grouped by
template, exposure or observation; and with what it takes besides. A *raw source* says what a template of raw frames
must hold. A *master source* says by which keys an input must match the data and how far in time (and temperature) it
may be: ``windows`` are (days, level) pairs, the first that holds gives the level, 0 is the calibration plan, 1 extended
validity, 2 the last resort. An input may be a calibration product, a static calibration or a raw frame.

The tables are data: a hash of those that decided is stored with every decision (`core.cascade.signature`). How many of
a tag a recipe takes and what it makes is declared by the recipe; `core.cascade.derive` completes the tasks with it.
The plan of an instrument is part of its declaration (`core.instruments`), where it stands on one screen.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any, Final

from core.instruments.setup import Setup, SetupSpec, UnitSpec

__all__ = [
    "CLOSEST",
    "OBSERVATION_KEY",
    "OB_KEY",
    "UNITS_KEY",
    "GroupBy",
    "InputRule",
    "MasterSource",
    "Policy",
    "RawSource",
    "Rules",
    "Setting",
    "Task",
]

UNITS_KEY: Final = "units"  # match key of any instrument: the calibration has the units of the data
OBSERVATION_KEY: Final = "observation"  # match key: made from the same observation block and target, of the same night
OB_KEY: Final = "ob"  # match key: made from the same observation block of the same night, whatever it looked at
CLOSEST: Final = "closest"  # the policy that every plan has: of the best level, what is closest in time


class GroupBy(StrEnum):
    """What one execution of a recipe takes together; always of one set-up."""

    TEMPLATE = "template"  # all frames of a template start
    EXPOSURE = "exposure"  # each frame, or each product, alone
    OBSERVATION = "observation"  # all of an observation block and target in a night


@dataclass(frozen=True)
class RawSource:
    """A tag of raw frames that start a task; ``lamps``: each must shine in at least one frame of a block."""

    tag: str
    lamps: tuple[str, ...] = ()


@dataclass(frozen=True)
class MasterSource:
    """An input of tasks: a calibration product or raw frame (``windows``), or a static calibration (without).

    Attributes
    ----------
    tag : str
        Of the products or raw frames.
    rule : str
        Name of the rule in reasons.
    match : tuple of str
        Set-up keys that must agree, `UNITS_KEY`, `OBSERVATION_KEY`, `OB_KEY`.
    windows : tuple of (float, int)
        (days, level) pairs, ascending; none for static calibrations, of which validity dates decide.
    near : float
        Of candidates whose distances in time differ by less than this, the better one is taken [d].
    kelvins : tuple of (float, int)
        (difference of ambient temperature, level) pairs, ascending; none if temperature does not matter.
    of_field : bool
        It says something of the field, the air or the telescope: it serves data of any units, whatever units it was
        measured with.
    made_by : str
        The recipe that makes it; what other recipes make under the same tag is something else. Any, if empty.
    standard : bool
        Only standard solutions are taken; see `Policy`.
    """

    tag: str
    rule: str
    match: tuple[str, ...] = ()
    windows: tuple[tuple[float, int], ...] = ()
    near: float = 0.25
    kelvins: tuple[tuple[float, int], ...] = ()
    of_field: bool = False
    made_by: str = ""
    standard: bool = False

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
    """What a task takes of a tag besides what starts it.

    Attributes
    ----------
    minimum, maximum : int
        Fewest that it needs and most that it takes; from the recipe's declaration.
    asked : bool
        Only if somebody requests the tag.
    needed : bool
        The plan demands one although the recipe could do without.
    several : bool
        As many as the recipe takes, not the best one only.
    windows : tuple of (float, int)
        Instead of those of the master source, if given.
    only : tuple of (str, tuple of str)
        Set-up keys, and the values of data that it is taken for; for data of any set-up, if there are none.
    standard : bool
        Only standard solutions are taken; set by the `Policy`.
    """

    tag: str
    minimum: int = 1
    maximum: int = 1
    asked: bool = False
    needed: bool = False
    several: bool = False
    windows: tuple[tuple[float, int], ...] = ()
    only: tuple[tuple[str, tuple[str, ...]], ...] = ()
    standard: bool = False

    def serves(self, setup: Setup) -> bool:
        """Whether it is taken for data of a set-up."""
        return all(setup.get(key) in values for key, values in self.only)


@dataclass(frozen=True)
class Setting:
    """A parameter that the plan sets otherwise than the recipe's default, unless a person sets it; and why."""

    parameter: str
    value: bool | int | float | str
    why: str


@dataclass(frozen=True)
class Task:
    """One recipe: the tag that starts it, its inputs, its products.

    Attributes
    ----------
    main : str
        Tag of the raw frames or products that start it.
    products : tuple of str
        What it makes: all that the recipe declares, unless some is named, as one recipe may serve several tasks.
    minimum : int
        Fewest of ``main``; from the recipe's declaration.
    pictured : tuple of (str, str)
        (parameter, product) pairs: the parameter is switched on so that the pictures of the block can be drawn from the
        product, which is not kept (unless a person sets the parameter).
    settings : tuple of Setting
    asked : bool
        Only if somebody requests the recipe.
    name : str
        Begins the names of its blocks; that of the recipe if not given. Tasks of one recipe have names of their own.
    together : bool
        Of products that there are at least ``minimum`` of, usable or not: one exposure alone needs no combination.
    """

    recipe: str
    main: str
    inputs: tuple[InputRule, ...] = ()
    products: tuple[str, ...] = ()
    pictured: tuple[tuple[str, str], ...] = ()
    settings: tuple[Setting, ...] = ()
    asked: bool = False
    group_by: GroupBy = GroupBy.TEMPLATE
    minimum: int = 1
    name: str = ""
    together: bool = False

    @property
    def prefix(self) -> str:
        """What the names of its blocks begin with."""
        return self.name or self.recipe


@dataclass(frozen=True)
class Policy:
    """Another way to choose calibrations than what is `CLOSEST`: by standard solutions, which may be old.

    A standard solution is a calibration that somebody stands for: certified by a person, delivered from outside, or
    static. It was there before the data were taken, so that nothing is waited for; the newest is taken.

    Attributes
    ----------
    name : str
        As the setting names it.
    why : str
    starts : tuple of str
        Tags that start the tasks that it holds for; all others choose what is closest.
    windows : tuple of (str, windows)
        Tags of the inputs that it holds for, with (days, level) pairs: how old a solution may be.
    """

    name: str
    why: str
    starts: tuple[str, ...]
    windows: tuple[tuple[str, tuple[tuple[float, int], ...]], ...]

    def applied(self, task: Task) -> Task:
        """A task that chooses by this policy."""
        if task.main not in self.starts:
            return task
        of_tag = dict(self.windows)
        inputs = (
            replace(role, windows=of_tag[role.tag], standard=True) if role.tag in of_tag else role
            for role in task.inputs
        )
        return replace(task, inputs=tuple(inputs))


@dataclass(frozen=True)
class Rules:
    """All tables together; ``tasks`` are in cascade order (a task uses only what earlier ones make).

    Attributes
    ----------
    setup, units
        Those of the instrument: what match keys mean, and the words of reasons.
    pairs : tuple of (str, str)
        Tags of calibrations that were made together and must be used together, by one block or one after the other.

    Raises
    ------
    ValueError
        If a match key is none of the set-up, an input has no source, or two tasks have one name.
    """

    setup: SetupSpec
    units: UnitSpec
    raws: tuple[RawSource, ...]
    masters: tuple[MasterSource, ...]
    tasks: tuple[Task, ...]
    without_task: tuple[tuple[str, str], ...] = ()  # raw tag, why no block is made from it
    pairs: tuple[tuple[str, str], ...] = ()
    policies: tuple[Policy, ...] = ()  # besides CLOSEST
    _hash: dict[str, str] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        known = {*self.setup.names, UNITS_KEY, OBSERVATION_KEY, OB_KEY}
        for source in self.masters:
            for key in source.match:
                if key not in known:
                    name = self.setup.instrument
                    raise ValueError(f"{source.tag} is matched by {key}, which is no set-up key of {name}")
        sources = {source.tag for source in self.masters}
        names: set[str] = set()
        for task in self.tasks:
            if task.prefix in names:
                raise ValueError(f"two tasks are called {task.prefix}: give one of them a name")
            names.add(task.prefix)
            for role in task.inputs:
                if role.tag not in sources:
                    raise ValueError(f"{task.prefix} takes {role.tag}, of which no master source says what fits")

    @property
    def version(self) -> str:
        """Hash of all tables with their words, 12 hex digits: for people; no decision depends on it."""
        if "v" not in self._hash:
            tables: tuple[RawSource | MasterSource | Task, ...] = (*self.raws, *self.masters, *self.tasks)
            content = json.dumps([[asdict(table) for table in tables], self.without_task, self.pairs])
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

    def under(self, policy: str) -> Rules:
        """The plan under a policy; as it is, if it has none of that name."""
        found = next((item for item in self.policies if item.name == policy), None)
        return self if found is None else replace(self, tasks=tuple(map(found.applied, self.tasks)), _hash={})

    def pictured(self, recipe: str) -> dict[str, str]:
        """Parameters switched on for the pictures of a recipe's blocks, to the products they make."""
        return dict(pair for task in self.tasks if task.recipe == recipe for pair in task.pictured)

    def settings(self, recipe: str) -> dict[str, Setting]:
        """What the plan sets for the blocks of a recipe, by parameter."""
        return {item.parameter: item for task in self.tasks if task.recipe == recipe for item in task.settings}

    def preset(self, recipe: str) -> dict[str, Any]:
        """Parameters of every block of a recipe, as far as they are not those of the recipe."""
        set_by_plan = {name: item.value for name, item in self.settings(recipe).items()}
        return {**dict.fromkeys(self.pictured(recipe), True), **set_by_plan}

    def task(self, recipe: str, tag: str) -> Task | None:
        """The task of a recipe that starts from a tag; None if there is none."""
        return next((task for task in self.tasks if (task.recipe, task.main) == (recipe, tag)), None)

    def raw(self, tag: str) -> RawSource | None:
        """Source of a raw tag; None if tasks start from products of that tag."""
        return next((source for source in self.raws if source.tag == tag), None)

    def master(self, tag: str) -> MasterSource:
        """Source of an input tag."""
        return next(source for source in self.masters if source.tag == tag)

    def source(self, role: InputRule) -> MasterSource:
        """Source of an input, with the windows of the task if it has its own."""
        found = self.master(role.tag)
        return replace(found, windows=role.windows, standard=role.standard) if role.windows else found

    def partners(self, tag: str) -> tuple[str, ...]:
        """Tags that calibrations of a tag belong to."""
        return tuple(a if b == tag else b for a, b in self.pairs if tag in (a, b))

    @property
    def input_tags(self) -> frozenset[str]:
        """Tags of all inputs of all tasks."""
        return frozenset(role.tag for task in self.tasks for role in task.inputs)
