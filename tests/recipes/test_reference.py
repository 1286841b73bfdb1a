"""The recipe reference in docs/ is what the declarations say."""

from __future__ import annotations

import re
from dataclasses import astuple
from pathlib import Path

import pytest

from core.recipes.reference import differences_page, recipes_page
from core.recipes.registry import all_recipes, get_recipe

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize(("name", "page"), [("recipes.md", recipes_page), ("differences.md", differences_page)])
def test_pages_are_up_to_date(name: str, page: object) -> None:
    assert callable(page)
    assert (DOCS / name).read_text(encoding="utf-8") == page(), "run: python -m core.recipes.reference docs"


def test_departures_from_the_manual_are_told() -> None:
    page = differences_page()
    notes = [note for recipe in all_recipes() for note in recipe.manual_notes]
    assert notes
    for note in notes:
        assert all(text.strip() for text in astuple(note))
        assert note.here in page


@pytest.mark.parametrize("name", ["muse_bias", "muse_dark", "muse_flat", "muse_wavecal", "muse_lsf"])
def test_every_difference_is_told_in_full(name: str) -> None:
    differences = get_recipe(name).differences
    for difference in differences:
        assert all(text.strip() for text in astuple(difference)), difference.where
        # A number with its unit, or the statement that there is nothing to measure.
        assert re.search(r"\d (adu|count|pix|%|Angstrom)|no table|no results|^none |^one keyword", difference.size), (
            difference.where
        )
    assert len({difference.where for difference in differences}) == len(differences)
