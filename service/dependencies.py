"""What request handlers ask for: settings, a session of the archive, the status of the installation."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Final

from fastapi import Depends, Path, Query, Request
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from core.archive.sessions import Archive
from core.settings import Settings
from service.filters import Day
from service.kept import Beat, Pulse
from service.previews import PreviewCache
from service.turns import Turns

__all__ = [
    "After",
    "AfterNight",
    "ArchiveDep",
    "BeatDep",
    "LongSessionDep",
    "PreviewsDep",
    "ProductId",
    "SessionDep",
    "SettingsDep",
]

_LARGEST_KEY = (1 << 63) - 1  # that a database can compare with
_AFTER: Final = "Where the page begins: `next` of the one before it"
After = Annotated[int | None, Query(ge=1, le=_LARGEST_KEY, description=_AFTER)]
AfterNight = Annotated[Day | None, Query(description=_AFTER)]
ProductId = Annotated[int, Path(le=_LARGEST_KEY)]


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


async def _any_turn(request: Request) -> AsyncIterator[None]:
    turns: Turns = request.app.state.turns
    async with turns.any():
        yield


async def _quick_turn(request: Request) -> AsyncIterator[None]:
    turns: Turns = request.app.state.turns
    async with turns.quick() as waited:
        request.state.waited = waited
        yield


# They end before the answer is sent: a slow download must not keep a connection of the database.
_AnyTurn = Annotated[None, Depends(_any_turn, scope="function")]
_QuickTurn = Annotated[None, Depends(_quick_turn, scope="function")]


async def _archive(request: Request, _: _AnyTurn) -> Archive:
    archive: Archive = request.app.state.archive
    return archive


async def _session(request: Request, _: _QuickTurn) -> AsyncIterator[Session]:
    async with _reading(request.app.state.archive) as session:
        yield session


async def _long_session(archive: Annotated[Archive, Depends(_archive)]) -> AsyncIterator[Session]:
    async with _reading(archive) as session:
        yield session


@asynccontextmanager
async def _reading(archive: Archive) -> AsyncIterator[Session]:
    """A session that asks the database nothing before a thread uses it, and waits for it in a thread at the end."""
    with archive.read() as session:
        try:
            yield session
        finally:
            if session.in_transaction():
                await run_in_threadpool(session.close)


BeatDep = Annotated[Beat, Depends(_beat)]
PreviewsDep = Annotated[PreviewCache, Depends(_previews)]
SettingsDep = Annotated[Settings, Depends(_settings)]
ArchiveDep = Annotated[Archive, Depends(_archive)]
SessionDep = Annotated[Session, Depends(_session, scope="function")]
LongSessionDep = Annotated[Session, Depends(_long_session, scope="function")]
"""For what may take more than a moment, such as series."""
