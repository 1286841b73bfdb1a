"""``/api/nights``."""

from __future__ import annotations

from collections import Counter
from datetime import date
from typing import Annotated

from fastapi import APIRouter, Query

from core.archive.pages import blocks as block_queries
from core.archive.pages import frames as frame_queries
from core.archive.pages import nights as queries
from core.archive.requests import request_of, store_request
from core.errors import NotFoundError
from service.actions import ActorDep
from service.dependencies import AfterNight, ArchiveDep, SessionDep
from service.filters import Day
from service.links import PagerDep
from service.schemas import BlockOut, NightDetail, NightOut, Page, PlanRequest, QuarantinedOut
from workers.requests import make_request

router = APIRouter(prefix="/nights", tags=["nights"])


@router.get("", summary="Nights")
def list_nights(
    session: SessionDep,
    pager: PagerDep,
    after: AfterNight = None,
    limit: Annotated[int, Query(ge=1, le=400)] = 30,
) -> Page[NightOut, date]:
    """Nights that have frames, blocks or files in quarantine, newest first."""
    return pager.page(queries.list_nights(session, after, limit), NightOut.of)


@router.get("/{night}", summary="One night")
def get_night(session: SessionDep, night: Day) -> NightDetail:
    """Frames by type, blocks in the order of time, quarantine."""
    found = queries.nights_between(session, night, night)
    if not found:
        raise NotFoundError(f"the archive has nothing of the night {night}", night=night)
    ticks = frame_queries.timeline(session, night)
    return NightDetail(
        **NightOut.of(found[0]).model_dump(),
        frames_by_tag=dict(Counter(tick.tag for tick in ticks)),
        block_list=[BlockOut.of(block) for block in block_queries.blocks_of_night(session, night)],
        quarantine=[QuarantinedOut.of(row) for row in frame_queries.list_quarantine(session, night=night).rows],
    )


@router.get("/{night}/request", summary="What is wanted of a night")
def get_request(session: SessionDep, night: Day) -> PlanRequest:
    """Recipes and inputs that are used on request only, besides those that the settings want of every night."""
    return PlanRequest.of(request_of(session, night))


@router.put("/{night}/request", summary="Want something of a night")
def put_request(archive: ArchiveDep, actor: ActorDep, night: Day, wanted: PlanRequest) -> PlanRequest:
    """Replaces what was wanted before and stays with the night, which is planned again. An empty one is as usual."""
    request = make_request(wanted.with_recipes, wanted.with_inputs, older_only=wanted.older_only)
    with archive.write() as session:
        if not queries.nights_between(session, night, night):
            raise NotFoundError(f"the archive has nothing of the night {night}", night=night)
        store_request(session, night, request, actor=actor)
    return PlanRequest.of(request)
