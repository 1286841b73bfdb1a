"""What is cached of declarations is forgotten around a test that adds some."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from core.instruments import catalogue, plans, registry


def forget() -> None:
    for cached in (
        registry.instruments,
        registry.is_kept,
        registry.setup_of,
        registry._kept,
        plans.calibration_plan,
        catalogue.installed_recipes,
        catalogue.recipe_versions,
        catalogue.qc1_definitions,
    ):
        cached.cache_clear()


@pytest.fixture
def fresh_declarations(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Declarations are read anew in the test, and again after it; what the test patches is undone in between."""
    forget()
    yield monkeypatch
    monkeypatch.undo()
    forget()
