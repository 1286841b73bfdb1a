"""Requests that read much: a few at once, in bounded memory, and no longer than somebody waits for the answer.

An answer is made whole in a file without a name before its first byte is sent. So a fault in the middle is told as
one, a slow client keeps neither memory nor a connection of the database, and its length is known.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import tempfile
import threading
from asyncio import Semaphore
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Annotated, Final

from fastapi import Depends, Request
from fastapi.responses import Response, StreamingResponse
from starlette.concurrency import run_in_threadpool

from core.archive.pages.qc1_rows import ReadingStopped
from core.errors import RetriableError
from service.exports import FORMATS, MEDIA_TYPES
from service.media import disposition
from service.series import SeriesAnswer

__all__ = ["BusyError", "HeavyTurn", "HeavyTurns", "WaitingDep", "export"]

RETRY_SECONDS: Final = 10
_LOCK_SECONDS: Final = 0.05
_IN_MEMORY: Final = 1 << 20  # [byte] of an answer; a longer one goes to disk
_PIECE: Final = 1 << 18
_CLIENT_GONE: Final = 499  # nobody reads it


class BusyError(RetriableError):
    """As many series and exports are being made as may be."""

    error_type = "busy"
    http_status = 429
    retry_after = RETRY_SECONDS


class HeavyTurns:
    """Turns of the requests that read much, shared by all processes that serve one installation.

    A turn is the lock of a file, which ends with its process at the latest.

    Parameters
    ----------
    folder : pathlib.Path
        Where the files are; made when it is needed.
    number : int
        At once; others wait for a while.
    patience : float
        How long [s].
    """

    def __init__(self, folder: Path, number: int, patience: float = RETRY_SECONDS) -> None:
        self._folder, self._number, self._patience = folder, number, patience
        self._own = Semaphore(number)  # who waits for a lock is the first of this process, not a crowd
        self._free: list[int] | None = None

    async def take(self) -> int:
        """Wait for a turn; answers what gives it back.

        Raises
        ------
        BusyError
            If there is none for too long.
        """
        try:
            return await asyncio.wait_for(self._take(), self._patience)
        except TimeoutError:
            raise BusyError(f"too many series and exports are asked for: try again in {RETRY_SECONDS} s") from None

    async def _take(self) -> int:
        await self._own.acquire()
        try:
            while (turn := self._lock_one()) is None:
                await asyncio.sleep(_LOCK_SECONDS)
        except BaseException:
            self._own.release()
            raise
        return turn

    def _lock_one(self) -> int | None:
        if self._free is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            names = [self._folder / f"heavy-{number + 1}" for number in range(self._number)]
            self._free = [os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640) for name in names]
        for turn in self._free:
            with suppress(BlockingIOError):
                fcntl.flock(turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._free.remove(turn)
                return turn
        return None

    def give_back(self, turn: int) -> None:
        """End of a turn."""
        self._own.release()
        if self._free is None:  # closed meanwhile: a request that was broken off at the end
            os.close(turn)
        else:
            fcntl.flock(turn, fcntl.LOCK_UN)
            self._free.append(turn)

    def close(self) -> None:
        """Close the files; a turn that is still taken ends when it is given back."""
        for turn in self._free or ():
            os.close(turn)
        self._free = None


async def _heavy_turn(request: Request) -> AsyncIterator[None]:
    turns: HeavyTurns = request.app.state.heavy
    turn = await turns.take()
    try:
        yield
    finally:
        turns.give_back(turn)


async def _somebody_waits(request: Request) -> AsyncIterator[Callable[[], bool]]:
    gone = threading.Event()

    async def watch() -> None:
        # Not `is_disconnected`: below a middleware that wraps receiving it never hears of it.
        while (await request.receive())["type"] != "http.disconnect":
            pass
        gone.set()

    watcher = asyncio.create_task(watch())
    try:
        yield gone.is_set
    finally:
        watcher.cancel()
        with suppress(asyncio.CancelledError):
            await watcher


# Of the route and not of the handler: who waits for this turn must hold neither that of the database nor a session.
HeavyTurn = Depends(_heavy_turn, scope="function")
WaitingDep = Annotated[Callable[[], bool], Depends(_somebody_waits, scope="function")]
"""Tells whether the client has gone."""


def export(
    gone: Callable[[], bool], kind: str, read: Callable[[Callable[[], bool]], SeriesAnswer], name: str | None = None
) -> Response:
    """The answer in one of the formats.

    Parameters
    ----------
    gone : callable
        Whether nobody waits any more: then it is left unfinished.
    kind : str
        Of `service.exports.FORMATS`.
    read : callable
        Reads the values; takes ``gone``.
    name : str, optional
        Under which a browser stores it, without ending; shown in the browser if not given.
    """
    stream = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - closed when it has been sent
    try:
        for piece in FORMATS[kind](read(gone)):
            if gone():
                raise ReadingStopped
            stream.write(piece)
    except ReadingStopped:
        stream.close()
        return Response(status_code=_CLIENT_GONE)
    except BaseException:
        stream.close()
        raise
    headers = {"Content-Length": str(stream.tell())}
    if name is not None:
        headers["Content-Disposition"] = disposition(f"{name}.{kind}")
    stream.seek(0)
    return StreamingResponse(_sent(stream), media_type=MEDIA_TYPES[kind], headers=headers)


async def _sent(stream: IO[bytes]) -> AsyncIterator[bytes]:
    with stream:
        while piece := await run_in_threadpool(stream.read, _PIECE):
            yield piece
