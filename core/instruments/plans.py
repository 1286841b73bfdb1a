"""The calibration plan of an instrument, complete: what its recipes declare of inputs and products filled in.

Apart from the declaration of the instrument, which is read by all that meet a header: recipes are loaded here.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any

from core.cascade.derive import Declared, derive
from core.instruments.declaration import Instrument
from core.instruments.registry import instruments
from core.instruments.rules import Rules
from core.recipes.declaration import Recipe
from core.recipes.registry import get_recipe

__all__ = ["calibration_plan", "calibration_plans"]


@cache
def calibration_plan(name: str) -> Rules:
    """The complete calibration plan of an instrument.

    Parameters
    ----------
    name : str
        As in `core.instruments.registry.instruments`.

    Raises
    ------
    ValueError
        If it gives a recipe frames that the recipe does not take.
    """
    item = next(item for item in instruments() if item.name == name)
    recipes = {task.recipe for task in item.plan.tasks if task.recipe in item.recipes}
    settings = {
        recipe: {name: setting.value for name, setting in item.plan.settings(recipe).items()} for recipe in recipes
    }
    return derive(item.plan, {recipe: declared(get_recipe(recipe), settings[recipe]) for recipe in sorted(recipes)})


def calibration_plans() -> tuple[tuple[Instrument, Rules], ...]:
    """All instruments with their plans."""
    return tuple((item, calibration_plan(item.name)) for item in instruments())


def declared(recipe: Recipe, settings: Mapping[str, Any] = MappingProxyType({})) -> Declared:
    """What a recipe declares, as planning needs it; ``settings`` are the parameters that the plan sets."""
    values = {info.name: info.default for info in recipe.Params.listing()} | dict(settings)
    return Declared(
        inputs={spec.tag: (spec.min, spec.max) for spec in recipe.inputs},
        products=tuple(
            spec.tag for spec in recipe.products if spec.optional is None or values.get(spec.optional) is True
        ),
    )
