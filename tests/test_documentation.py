"""The pages written by hand speak of things that exist: files, links, settings, commands, rooms."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.main import get_command

from core.procedures.run import ENVIRONMENT as PROCEDURES
from core.recipes.registry import ENVIRONMENT as RECIPES
from core.settings import Settings
from service.cli.main import app

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(DOCS.glob("*.md")), ROOT / "benchmarks" / "README.md"]
ROOMS = ("core", "workers", "service", "migrations", "tests", "benchmarks", "docs")
# Paths of this project in code marks; those with a placeholder (NAME, *) are no paths.
PATH = re.compile(rf"`((?:{'|'.join(ROOMS)})/[\w./-]+)`")
# The example of this page becomes files only in its test.
EXAMPLES = {"core/recipes/muse/muse_noise.py", "tests/recipes/muse/test_muse_noise.py"}


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_paths_exist(page: Path) -> None:
    paths = {path for path in PATH.findall(text_of(page)) if "NAME" not in path} - EXAMPLES
    assert [path for path in sorted(paths) if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)[^)]*\)", text_of(page))
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_settings_that_are_named_are_read(page: Path) -> None:
    known = {f"CASCADE_{field.upper()}" for field in Settings.model_fields} | {RECIPES, PROCEDURES}
    assert set(re.findall(r"CASCADE_[A-Z_]*[A-Z]", text_of(page))) <= known


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_that_are_named_can_be_given(page: Path) -> None:
    known = set(get_command(app).commands)  # type: ignore[attr-defined]
    named = re.findall(r"(?:`|^    |&& \.venv/bin/)cascade ([a-z][a-z-]+)", text_of(page), re.MULTILINE)
    assert set(named) <= known


@pytest.mark.parametrize("command", [name for name in get_command(app).commands if name != "db"])  # type: ignore[attr-defined]
def test_every_command_is_told(command: str) -> None:
    told = "".join(text_of(page) for page in (ROOT / "README.md", DOCS / "operators.md"))
    assert re.search(rf"\bcascade {command}\b", told)


def test_the_map_has_every_room() -> None:
    the_map = text_of(DOCS / "architecture.md").split("## Who may import whom")[0]
    rooms = [path.parent.name for path in sorted((ROOT / "core").glob("*/__init__.py"))]
    assert [room for room in rooms if f"    {room}/" not in the_map] == []


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=name)
def test_a_page_of_docs_is_named_by_another(page: Path) -> None:
    # The README names pages in code marks: links would lead nowhere where the package is described.
    naming = re.compile(rf"[(`/]{re.escape(page.name)}[)`#]")
    assert [other for other in PAGES if other != page and naming.search(text_of(other))]
