"""``/api/quarantine``."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from core.archive.pages import frames as queries
from core.archive.states import QuarantineState
from service.dependencies import After, SessionDep
from service.filters import Day
from service.links import PagerDep
from service.schemas import Page, QuarantinedOut

router = APIRouter(prefix="/quarantine", tags=["frames"])


@router.get("", summary="Files that could not be ingested")
def list_quarantine(
    session: SessionDep,
    pager: PagerDep,
    night: Day | None = None,
    state: QuarantineState | None = QuarantineState.HELD,
    after: After = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
) -> Page[QuarantinedOut, int]:
    """Newest first, each with its reason."""
    return pager.page(
        queries.list_quarantine(session, night=night, state=state, after=after, limit=limit), QuarantinedOut.of
    )
