"""The sentence at the top of a page: the answer to the question the page exists for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from core.archive.models import Block, BlockInput
from core.archive.pages.nights import NightSummary
from core.archive.states import BlockState, InputKind
from service.text import duration
from service.web.words import lost_words

__all__ = ["block_sentence", "night_sentence", "plural"]


def plural(number: int, noun: str) -> str:
    """``1 block``, ``2 blocks``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def night_sentence(summary: NightSummary | None, missing: Iterable[str] = ()) -> str:
    """How a night went: done, outliers, what is open and what is missing."""
    if summary is None:
        return "nothing has been seen yet"
    if not summary.blocks:
        seen = f"{plural(summary.frames, 'frame')}, no block planned yet" if summary.frames else "no frame and no block"
        return f"{seen}, {plural(summary.held, 'file')} in quarantine" if summary.held else seen
    verb = "blocks" if summary.blocks != 1 else "block"
    parts = [f"{summary.done} of {summary.blocks} {verb} done"]
    parts.append(plural(summary.outliers, "outlier block") if summary.outliers else "no outlier")
    if failed := summary.count(BlockState.FAILED):
        parts.append(f"{failed} failed")
    if summary.failed_units:
        parts.append(f"{plural(summary.failed_units, 'block')} with failed units")
    if summary.skipped_units:
        parts.append(f"{plural(summary.skipped_units, 'block')} with units left out")
    if summary.doubtful:
        parts.append(f"{plural(summary.doubtful, 'block')} made with doubtful calibrations")
    if running := summary.count(BlockState.RUNNING):
        parts.append(f"{running} running")
    if soon := summary.count(BlockState.WAITING, BlockState.READY, BlockState.QUEUED):
        parts.append(f"{soon} to come")
    if incomplete := summary.count(BlockState.INCOMPLETE):
        roles = ", ".join(sorted(set(missing)))
        verb = "waits" if incomplete == 1 else "wait"
        parts.append(f"{incomplete} {verb} for {roles}" if roles else f"{incomplete} incomplete")
    if summary.held:
        parts.append(f"{plural(summary.held, 'file')} in quarantine")
    return ", ".join(parts)


def block_sentence(block: Block, inputs: Sequence[BlockInput], waiting: str, expected: float | None) -> str:
    """What a block is and how it stands."""
    what = f"{block.recipe} on {plural(block.n_raw, f'{block.tag} frame')}"
    match block.state:
        case BlockState.DONE:
            verdict = {0: "all scores good", 1: plural(block.n_outliers, "outlier"), None: "not scored"}[block.score]
            words = lost_words(block)
            good = len(block.units) - len(block.failed_units) - len(block.skipped_units)
            lost = f"{good} of {block.unit_words.counted(len(block.units))} good, {words}, " if words else ""
            doubt = ", made with doubtful calibrations" if block.doubtful else ""
            return f"{what}: done in {duration(block.duration)}, {lost}{verdict}{doubt}"
        case BlockState.FAILED:
            return f"{what}: failed after {plural(block.tries, 'try' if block.tries == 1 else 'trie')}"
        case BlockState.RUNNING:
            tail = f", usually takes {duration(expected)}" if expected else ""
            return f"{what}: running{tail}"
        case BlockState.INCOMPLETE:
            roles = [item.role for item in inputs if item.kind is InputKind.MISSING and item.required]
            lacks = ", ".join(dict.fromkeys(roles)) or "an input"
            return f"{what}: cannot start, {lacks} is missing"
        case BlockState.WAITING | BlockState.READY | BlockState.QUEUED:
            return f"{what}: {block.state.value}, waits for {waiting}"
        case _:
            return f"{what}: {block.state.value}"
