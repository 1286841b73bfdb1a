"""A page waits for those before it, not for what takes long, and not for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from service.turns import SharedOut, Turns

SOON = 0.05  # [s]; nobody who is to go on needs so long


class Story:
    """Requests that begin when they have their turn, and end when they are told."""

    def __init__(self, turns: Turns) -> None:
        self.turns, self.begun = turns, list[str]()
        self._ends: dict[str, asyncio.Event] = {}
        self._tasks: list[asyncio.Task[None]] = []

    async def come(self, name: str, kind: str = "quick") -> None:
        self._ends[name] = asyncio.Event()
        self._tasks.append(asyncio.create_task(self._one(name, kind)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    async def _one(self, name: str, kind: str) -> None:
        async with getattr(self.turns, kind)():
            self.begun.append(name)
            await self._ends[name].wait()

    async def end(self, *names: str) -> None:
        for name in names:
            self._ends[name].set()
        await asyncio.sleep(SOON)

    async def close(self) -> None:
        await self.end(*self._ends)
        await asyncio.gather(*self._tasks)


def test_pages_are_made_a_few_at_once_and_in_order(run_async: Callable[..., Any]) -> None:
    async def story() -> None:
        told = Story(Turns(2, 12, patience=60))
        for name in "abcd":
            await told.come(name)
        assert told.begun == ["a", "b"]
        await told.end("b")
        assert told.begun == ["a", "b", "c"]
        await told.close()
        assert told.begun == ["a", "b", "c", "d"]

    run_async(story())


def test_what_takes_long_keeps_no_page_waiting(run_async: Callable[..., Any]) -> None:
    async def story() -> None:
        told = Story(Turns(1, 4, patience=60))
        for name in ("series", "order", "export"):
            await told.come(name, "any")
        await told.come("page")
        assert told.begun == ["series", "order", "export", "page"]
        await told.come("too much", "any")  # for the connections
        assert "too much" not in told.begun
        await told.close()

    run_async(story())


def test_pages_that_wait_for_a_disk_hold_others_up_for_a_while_only(run_async: Callable[..., Any]) -> None:
    async def story() -> None:
        told = Story(Turns(1, 12, patience=SOON))
        await told.come("stuck")
        await told.come("next")
        assert told.begun == ["stuck"]
        await asyncio.sleep(3 * SOON)
        assert told.begun == ["stuck", "next"]
        await told.close()
        await told.come("a")
        await told.come("b")
        assert told.begun[2:] == ["a"]  # as many turns as before: who had none gave none back
        await told.close()

    run_async(story())


def test_some_of_those_who_waited_long_are_asked_to_connect_again(run_async: Callable[..., Any]) -> None:
    async def asked(app: SharedOut, waited: float) -> str:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        await app({"type": "http", "state": {"waited": waited}}, None, send)  # type: ignore[arg-type]
        return dict(sent[0]["headers"]).get(b"connection", b"").decode()

    async def answer(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def story() -> None:
        app = SharedOut(answer)
        assert [await asked(app, 0.01) for _ in range(8)] == [""] * 8
        assert sorted([await asked(app, 0.5) for _ in range(8)]) == [""] * 6 + ["close"] * 2

    run_async(story())
