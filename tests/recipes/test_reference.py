"""The recipe reference in docs/ is what the declarations say."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.recipes.reference import differences_page, recipes_page

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize(("name", "page"), [("recipes.md", recipes_page), ("differences.md", differences_page)])
def test_pages_are_up_to_date(name: str, page: object) -> None:
    assert callable(page)
    assert (DOCS / name).read_text(encoding="utf-8") == page(), "run: python -m core.recipes.reference docs"
