"""The servers of the pages: how they take connections, and how they end."""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import Final

import uvicorn

from service.patience import PatientProtocol

__all__ = ["PagesServer", "SharingServer"]

_LOG = logging.getLogger(__name__)
_HANG_UP: Final = 0.1  # [s] between two looks at who is still connected when the server ends
_POLITE: Final = 2e-4  # [s] for each connection that a process has, until it takes another
_MOST_POLITE: Final = 0.02  # [s]


class PagesServer(uvicorn.Server):
    """A server that ends although a client connects, or keeps asking, while it does.

    uvicorn tells those who are connected at one moment. A connection that was accepted just then is not among them: a
    page that is open on it asks every few seconds, is answered, and the server never ends.
    """

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End; answers under way have the time that the configuration grants, then their connections are broken off."""
        hanging_up = asyncio.create_task(self._hang_up())
        try:
            await super().shutdown(sockets)
        finally:
            hanging_up.cancel()
            for connection in list(self.server_state.connections):
                connection.transport.abort()
            await asyncio.sleep(0)  # until they are closed

    async def _hang_up(self) -> None:
        while True:
            await asyncio.sleep(_HANG_UP)
            for connection in list(self.server_state.connections):
                connection.shutdown()


class SharingServer(PagesServer):
    """A server that takes its part of the connections of a port: the more it has, the later it takes the next."""

    _taking: list[asyncio.Task[None]]

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to serve."""
        await super().startup([])
        self._taking = [asyncio.create_task(self._take(shared)) for shared in sockets or ()]

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more connections, and end."""
        for task in self._taking:
            task.cancel()
        await super().shutdown(sockets)

    async def _take(self, shared: socket.socket) -> None:
        loop, config = asyncio.get_running_loop(), self.config

        def protocol() -> PatientProtocol:
            return PatientProtocol(config=config, server_state=self.server_state, app_state=self.lifespan.state)

        shared.setblocking(False)
        while True:
            await _asked(loop, shared)
            await asyncio.sleep(min(len(self.server_state.connections) * _POLITE, _MOST_POLITE))
            try:
                connection, _ = shared.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):  # another one was faster
                continue
            except OSError:  # no descriptor is left, or no memory: those who wait keep waiting
                _LOG.exception("pages: cannot take a connection")
                await asyncio.sleep(1.0)
                continue
            connection.setblocking(False)
            await loop.connect_accepted_socket(protocol, connection)


async def _asked(loop: asyncio.AbstractEventLoop, shared: socket.socket) -> None:
    """Wait for somebody who wants to connect."""
    asked = asyncio.Event()
    loop.add_reader(shared, asked.set)
    try:
        await asked.wait()
    finally:
        loop.remove_reader(shared)
