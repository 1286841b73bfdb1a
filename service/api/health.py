"""``/api/health``."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from core.archive.states import BlockState
from service.broker import broker_state
from service.dependencies import BeatDep, SettingsDep

router = APIRouter(tags=["health"])


class DaemonOut(BaseModel):
    """One daemon."""

    name: str
    kind: str
    state: str = Field(description="alive, stopped or dead")
    last_seen: datetime
    host: str
    pid: int
    doing: str
    clock_offset: float | None = Field(description="how far the clock of its host is ahead of the database [s]")


class FreshnessOut(BaseModel):
    """The newest thing of a kind."""

    key: str
    time: datetime | None
    limit_seconds: float
    stale: bool


class HealthOut(BaseModel):
    """State of the installation."""

    ok: bool = Field(description="No alarm, and broker and database answer")
    time: datetime
    database: str
    broker: dict[str, Any]
    daemons: list[DaemonOut]
    freshness: list[FreshnessOut]
    blocks: dict[BlockState, int]
    alarms: list[str]


@router.get("/health", summary="Is everything alive", responses={503: {"model": HealthOut}})
def get_health(request: Request, settings: SettingsDep, beat: BeatDep, response: Response) -> HealthOut:
    """Database, broker, heartbeats of the daemons, freshness of the feeds; 503 if something is wrong."""
    status = beat.status
    broker = broker_state(settings)
    ok = not status.alarms and bool(broker["ok"])
    if not ok:
        response.status_code = 503
    response.headers["Cache-Control"] = "no-store"
    return HealthOut(
        ok=ok,
        time=status.now,
        database=request.app.state.archive.engine.dialect.name,
        broker=broker,
        daemons=[
            DaemonOut(
                name=item.name,
                kind=item.kind.value,
                state=item.state,
                last_seen=item.last_seen,
                host=item.host,
                pid=item.pid,
                doing=item.doing,
                clock_offset=item.clock_offset,
            )
            for item in status.daemons
        ],
        freshness=[
            FreshnessOut(key=box.key, time=box.time, limit_seconds=box.limit.total_seconds(), stale=box.stale)
            for box in status.boxes
        ],
        blocks=dict(beat.counts),
        alarms=[f"{alarm.text} {alarm.cure}" for alarm in status.alarms],
    )
