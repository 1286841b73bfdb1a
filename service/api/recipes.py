"""``/api/recipes``: the declarations."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from service.declarations import installed, installed_recipe, recipe_data

router = APIRouter(prefix="/recipes", tags=["recipes"])


@router.get("", summary="All recipes")
def list_recipes() -> list[dict[str, str]]:
    """In the order of the cascade."""
    return [{"name": item.name, "version": item.version, "summary": item.summary} for item in installed()]


@router.get("/{name}", summary="One recipe")
def get_one(name: str) -> dict[str, Any]:
    """Inputs, parameters (with JSON schema), products and QC parameters."""
    return recipe_data(installed_recipe(name))
