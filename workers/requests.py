"""What is wanted otherwise than usual: recipes and inputs on request, the policy of choosing calibrations."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from core.cascade.model import Request
from core.errors import ParameterError
from core.instruments.declaration import Instrument
from core.instruments.plans import calibration_plans
from core.instruments.rules import CLOSEST, Rules
from core.settings import Settings

__all__ = ["make_request", "plans_in_use", "requestable", "usual_request"]


def requestable() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Recipes, and tags of inputs, that are used only on request."""
    tasks = [task for _, rules in calibration_plans() for task in rules.tasks]
    recipes = dict.fromkeys(task.recipe for task in tasks if task.asked)
    inputs = dict.fromkeys(role.tag for task in tasks for role in task.inputs if role.asked)
    return tuple(recipes), tuple(inputs)


def make_request(recipes: Iterable[str] = (), inputs: Iterable[str] = (), *, older_only: bool = False) -> Request:
    """A request for recipes and inputs by name.

    Raises
    ------
    ParameterError
        If one cannot be requested, naming those that can.
    """
    request = Request(frozenset(recipes), frozenset(inputs), older_only)
    known_recipes, known_inputs = requestable()
    _check(request.with_recipes, known_recipes, "recipe")
    _check(request.with_roles, known_inputs, "input")
    return request


def usual_request(settings: Settings) -> Request:
    """What the settings of the installation want of every night.

    Raises
    ------
    ParameterError
        If they name something that cannot be requested.
    """
    return make_request(settings.with_recipes, settings.with_inputs, older_only=settings.older_only)


def plans_in_use(settings: Settings) -> tuple[tuple[Instrument, Rules], ...]:
    """All instruments with their plans, under the policy of the installation.

    Raises
    ------
    ParameterError
        If no instrument has such a policy.
    """
    plans = calibration_plans()
    known = dict.fromkeys([CLOSEST, *(policy.name for _, rules in plans for policy in rules.policies)])
    if settings.policy not in known:
        text = f"{settings.policy!r} is no policy of choosing calibrations; there are: {', '.join(known)}"
        raise ParameterError(text, parameter="policy")
    return tuple((item, rules.under(settings.policy)) for item, rules in plans)


def _check(names: Collection[str], known: Collection[str], noun: str) -> None:
    for name in sorted(names):
        if name not in known:
            raise ParameterError(
                f"{name} is no {noun} on request; there are: {', '.join(known) or 'none'}", parameter=f"with_{noun}s"
            )
