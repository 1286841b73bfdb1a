"""A function is applied to independent items: in turn, or by whatever the caller offers, e.g. threads.

What is deep below a recipe, as the reading of a table, takes what is offered around it (`offered`, `spread_out`); work
that such a thread does is not spread again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, Protocol, TypeVar

__all__ = ["Spread", "in_turn", "offered", "spread_out"]

Item = TypeVar("Item")
Result = TypeVar("Result")


class Spread(Protocol):
    """Applies a function to items; the results come in the order of the items."""

    def __call__(self, function: Callable[[Item], Result], items: Iterable[Item], /) -> list[Result]:
        """Apply ``function`` to each of ``items``."""


def in_turn(function: Callable[[Item], Result], items: Iterable[Item], /) -> list[Result]:
    """The plain way, one item after the other."""
    return [function(item) for item in items]


_OFFERED: Final[ContextVar[Any]] = ContextVar("offered", default=in_turn)  # a new thread begins with the default


@contextmanager
def offered(spread: Spread) -> Iterator[None]:
    """Let `spread_out` use this way, in what this thread does."""
    token = _OFFERED.set(spread)
    try:
        yield
    finally:
        _OFFERED.reset(token)


def spread_out(function: Callable[[Item], Result], items: Iterable[Item], /) -> list[Result]:
    """Apply a function to items by what is offered here; the results come in the order of the items."""
    found: list[Result] = _OFFERED.get()(function, items)
    return found
