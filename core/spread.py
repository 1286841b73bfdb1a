"""A function is applied to independent items: in turn, or by whatever the caller offers, e.g. threads."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar

__all__ = ["Spread", "in_turn"]

Item = TypeVar("Item")
Result = TypeVar("Result")


class Spread(Protocol):
    """Applies a function to items; the results come in the order of the items."""

    def __call__(self, function: Callable[[Item], Result], items: Iterable[Item], /) -> list[Result]:
        """Apply ``function`` to each of ``items``."""


def in_turn(function: Callable[[Item], Result], items: Iterable[Item], /) -> list[Result]:
    """The plain way, one item after the other."""
    return [function(item) for item in items]
