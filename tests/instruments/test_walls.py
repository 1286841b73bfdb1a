"""Rooms that serve any instrument say nothing of one: no keyword, no extension, no number, no word of it."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from pkgutil import iter_modules

import pytest

import core.instruments
from core.instruments.registry import instruments

ROOT = Path(__file__).parents[2]
ROOMS = ("core/archive", "core/cascade", "core/qc1", "workers", "service")
# Nowhere, not even in comments: keywords of instrument and detector, extensions, constants, modules of one instrument.
FACTS = re.compile(
    r"\b(INS\d?|DET)\.[A-Z]{2}|\bCHAN(\d|nn)|\bCHIP\d|\bN_(IFU|SLICES|PORTS)\b|\binstruments\.(muse|crires)\b"
)
# Not in what programs compute with or people read; examples in docstrings may.
WORDS = re.compile(
    "|".join(rf"\b{word}s?\b" for item in instruments() for word in (item.name, f"{item.name.lower()}_[a-z]+"))
    + r"|\bIFUs?\b"
)


def sources(*endings: str) -> list[Path]:
    found = (path for room in ROOMS for path in sorted((ROOT / room).rglob("*")) if path.suffix in endings)
    return [path for path in found if "vendor" not in path.parts]


def strings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Literal texts of a module that are no docstrings, with their lines."""
    docs = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            yield node.lineno, node.value


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", sources(".py", ".html", ".js"), ids=name)
def test_no_fact_of_an_instrument_stands_in_a_room_for_all(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [(number, line) for number, line in enumerate(lines, 1) if FACTS.search(line)] == []


@pytest.mark.parametrize("path", sources(".py"), ids=name)
def test_no_text_of_a_module_names_an_instrument_or_its_units(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert [(line, text) for line, text in strings(tree) if WORDS.search(text)] == []


@pytest.mark.parametrize("path", sources(".html", ".js"), ids=name)
def test_no_page_names_an_instrument_or_its_units(path: Path) -> None:
    assert WORDS.findall(path.read_text(encoding="utf-8")) == []


def test_the_import_wall_knows_every_instrument() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    (wall,) = [item for item in contracts if item["name"] == "rooms for all instruments import none by name"]
    folders = [module.name for module in iter_modules(core.instruments.__path__) if module.ispkg]
    assert sorted(wall["forbidden_modules"]) == [f"core.instruments.{folder}" for folder in sorted(folders)]
    assert sorted(wall["source_modules"]) == sorted(room.replace("/", ".") for room in ROOMS)


def test_the_kit_of_recipes_imports_no_recipe() -> None:
    kit = sorted((ROOT / "core" / "recipes").glob("*.py"))
    assert [name(path) for path in kit if "core.recipes.muse." in path.read_text(encoding="utf-8")] == []
