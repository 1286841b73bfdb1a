"""What persons may do through the pages and over REST, and who did it."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import Depends
from pydantic import BaseModel, ConfigDict, Field

__all__ = ["ANONYMOUS", "ActorDep", "Judgement", "Order"]

ANONYMOUS: Final = "anonymous"
"""Who gives an order over HTTP: nobody signs in, so nobody's name would be true."""

_TEXT = r"^[^\x00]*$"  # no database keeps a zero byte


class Order(BaseModel):
    """An order with its reason."""

    model_config = ConfigDict(extra="forbid")

    reason: str = Field("", max_length=500, pattern=_TEXT, description="Kept with the event")


class Judgement(Order):
    """Somebody's decision on products: it needs a reason."""

    reason: str = Field(min_length=1, max_length=500, pattern=_TEXT, description="Why; kept with the event")


def _actor() -> str:
    return ANONYMOUS


ActorDep = Annotated[str, Depends(_actor)]
