"""The declaration of a recipe as plain values, for REST and for the documentation pages."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from core.errors import NotFoundError
from core.instruments.catalogue import installed_recipes
from core.recipes.declaration import Recipe
from core.recipes.registry import get_recipe, recipe_names

__all__ = ["installed", "installed_recipe", "recipe_data", "recipe_names_in_order"]


def recipe_data(recipe: Recipe) -> dict[str, Any]:
    """Everything a recipe declares."""
    return {
        "name": recipe.name,
        "version": recipe.version,
        "summary": recipe.summary,
        "description": recipe.description,
        "inputs": [asdict(item) for item in recipe.inputs],
        "parameters": [asdict(item) for item in recipe.Params.listing()],
        "parameter_schema": recipe.Params.model_json_schema(),
        "products": [asdict(item) for item in recipe.products],
        "qc": [
            {
                "keyword": item.keyword,
                "unit": item.unit,
                "type": item.type,
                "class": item.klass,
                "description": item.description,
                "products": list(item.products),
                "only": {name: list(values) for name, values in item.only.items()},
            }
            for item in recipe.qc
        ],
        "differences": [asdict(item) for item in recipe.differences],
        "manual_notes": [asdict(item) for item in recipe.manual_notes],
    }


def installed_recipe(name: str) -> Recipe:
    """One of them.

    Raises
    ------
    NotFoundError
        Naming those that there are.
    """
    names = recipe_names_in_order()
    if name not in names:
        raise NotFoundError(f"there is no recipe {name}; there are: {', '.join(names)}", recipe=name)
    return get_recipe(name)


def installed() -> tuple[Recipe, ...]:
    """The recipes that this installation has, in that order."""
    return tuple(get_recipe(name) for name in recipe_names_in_order())


def recipe_names_in_order() -> tuple[str, ...]:
    """Recipes of the cascade in its order, then those that are run by hand."""
    return tuple(dict.fromkeys((*installed_recipes(), *recipe_names())))
