"""How far a block is, and what its parts took."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from core.archive.clock import database_now
from core.archive.models import Block
from core.archive.pages.blocks import expected_seconds
from core.archive.states import BlockState
from core.errors import NotFoundError
from core.recipes.registry import get_recipe
from service.schemas import BlockProgress, PartProgress

__all__ = ["memory_note", "progress_of"]

_ENDED = (BlockState.DONE, BlockState.FAILED, BlockState.CANCELLED)


def progress_of(session: Session, block: Block) -> BlockProgress:
    """Progress with elapsed and expected time; a finished block has elapsed time only."""
    running = block.state is BlockState.RUNNING
    parts = _divided(block) if block.parts else _whole(block)
    if block.state is BlockState.DONE:
        fraction = 1.0
    else:
        fraction = sum(part.fraction for part in parts.values()) / len(parts) if parts else 0.0
    elapsed = block.duration
    if running and block.started_at is not None:
        elapsed = (database_now(session) - block.started_at).total_seconds()
    return BlockProgress(
        name=block.name,
        state=block.state,
        fraction=round(fraction, 4),
        parts=parts,
        elapsed=elapsed,
        expected=expected_seconds(session, block.recipe, len(block.units)) if running else None,
    )


def memory_note(block: Block) -> str:
    """That a process of the block took more memory than its recipe is declared to need; empty if not, or not known."""
    try:
        declared = get_recipe(block.recipe).memory.total(1)
    except NotFoundError:  # a recipe of an earlier version of the project
        return ""
    if block.peak_mb is None or block.peak_mb <= declared:
        return ""
    return f"a process took {block.peak_mb:.0f} MiB; {block.recipe} is declared to need {declared:.0f} MiB"


def _divided(block: Block) -> dict[str, PartProgress]:
    """Parts that are leased by themselves, each with a state of its own."""
    return {
        part.key: _step(part.label, next(iter((part.progress or {}).values()), {}), part.state) for part in block.parts
    }


def _whole(block: Block) -> dict[str, PartProgress]:
    """Parts of a block that one worker does: its units, and what else was heard of."""
    heard = block.progress or {}
    labels = {f"{unit:02d}": f"{block.unit_words.word} {unit}" for unit in block.units} | {
        key: key for key in heard if not key.isdigit()
    }
    return {key: _step(label, heard.get(key, {}), block.state) for key, label in labels.items()}


def _step(label: str, step: dict[str, Any], state: BlockState) -> PartProgress:
    ended = state in _ENDED
    phase = state.value if ended or not step else str(step.get("phase", ""))
    fraction = 1.0 if ended else float(step.get("fraction", 0.0))
    return PartProgress(label=label, state=state, phase="" if phase == "running" else phase, fraction=fraction)
