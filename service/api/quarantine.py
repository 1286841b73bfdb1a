"""``/api/quarantine``."""

from __future__ import annotations

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Query

from core.archive.pages import frames as queries
from core.archive.states import QuarantineState
from service.dependencies import After, SessionDep
from service.schemas import Page, QuarantinedOut

router = APIRouter(prefix="/quarantine", tags=["frames"])


@router.get("", summary="Files that could not be ingested")
def list_quarantine(
    session: SessionDep,
    night: date | None = None,
    state: QuarantineState | None = QuarantineState.HELD,
    after: After = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
) -> Page[QuarantinedOut]:
    """Newest first, each with its reason."""
    rows = queries.list_quarantine(session, night=night, state=state, after=after, limit=limit)
    return Page(items=[QuarantinedOut.of(row) for row in rows], next=rows[-1].id if len(rows) == limit else None)
