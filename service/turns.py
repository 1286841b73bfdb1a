"""Whose turn it is to use the database, of the requests that one process serves.

Requests wait for their turn in no thread. The interpreter runs one thread at a time: more pages made at once are not
made sooner, but each waits for the others at every row that it reads, and the server with them.

A connection stays with the process that took it. So that none has a crowd while others are idle, some of those who had
to wait are asked to connect again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["SharedOut", "Turns"]

_CONNECTIONS: Final = 12  # fewer than a pool has (15): who has a turn never waits for a connection
_AT_ONCE: Final = 2  # one works while the other waits for the database
_PATIENCE: Final = 2.0  # [s]
_CROWDED: Final = 0.1  # [s] of waiting
_SENT_AWAY: Final = 4  # one of so many who waited for so long


class Turns:
    """Turns of one process.

    Parameters
    ----------
    at_once : int
        Pages and lists that are made at once.
    connections : int
        Requests of whatever kind that use the database at once.
    patience : float
        How long a page waits for those before it [s]; then it is made beside them, since what takes so long is not the
        interpreter but a disk or a database, for which many may wait.
    """

    def __init__(self, at_once: int = _AT_ONCE, connections: int = _CONNECTIONS, patience: float = _PATIENCE) -> None:
        self._quick, self._all = asyncio.Semaphore(at_once), asyncio.Semaphore(connections)
        self._patience = patience

    @asynccontextmanager
    async def any(self) -> AsyncIterator[None]:
        """The turn of a request that may take long."""
        async with self._all:
            yield

    @asynccontextmanager
    async def quick(self) -> AsyncIterator[float]:
        """The turn of a page or list; how long it was waited for [s]."""
        began = time.monotonic()
        taken = await self._in_time()
        try:
            async with self._all:
                yield time.monotonic() - began
        finally:
            if taken:
                self._quick.release()

    async def _in_time(self) -> bool:
        try:
            async with asyncio.timeout(self._patience):
                return await self._quick.acquire()
        except TimeoutError:
            return False


class SharedOut:
    """ASGI middleware: closes the connections of some who waited for long, for others may serve them sooner."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._crowded = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request; its turn says in ``state`` how long it ``waited``."""

        async def leaving(message: Message) -> None:
            if message["type"] == "http.response.start" and scope.get("state", {}).get("waited", 0.0) > _CROWDED:
                self._crowded += 1
                if self._crowded % _SENT_AWAY == 0:
                    MutableHeaders(scope=message)["Connection"] = "close"
            await send(message)

        await self.app(scope, receive, leaving)
