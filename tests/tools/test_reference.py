"""The page on the tools in docs/ is what they say themselves."""

from __future__ import annotations

import tomllib
from pathlib import Path
from pkgutil import resolve_name

from core.tools.reference import TOOLS, tools_page

ROOT = Path(__file__).parents[2]


def test_page_is_up_to_date() -> None:
    page = (ROOT / "docs" / "tools.md").read_text(encoding="utf-8")
    assert page == tools_page(), "run: python -m core.tools.reference docs"


def test_every_tool_that_is_installed_has_a_section() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    assert {tool.name for tool in TOOLS} == {name for name in scripts if name.startswith("muse_")}
    for tool in TOOLS:
        name, reference = resolve_name(scripts[tool.name]).args  # of `core.launch.launch`
        assert (name, reference.split(":")[0]) == (tool.name, tool.module.__name__)
