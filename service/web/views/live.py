"""``/live``: what open pages ask for every few seconds."""

from __future__ import annotations

from fastapi import APIRouter, Response

from service.dependencies import PulseDep, SessionDep, SettingsDep
from service.live import LiveState, live_state

router = APIRouter()


@router.get("/live")
def live(session: SessionDep, settings: SettingsDep, pulse: PulseDep, response: Response) -> LiveState:
    """The time, whether anything changed, and when to ask again."""
    response.headers["Cache-Control"] = "no-store"
    return live_state(session, settings, *pulse.read(session))
