"""``/live``: what open pages ask for every few seconds."""

from __future__ import annotations

from fastapi import APIRouter, Response

from core.archive.states import BlockState
from service.dependencies import BeatDep, SettingsDep
from service.live import LiveState, live_state

router = APIRouter()


@router.get("/live")
async def live(settings: SettingsDep, beat: BeatDep, response: Response) -> LiveState:
    """The time, whether anything changed, and when to ask again."""
    response.headers["Cache-Control"] = "no-store"
    return live_state(settings, beat.status, beat.token, beat.counts.get(BlockState.RUNNING, 0))
