"""Why a block has the inputs it has, in sentences."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from core.archive.models import Block, BlockInput
from core.archive.states import BlockState, InputKind
from core.settings import Settings
from service.text import signed_age

__all__ = ["LEVELS", "explain_block", "explain_input", "relative_paths", "waits_for", "why_this"]

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


# What the other columns of the table say already: the role with its time, age, level, rule and state.
_SAID: Final = (
    re.compile(r"level \d+"),
    re.compile(r"rule [\w.-]+"),
    re.compile(r"(at the same time|[\d.]+ \w+ (before|after))"),
    re.compile(r"(planned|raw frame|not judged|provisional|certified|good)"),
)
_CANNOT_BE_BETTER: Final = ("farther", "tie", "level", "quality", "doubtful", "older_static")


def why_this(item: BlockInput) -> str:
    """Why an input was chosen, without what stands in the columns beside it."""
    reason = item.reason or ""
    if item.kind is InputKind.MISSING:
        return reason
    head, _, rest = reason.partition(", ") if re.match(rf"{re.escape(item.role)} ", reason) else ("", "", reason)
    if item.kind is InputKind.STATIC and head:
        rest = reason
    parts = [part for part in rest.removeprefix(f"{item.role}: ").split(", ") if part]
    told = [part for part in parts if not any(pattern.fullmatch(part) for pattern in _SAID)]
    beaten = sum(refusal.get("code") in _CANNOT_BE_BETTER for refusal in item.refused or ())
    if not told:
        told = [f"the best of {beaten + 1} that fit" if beaten else "the only one that fits"]
    return ", ".join(told)


def relative_paths(text: str, settings: Settings) -> str:
    """A text without the directories of the installation before the names of files."""
    for folder in (settings.static_dir, settings.product_dir, *settings.archive_dirs, settings.data_dir):
        text = text.replace(f"{folder}/", "")
    return text


def waits_for(block: Block, inputs: Sequence[BlockInput]) -> str:
    """What an open block waits for, in a few words."""
    missing = [item.role for item in inputs if item.kind is InputKind.MISSING and item.required]
    if missing:
        return "missing " + ", ".join(dict.fromkeys(missing))
    planned = [
        f"{item.role} from {item.source_block.tag} {item.source_block.state.value}"
        f"{' to make again what expired' if item.source_block.remaking else ''}"
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
