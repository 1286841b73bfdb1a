"""How far a running block is."""

from __future__ import annotations

from sqlalchemy.orm import Session

from core.archive.base import utc_now
from core.archive.models import Block
from core.archive.pages.blocks import expected_seconds
from core.archive.states import BlockState
from service.schemas import BlockProgress

__all__ = ["progress_of"]


def progress_of(session: Session, block: Block) -> BlockProgress:
    """Progress with elapsed and expected time; a finished block has elapsed time only."""
    running = block.state is BlockState.RUNNING
    units = block.progress or {}
    fractions = [float(units.get(f"{unit:02d}", {}).get("fraction", 0.0)) for unit in block.units]
    if block.state is BlockState.DONE:
        fraction = 1.0
    else:
        fraction = sum(fractions) / len(fractions) if fractions else 0.0
    elapsed = block.duration
    if running and block.started_at is not None:
        elapsed = (utc_now() - block.started_at).total_seconds()
    return BlockProgress(
        name=block.name,
        state=block.state,
        fraction=round(fraction, 4),
        units=units,
        elapsed=elapsed,
        expected=expected_seconds(session, block.recipe, len(block.units)) if running else None,
    )
