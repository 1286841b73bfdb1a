"""What request handlers ask for: settings, a session of the archive, the status of the installation."""

from __future__ import annotations

from asyncio import Semaphore
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Final

from fastapi import Depends, Path, Query, Request
from sqlalchemy.orm import Session

from core.archive.sessions import Archive
from core.settings import Settings
from service.filters import Day
from service.kept import Beat, Pulse
from service.previews import PreviewCache

__all__ = [
    "After",
    "AfterNight",
    "ArchiveDep",
    "BeatDep",
    "PreviewsDep",
    "ProductId",
    "SessionDep",
    "SettingsDep",
    "make_turns",
]

_LARGEST_KEY = (1 << 63) - 1  # that a database can compare with
_AFTER: Final = "Where the page begins: `next` of the one before it"
After = Annotated[int | None, Query(ge=1, le=_LARGEST_KEY, description=_AFTER)]
AfterNight = Annotated[Day | None, Query(description=_AFTER)]
ProductId = Annotated[int, Path(le=_LARGEST_KEY)]

# Fewer than the connections of the pool of an engine (15): who has its turn never waits for a connection.
_REQUESTS_AT_ONCE = 12


def make_turns() -> Semaphore:
    """What requests wait for before they use the database."""
    return Semaphore(_REQUESTS_AT_ONCE)


# Coroutines: what only looks something up need not go to a thread and back.
async def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


async def _previews(request: Request) -> PreviewCache:
    cache: PreviewCache = request.app.state.previews
    return cache


async def _beat(request: Request) -> Beat:
    pulse: Pulse = request.app.state.pulse
    return await pulse.beat()


async def _turn(request: Request) -> AsyncIterator[None]:
    # Requests wait here and not in a thread for a connection: otherwise a crowd would take all threads, and those who
    # hold the connections could not go on.
    async with request.app.state.turns:
        yield


# Both end before the answer is sent: a slow download must not keep a connection of the database.
TurnDep = Annotated[None, Depends(_turn, scope="function")]


async def _archive(request: Request, _: TurnDep) -> Archive:
    archive: Archive = request.app.state.archive
    return archive


def _session(archive: Annotated[Archive, Depends(_archive)]) -> Iterator[Session]:
    with archive.read() as session:
        yield session


BeatDep = Annotated[Beat, Depends(_beat)]
PreviewsDep = Annotated[PreviewCache, Depends(_previews)]
SettingsDep = Annotated[Settings, Depends(_settings)]
ArchiveDep = Annotated[Archive, Depends(_archive)]
SessionDep = Annotated[Session, Depends(_session, scope="function")]
