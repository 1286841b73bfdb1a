"""Why a block has the inputs it has, in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from core.archive.models import Block, BlockInput
from core.archive.states import BlockState, InputKind
from service.text import signed_age

__all__ = ["LEVELS", "explain_block", "explain_input", "waits_for"]

LEVELS = {0: "calibration plan", 1: "extended validity", 2: "last resort", 3: "static calibration"}


def explain_block(block: Block, inputs: Sequence[BlockInput]) -> list[str]:
    """The explanation of a block: its raw frames, then each calibration with its reason."""
    raws = sum(item.kind is InputKind.RAW for item in inputs)
    sentences = [
        f"{raws or block.n_raw} {block.tag} frames of one template and setup are one block for {block.recipe}."
    ]
    sentences += [explain_input(item) for item in inputs if item.kind is not InputKind.RAW]
    return sentences


def explain_input(item: BlockInput) -> str:
    """One sentence: what was chosen for a role, and why."""
    if item.kind is InputKind.MISSING:
        return f"{item.role} is missing: {item.reason}"
    source = item.static_path or (item.source_block.name if item.source_block else "")
    if not source and item.product is not None:
        source = item.product.file_name
    verb = "will be made by" if item.kind is InputKind.PLANNED else "comes from"
    facts = [
        text
        for text in (
            signed_age(item.age_days) if item.age_days is not None and item.kind is not InputKind.STATIC else "",
            LEVELS.get(item.level, f"level {item.level}") if item.level is not None else "",
            f"rule {item.rule}" if item.rule else "",
        )
        if text
    ]
    return f"{item.role} {verb} {source}: {item.reason or ', '.join(facts) or 'the only candidate'}"


def waits_for(block: Block, inputs: Sequence[BlockInput]) -> str:
    """What an open block waits for, in a few words."""
    missing = [item.role for item in inputs if item.kind is InputKind.MISSING and item.required]
    if missing:
        return "missing " + ", ".join(dict.fromkeys(missing))
    planned = [
        f"{item.role} from {item.source_block.tag} {item.source_block.state.value}"
        for item in inputs
        if item.kind is InputKind.PLANNED
        and item.source_block is not None
        and item.source_block.state is not BlockState.DONE
    ]
    if planned:
        return ", ".join(dict.fromkeys(planned))
    if block.state in (BlockState.READY, BlockState.QUEUED):
        return "a free worker"
    return block.state_reason or "the dispatcher"
