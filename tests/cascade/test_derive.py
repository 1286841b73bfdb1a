"""The plan gets numbers and products from the recipes' declarations."""

from __future__ import annotations

import dataclasses

import pytest

from core.cascade.derive import Declared, derive
from core.instruments.muse.plan import RULES
from core.instruments.plans import calibration_plan, declared
from core.instruments.rules import InputRule, Task
from core.recipes.registry import get_recipe


def test_each_task_has_the_numbers_and_products_of_its_recipe() -> None:
    for task in calibration_plan("MUSE").tasks:
        recipe = get_recipe(task.recipe)
        specs = {spec.tag: spec for spec in recipe.inputs}
        assert task.minimum == max(specs[task.main].min, 1)
        assert {role.tag: role.minimum for role in task.inputs} == {
            role.tag: max(specs[role.tag].min, int(role.needed)) for role in task.inputs
        }
        settings = {item.parameter: item.value for item in task.settings}
        made = set(declared(recipe, settings).products)
        named = next(other for other in RULES.tasks if other.prefix == task.prefix).products
        assert set(task.products) == (set(named) or made)
        assert set(task.products) <= made


def test_a_product_that_is_made_unless_it_is_switched_off_is_one_of_the_cascade() -> None:
    plan = calibration_plan("MUSE")
    (flat,) = [task for task in plan.tasks if task.recipe == "muse_flat"]
    assert flat.products == ("MASTER_FLAT", "TRACE_TABLE")


def test_the_plan_decides_what_it_needs_and_how_many() -> None:
    task = Task("r", "BIAS", (InputRule("MASTER_BIAS", needed=True), InputRule("BADPIX_TABLE", several=True)))
    rules = dataclasses.replace(RULES, tasks=(task,), _hash={})
    inputs = {"BIAS": (3, None), "MASTER_BIAS": (0, None), "BADPIX_TABLE": (0, 4)}
    (found,) = derive(rules, {"r": Declared(inputs, ("X",))}).tasks
    assert [(role.minimum, role.maximum) for role in found.inputs] == [(1, 1), (0, 4)]
    assert (found.minimum, found.products) == (3, ("X",))


def test_a_plan_that_gives_a_recipe_what_it_does_not_take_is_refused() -> None:
    with pytest.raises(ValueError, match="gives muse_bias frames of BADPIX_TABLE, which"):
        derive(RULES, {"muse_bias": Declared({"BIAS": (3, None)}, ())})
