"""``/api/nights``."""

from __future__ import annotations

from collections import Counter
from datetime import date
from typing import Annotated

from fastapi import APIRouter, Query

from core.archive.pages import blocks as block_queries
from core.archive.pages import frames as frame_queries
from core.archive.pages import nights as queries
from core.errors import NotFoundError
from service.dependencies import SessionDep
from service.schemas import BlockOut, NightDetail, NightOut, QuarantinedOut

router = APIRouter(prefix="/nights", tags=["nights"])


@router.get("", summary="The last nights")
def list_nights(
    session: SessionDep,
    before: Annotated[date | None, Query(description="Nights before this one")] = None,
    limit: Annotated[int, Query(ge=1, le=400)] = 30,
) -> list[NightOut]:
    """Nights that have frames or blocks, newest first; ask for earlier ones with ``before``."""
    return [NightOut.of(item) for item in queries.nights_before(session, before, limit)]


@router.get("/{night}", summary="One night")
def get_night(session: SessionDep, night: date) -> NightDetail:
    """Frames by type, blocks in the order of time, quarantine."""
    found = queries.nights_between(session, night, night)
    if not found:
        raise NotFoundError(f"the archive has nothing of the night {night}", night=night)
    ticks = frame_queries.timeline(session, night)
    return NightDetail(
        **NightOut.of(found[0]).model_dump(),
        frames_by_tag=dict(Counter(tick.tag for tick in ticks)),
        block_list=[BlockOut.of(block) for block in block_queries.blocks_of_night(session, night)],
        quarantine=[QuarantinedOut.of(row) for row in frame_queries.list_quarantine(session, night=night)],
    )
