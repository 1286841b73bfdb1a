"""The catalogue of what is installed: recipes, their versions and parameters of a block, QC1 parameters.

Apart from the declarations, which name recipes without loading them: here they are loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from core.instruments.declaration import Instrument
from core.instruments.registry import instrument_of_recipe, instruments
from core.qc1.definitions import Definitions, Parameter, define
from core.recipes.declaration import ProductSpec, QcSpec
from core.recipes.registry import get_recipe, recipe_names

__all__ = [
    "block_parameters",
    "installed_recipes",
    "intermediates",
    "passing",
    "product_tags",
    "qc1_definitions",
    "raw_tags",
    "recipe_versions",
]


@cache
def installed_recipes() -> tuple[str, ...]:
    """Recipes of the cascade that this installation has."""
    names = dict.fromkeys(task.recipe for item in instruments() for task in item.plan.tasks)
    return tuple(name for name in names if name in recipe_names())


@cache
def raw_tags() -> tuple[str, ...]:
    """Tags that raw frames may have, in the order of their rules."""
    return tuple(dict.fromkeys(rule.tag for item in instruments() for rule in item.raw_rules))


@cache
def product_tags() -> tuple[str, ...]:
    """Tags that products may have: those that recipes make or take, and those of static calibrations."""
    made = (spec.tag for name in installed_recipes() for spec in get_recipe(name).products)
    taken = (spec.tag for name in installed_recipes() for spec in get_recipe(name).inputs if spec.kind == "calib")
    static = (
        tag
        for rules in (item.statics for item in instruments())
        for tag in (
            *(code.tag for code in rules.codes),
            *(entry.tag for entry in rules.declared),
            *(entry.tag for entry in rules.built),
        )
    )
    return tuple(dict.fromkeys((*made, *taken, *static)))


@cache
def intermediates() -> dict[str, tuple[str, ...]]:
    """Tags of the products that recipes declare as intermediate, by recipe; without recipes that have none."""
    return _tags_of(lambda spec: spec.intermediate)


@cache
def passing() -> dict[str, tuple[str, ...]]:
    """Those of them that only the next step takes."""
    return _tags_of(lambda spec: spec.passing)


def _tags_of(wanted: Callable[[ProductSpec], bool]) -> dict[str, tuple[str, ...]]:
    tags = {name: tuple(spec.tag for spec in get_recipe(name).products if wanted(spec)) for name in installed_recipes()}
    return {name: found for name, found in tags.items() if found}


def block_parameters(recipe: str, changed: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters with which a block is executed, as far as they are given to its recipe.

    Parameters
    ----------
    recipe : str
    changed : mapping
        Those that a person or the plan set for the block.

    Returns
    -------
    dict
        ``changed``, and what is set for every block: all units at once, what the pictures are drawn from, and what
        the plan sets for its reasons.
    """
    known = {info.name for info in get_recipe(recipe).Params.listing()}
    item = instrument_of_recipe(recipe)
    every_unit = {item.units.parameter: -1} if item.units.parameter in known else {}
    return {**every_unit, **item.plan.preset(recipe), **changed}


@cache
def recipe_versions() -> dict[str, str]:
    """Version of each recipe that the cascade can run."""
    return {name: get_recipe(name).version for name in installed_recipes()}


@cache
def qc1_definitions() -> Definitions:
    """QC1 parameters of the installed recipes of all instruments, those of the cascade first.

    What single steps of a recipe declare as it does is that of the recipe.

    Raises
    ------
    DeclarationError
        If declarations contradict each other, or a score rule or a key trend is of no declared number.
    """
    found: list[Parameter] = []
    for item in instruments():
        definitions = define(item.qc1, _declared(item))
        item.qc1.check(definitions)
        found += definitions
    return Definitions(found)


def _declared(item: Instrument) -> dict[str, list[QcSpec]]:
    """What the recipes of an instrument measure; one that two of them declare belongs to the first."""
    names = dict.fromkeys((*(task.recipe for task in item.plan.tasks), *item.recipes))
    declared: dict[str, list[QcSpec]] = {}
    known: set[str] = set()
    for name in names:
        if name in recipe_names():
            declared[name] = [spec for spec in get_recipe(name).qc if spec.keyword not in known]
            known |= {spec.keyword for spec in declared[name]}
    return declared
