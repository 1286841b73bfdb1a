"""What request handlers ask for: settings, a session of the archive, the status of the installation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy.orm import Session

from core.archive.sessions import Archive
from core.settings import Settings

__all__ = ["ArchiveDep", "SessionDep", "SettingsDep"]


def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


def _archive(request: Request) -> Archive:
    archive: Archive = request.app.state.archive
    return archive


def _session(archive: Annotated[Archive, Depends(_archive)]) -> Iterator[Session]:
    with archive.read() as session:
        yield session


SettingsDep = Annotated[Settings, Depends(_settings)]
ArchiveDep = Annotated[Archive, Depends(_archive)]
SessionDep = Annotated[Session, Depends(_session)]
