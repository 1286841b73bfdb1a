"""All recipes by name; modules are imported when asked for."""

from __future__ import annotations

import importlib
from functools import cache
from typing import Final

from core.errors import NotFoundError
from core.recipes.declaration import Recipe

__all__ = ["RECIPES", "all_recipes", "get_recipe"]

# name -> class, in the order of the cascade (manual, section 9)
RECIPES: Final = {
    "muse_bias": "MuseBias",
    "muse_dark": "MuseDark",
    "muse_flat": "MuseFlat",
    "muse_wavecal": "MuseWavecal",
    "muse_lsf": "MuseLsf",
}


@cache
def get_recipe(name: str) -> Recipe:
    """The recipe of that name.

    Raises
    ------
    NotFoundError
        If there is none.
    """
    if name not in RECIPES:
        raise NotFoundError(f"there is no recipe {name}; there are: {', '.join(RECIPES)}", recipe=name)
    module = importlib.import_module(f"core.recipes.muse.{name}")
    recipe = getattr(module, RECIPES[name])()
    if not isinstance(recipe, Recipe):
        raise TypeError(f"{RECIPES[name]} is no Recipe")
    return recipe


def all_recipes() -> tuple[Recipe, ...]:
    """All recipes in the order of the cascade."""
    return tuple(get_recipe(name) for name in RECIPES)
