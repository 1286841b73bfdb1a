"""What persons may do through the pages and over REST, and who did it."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request
from pydantic import BaseModel, ConfigDict, Field

from core.errors import NonRetriableError

__all__ = ["ActorDep", "ForeignRequestError", "Judgement", "Order"]


_TEXT = r"^[^\x00]*$"  # no database keeps a zero byte


class ForeignRequestError(NonRetriableError):
    """A page of another site sent the order through the browser of somebody who may reach this one."""

    error_type = "foreign_request"
    http_status = 403


class Order(BaseModel):
    """An order with its reason."""

    model_config = ConfigDict(extra="forbid")

    reason: str = Field("", max_length=500, pattern=_TEXT, description="Kept with the event")
    actor: str = Field(
        "", max_length=64, pattern=_TEXT, description="Who orders it; the address of the client if not given"
    )


class Judgement(Order):
    """Somebody's decision on products: it needs a reason."""

    reason: str = Field(min_length=1, max_length=500, pattern=_TEXT, description="Why; kept with the event")


def _actor(request: Request) -> str:
    site = request.headers.get("Sec-Fetch-Site", "none")
    if site not in ("none", "same-origin"):
        raise ForeignRequestError(f"orders are taken from the pages of this service only, not from a {site} page")
    return f"person at {request.client.host}" if request.client else "person"


ActorDep = Annotated[str, Depends(_actor)]
