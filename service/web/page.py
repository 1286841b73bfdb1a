"""What every page needs: the request, a session, the settings, and the alarms at its top."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.responses import HTMLResponse
from sqlalchemy.orm import Session

from core.settings import Settings
from service.dependencies import BeatDep, SessionDep, SettingsDep
from service.kept import Beat
from service.live import daemon_key
from service.web.templating import render

__all__ = ["PageDep", "PageMaker"]


class PageMaker:
    """Renders templates with the status of the installation."""

    def __init__(self, request: Request, session: Session, settings: Settings, beat: Beat) -> None:
        self.request = request
        self.session = session
        self.settings = settings
        self.status = beat.status
        self.token = beat.token

    def render(self, template: str, **context: Any) -> HTMLResponse:
        """The page; never kept by caches, since it tells how things are now."""
        known = {"status": self.status, "token": self.token, "now": self.status.now, "daemon_key": daemon_key}
        response = render(self.request, template, {**known, **context})
        response.headers["Cache-Control"] = "no-store"
        return response


# The beat is that of before the page is made: what changes meanwhile is read again.
async def _page(request: Request, session: SessionDep, settings: SettingsDep, beat: BeatDep) -> PageMaker:
    return PageMaker(request, session, settings, beat)


PageDep = Annotated[PageMaker, Depends(_page)]
