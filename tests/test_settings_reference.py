from __future__ import annotations

from pathlib import Path

import pytest

from core.recipes.registry import ENVIRONMENT
from core.settings import Settings
from core.settings_reference import main, settings_tables, with_settings
from core.variables import OTHER_VARIABLES

PAGE = Path(__file__).parents[1] / "docs/operators.md"


def test_the_page_of_operators_is_up_to_date(tmp_path: Path) -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert with_settings(text) == text, "run: python -m core.settings_reference docs/operators.md"
    copy = tmp_path / "operators.md"
    copy.write_text(text.replace("A silent worker loses its block after this.", "old"), encoding="utf-8")
    assert main([str(copy)]) == 0
    assert copy.read_text(encoding="utf-8") == text


def test_every_setting_and_variable_has_a_line() -> None:
    tables = settings_tables()
    for name in Settings.model_fields:
        assert f"| `CASCADE_{name.upper()}` | " in tables
    assert ENVIRONMENT in OTHER_VARIABLES
    assert all(f"| `{name}` | {text} |" in tables for name, text in OTHER_VARIABLES.items())


def test_a_page_without_the_part_is_refused() -> None:
    with pytest.raises(ValueError, match="no generated part"):
        with_settings("# Operators")
