"""Signs of life: daemons, and how fresh files, products and scores are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.archive.models import HAS_FAILED_UNITS, Block, Frame, Product, Score, WorkerHeartbeat
from core.archive.states import BlockState

__all__ = ["Freshness", "daemons", "freshness", "partial_blocks", "state_counts"]


@dataclass(frozen=True)
class Freshness:
    """When the last of each came; None if there was none."""

    file: datetime | None
    product: datetime | None
    score: datetime | None


def daemons(session: Session) -> list[WorkerHeartbeat]:
    """All daemons that ever reported, by kind and name."""
    return list(session.scalars(select(WorkerHeartbeat).order_by(WorkerHeartbeat.kind, WorkerHeartbeat.name)))


def freshness(session: Session) -> Freshness:
    """Times of the last file, product and score."""
    # One look-up per value of `score`, since the index begins with it.
    scores = [
        session.scalar(select(func.max(Score.created_at)).where(condition))
        for condition in (Score.score == 0, Score.score == 1, Score.score.is_(None))
    ]
    return Freshness(
        session.scalar(select(func.max(Frame.ingested_at))),
        session.scalar(select(func.max(Product.created_at))),
        max((time for time in scores if time is not None), default=None),
    )


def partial_blocks(session: Session) -> int:
    """Number of blocks that are done except for units that failed."""
    query = select(func.count()).select_from(Block)
    return session.scalar(query.where(HAS_FAILED_UNITS, Block.state == BlockState.DONE)) or 0


def state_counts(session: Session) -> dict[BlockState, int]:
    """Number of blocks that are not quiet, by state."""
    rows = session.execute(
        select(Block.state, func.count())
        .where(
            Block.state.in_(
                [
                    BlockState.INCOMPLETE,
                    BlockState.WAITING,
                    BlockState.READY,
                    BlockState.QUEUED,
                    BlockState.RUNNING,
                    BlockState.FAILED,
                ]
            )
        )
        .group_by(Block.state)
    )
    return dict(rows.all())
