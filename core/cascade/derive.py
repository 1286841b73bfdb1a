"""The calibration plan is completed by what the recipes declare: how many of a tag they take, what they make."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from sys import maxsize

from core.instruments.rules import InputRule, Rules, Task

__all__ = ["Declared", "derive"]


@dataclass(frozen=True)
class Declared:
    """What a recipe declares, as far as planning needs it.

    Attributes
    ----------
    inputs : mapping
        Tag to the fewest that are needed and the most that are taken; None is any number.
    products : tuple of str
        Tags of the products that it makes without being told to.
    """

    inputs: Mapping[str, tuple[int, int | None]]
    products: tuple[str, ...]


def derive(rules: Rules, declared: Mapping[str, Declared]) -> Rules:
    """Rules whose tasks have the numbers and products that their recipes declare.

    Parameters
    ----------
    rules : Rules
    declared : mapping
        Recipe name to its declaration; tasks of recipes that are not in it stay as they are.

    Raises
    ------
    ValueError
        If the plan gives a recipe a tag that it does not take, or wants a product that it does not make.
    """
    tasks = tuple(_complete(task, declared[task.recipe]) if task.recipe in declared else task for task in rules.tasks)
    return replace(rules, tasks=tasks, _hash={})


def _complete(task: Task, declared: Declared) -> Task:
    for tag in (task.main, *(role.tag for role in task.inputs)):
        if tag not in declared.inputs:
            raise ValueError(f"the plan gives {task.recipe} frames of {tag}, which the recipe does not take")
    for tag in task.products:
        if tag not in declared.products:
            raise ValueError(f"the plan wants {tag} of {task.recipe}, which the recipe does not make")
    return replace(
        task,
        minimum=max(declared.inputs[task.main][0], 1),
        inputs=tuple(_count(role, *declared.inputs[role.tag]) for role in task.inputs),
        products=task.products or declared.products,
    )


def _count(role: InputRule, fewest: int, most: int | None) -> InputRule:
    maximum = (maxsize if most is None else most) if role.several else 1
    return replace(role, minimum=max(fewest, int(role.needed)), maximum=maximum)
