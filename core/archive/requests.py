"""What persons want done otherwise than usual in a night: recipes and inputs on request, older calibrations only.

A request stays with its night, so that the planner keeps to it whenever the night is planned again.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.archive.events import record_event
from core.archive.models import PlanRequest
from core.cascade.model import Request

__all__ = ["EVENT_KIND", "request_of", "requests_of", "store_request"]

EVENT_KIND = "request"  # of the events, whose subject is the night


def request_of(session: Session, night: date) -> Request:
    """What is wanted of a night; nothing, if nobody asked."""
    row = session.get(PlanRequest, night)
    return Request() if row is None else _request(row)


def requests_of(session: Session, nights: Collection[date]) -> dict[str, Request]:
    """What is wanted of some nights, by night; without those of which nothing is."""
    if not nights:
        return {}
    query = select(PlanRequest).where(PlanRequest.night.between(min(nights), max(nights)))
    return {row.night.isoformat(): _request(row) for row in session.scalars(query) if row.night in nights}


def store_request(session: Session, night: date, request: Request, *, actor: str, now: datetime | None = None) -> bool:
    """Keep what is wanted of a night, instead of what was; with an event, so that the night is planned again.

    Returns
    -------
    bool
        Whether that is another request than before.
    """
    if request == request_of(session, night):
        return False
    row = session.get(PlanRequest, night)
    if request == Request():
        session.delete(row)
    else:
        row = row or PlanRequest(night=night)
        row.with_recipes = sorted(request.with_recipes)
        row.with_inputs = sorted(request.with_roles)
        row.older_only = request.older_only
        session.add(row)
    session.flush()
    record_event(session, EVENT_KIND, night.isoformat(), actor=actor, text=_words(request), now=now)
    return True


def _request(row: PlanRequest) -> Request:
    return Request(frozenset(row.with_recipes), frozenset(row.with_inputs), row.older_only)


def _words(request: Request) -> str:
    wanted = [*sorted(request.with_recipes), *sorted(request.with_roles)]
    words = [f"with {', '.join(wanted)}"] if wanted else []
    return "; ".join([*words, *(["older calibrations only"] if request.older_only else [])]) or "as usual"
