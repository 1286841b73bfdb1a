"""One command compiles the kernels of all recipes (full size: left to the benchmarks)."""

from __future__ import annotations

import pytest

from core.recipes.compile import compile_kernels
from core.recipes.registry import RECIPES


@pytest.mark.heavy
def test_every_recipe_is_run_once() -> None:
    told: list[str] = []
    compile_kernels(told.append)
    assert told == ["simulating one IFU", *(f"compiling {name}" for name in RECIPES)]
