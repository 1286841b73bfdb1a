"""All recipes by name, as the instruments declare them; modules are imported when asked for.

Further recipes (of another package, of the tests) are named in the environment, so that child processes know them too:
``CASCADE_RECIPES=name=module:Class,name=module:Class``.
"""

from __future__ import annotations

import importlib
import os
from functools import cache
from typing import Final

from core.errors import NotFoundError, ParameterError
from core.instruments.registry import instruments
from core.recipes.declaration import Recipe

__all__ = ["ENVIRONMENT", "all_recipes", "get_recipe", "named_in", "recipe_names"]

ENVIRONMENT: Final = "CASCADE_RECIPES"


def _table() -> dict[str, str]:
    declared = {name: reference for item in instruments() for name, reference in item.recipes.items()}
    further = named_in(ENVIRONMENT)
    return declared | further


def named_in(variable: str) -> dict[str, str]:
    """What a variable of the environment adds: name to ``module:thing``.

    Raises
    ------
    ParameterError
        If it says something else.
    """
    return dict(_entry(text, variable) for text in os.environ.get(variable, "").split(",") if text.strip())


def _entry(text: str, variable: str) -> tuple[str, str]:
    name, _, reference = text.strip().partition("=")
    if not name or reference.count(":") != 1:
        raise ParameterError(f"{variable} has {text.strip()!r}, not name=module:Class", parameter=variable)
    return name, reference


def recipe_names() -> tuple[str, ...]:
    """Names of all recipes in the order of the cascade."""
    return tuple(_table())


def get_recipe(name: str) -> Recipe:
    """The recipe of that name.

    Raises
    ------
    NotFoundError
        If there is none.
    """
    table = _table()
    if name not in table:
        raise NotFoundError(f"there is no recipe {name}; there are: {', '.join(table)}", recipe=name)
    return _load(table[name])


@cache
def _load(reference: str) -> Recipe:
    module, _, class_name = reference.partition(":")
    recipe = getattr(importlib.import_module(module), class_name)()
    if not isinstance(recipe, Recipe):
        raise TypeError(f"{reference} is no Recipe")
    return recipe


def all_recipes() -> tuple[Recipe, ...]:
    """All recipes in the order of the cascade."""
    return tuple(map(get_recipe, recipe_names()))
