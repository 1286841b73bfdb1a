"""Work is spread by what is offered around it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from core.spread import offered, spread_out


def test_work_deep_below_goes_to_the_threads_that_are_offered() -> None:
    used: list[Any] = []

    def threads(function: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
        used.append(function)
        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(function, items))

    def deep(item: int) -> list[int]:
        return spread_out(abs, [item, -item])  # in turn: a thread of the pool has none of its own

    with offered(threads):
        assert spread_out(deep, [-1, -2]) == [[1, 1], [2, 2]]
    assert used == [deep]
    assert spread_out(deep, [-3]) == [[3, 3]]
    assert used == [deep]
