"""What an open page asks for every few seconds: what time it is, whether anything changed, who lives.

The *token* is a digest of all that pages show and that changes by itself. It is made of a few look-ups in indexes, so
that asking costs next to nothing; a page is read again only when its token is not the present one.
"""

from __future__ import annotations

import hashlib
from typing import Final

from pydantic import BaseModel, Field
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.archive.models import BlockPart, Event, Frame, Product, QuarantinedFile
from core.archive.states import BlockState, QuarantineState
from core.settings import Settings
from service.status import Status

__all__ = ["LiveState", "daemon_key", "live_state", "live_token"]

_BUSY_SECONDS: Final = 2.0
_IDLE_SECONDS: Final = 5.0
_SOONEST_SECONDS: Final = 0.2


class LiveState(BaseModel):
    """How things are at one moment."""

    now: float = Field(description="Universal time, seconds since 1970")
    token: str = Field(description="Changes with anything that pages show")
    running: int = Field(description="Blocks that run")
    wait: float = Field(description="Seconds after which to ask again")
    times: dict[str, str] = Field(description="Moments that ages on the page count from")


def daemon_key(name: str) -> str:
    """How pages call the last sign of life of a daemon."""
    return f"daemon {name}"


def live_state(settings: Settings, status: Status, token: str, running: int) -> LiveState:
    """The present state, and when to ask again: at the latest when the next daemon would be silent for too long."""
    waits = [_BUSY_SECONDS if running else _IDLE_SECONDS, settings.heartbeat_seconds / 2]
    alive = [item.last_seen + settings.silent_after - status.now for item in status.daemons if item.state == "alive"]
    waits += [span.total_seconds() + _SOONEST_SECONDS / 2 for span in alive]
    times = {daemon_key(item.name): item.last_seen.isoformat() for item in status.daemons}
    times |= {box.key: box.time.isoformat() for box in status.boxes if box.time is not None}
    return LiveState(
        now=status.now.timestamp(),
        token=token,
        running=running,
        wait=max(_SOONEST_SECONDS, min(waits)),
        times=times,
    )


def live_token(session: Session, status: Status) -> str:
    """Digest of what changes by itself: events, frames, products, quarantine, parts that run, daemons, alarms."""
    parts = (
        session.scalar(select(func.max(Event.id))),
        session.scalar(select(func.max(Frame.id))),
        session.scalar(select(func.max(Product.id))),
        tuple(
            session.execute(
                select(func.count(), func.max(QuarantinedFile.id)).where(QuarantinedFile.state == QuarantineState.HELD)
            ).one()
        ),
        session.execute(select(BlockPart.id).where(BlockPart.state == BlockState.RUNNING).order_by(BlockPart.id))
        .scalars()
        .all(),
        [(item.name, item.state, item.doing) for item in status.daemons],
        [(box.key, box.stale) for box in status.boxes],
        [alarm.cure for alarm in status.alarms],
    )
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
