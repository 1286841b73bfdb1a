"""Connections that send no request, or only the beginning of one, are closed: they would stay for ever.

The server closes what is idle after an answer; a client that sends the head of a request byte by byte, or nothing, is
not idle by its rule.
"""

from __future__ import annotations

import asyncio
from typing import ClassVar

from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["PatientProtocol"]


class PatientProtocol(H11Protocol):
    """HTTP/1.1, with a limit for the time until a request has its whole head."""

    head_seconds: ClassVar[float] = 20.0

    _limit: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request."""
        super().connection_made(transport)
        self._wait_for_head()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        if self._limit is not None:
            self._limit.cancel()
        super().connection_lost(exc)

    def _wait_for_head(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
        self._limit = self.loop.call_later(self.head_seconds, self._close_unless_served)

    def _close_unless_served(self) -> None:
        # Whoever is served has the time that the answer takes; the limit begins anew after it.
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()
