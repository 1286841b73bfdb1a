"""The cases of benchmarks/options.py cover every parameter and name only differences that are declared."""

from __future__ import annotations

import importlib
import shlex
from pathlib import Path
from typing import Any

import pytest

from core.recipes.registry import get_recipe

SCIENCE = ("standard", "scipost", "exp_align", "exp_combine")
RECIPES = ("bias", "dark", "flat", "wavecal", "lsf", "twilight", "scibasic", *SCIENCE)
OF_OURS_ONLY = {"compact"}
# The field of the benchmark is no full one of 24 IFUs, and has neither lines of its own lasers nor an LSF.
OF_A_FULL_FIELD = {"skymodel_sampling", "skymodel_csampling", "raman_width", "autocalib"}
BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def cases(monkeypatch: pytest.MonkeyPatch) -> tuple[Any, ...]:
    monkeypatch.syspath_prepend(BENCHMARKS)
    tables = {"option_cases": "CASES", "cases_arcs": "ARC_CASES", "cases_sky": "SKY_CASES"}
    tables["cases_science"] = "SCIENCE_CASES"
    return tuple(case for module, name in tables.items() for case in getattr(importlib.import_module(module), name))


def test_names_are_unique(cases: tuple[Any, ...]) -> None:
    slugs = [case.slug for case in cases]
    assert len(set(slugs)) == len(slugs)


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_parameter_is_in_a_case(cases: tuple[Any, ...], recipe: str) -> None:
    compared = {
        word.removeprefix("--").partition("=")[0]
        for case in cases
        for word in shlex.split(case.options)
        # Merging is the same code for all recipes.
        if case.recipe == recipe or word == "--merge=true"
    }
    known = {info.name for info in get_recipe(f"muse_{recipe}").Params.listing()}
    assert known - compared <= {"nifu", *OF_OURS_ONLY, *OF_A_FULL_FIELD}


@pytest.mark.parametrize("recipe", RECIPES)
def test_intended_differences_are_declared_and_the_others_are_not_hidden(cases: tuple[Any, ...], recipe: str) -> None:
    declared = {difference.where for difference in get_recipe(f"muse_{recipe}").differences}
    assert {case.intent for case in cases if case.recipe == recipe and case.intent} <= declared
