"""A plan in words: as nested plain values for REST, and as text for the terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.cascade.model import BlockPlan, Plan
from core.cascade.words import count_words, iso_minutes

__all__ = ["Explanation", "block_text", "explain", "explain_block"]


@dataclass(frozen=True)
class Explanation:
    """The same content twice.

    Attributes
    ----------
    data : dict
        Plain values: ``rules_version``, ``summary``, ``blocks`` (each with ``inputs``, ``refused``, ``missing``),
        ``not_processed``.
    text : str
        For people.
    """

    data: dict[str, Any]
    text: str


def explain(plan: Plan, kept: Mapping[str, str] | None = None) -> Explanation:
    """Explain each choice, each refusal, and what is missing.

    Parameters
    ----------
    plan : Plan
    kept : mapping, optional
        Key to state of the blocks that the archive has as they are planned, such as ``done``.
    """
    state = {block.key: block.state.value for block in plan.blocks} | dict(kept or {})
    states = Counter(state[block.key] for block in plan.blocks)
    data = {
        "rules_version": plan.rules_version,
        "summary": {"blocks": len(plan.blocks), **dict(sorted(states.items()))},
        "blocks": [explain_block(block, state[block.key]) for block in plan.blocks],
        "not_processed": [
            {"frame": entry.frame, "tag": entry.tag, "reason": entry.reason} for entry in plan.not_processed
        ],
    }
    return Explanation(data, _plan_text(plan, state, states))


def explain_block(block: BlockPlan, state: str) -> dict[str, Any]:
    """One block in its present state as plain values."""
    return {
        "key": block.key,
        "recipe": block.recipe,
        "tag": block.tag,
        "setup": block.setup.label,
        "night": block.night,
        "mid_exposure": iso_minutes(block.mjd),
        "state": state,
        "units": list(block.units),
        "frames": list(block.frames),
        "inputs": [
            {
                "role": choice.role,
                "product": choice.product.id,
                "origin": choice.product.origin.value,
                "quality": choice.product.quality.word,
                "level": choice.level,
                "age_days": round(choice.days, 6),
                "rule": choice.rule,
                "reason": choice.reason,
            }
            for choice in block.inputs
        ],
        "refused": [
            {
                "role": refusal.role,
                "candidate": refusal.candidate,
                "code": refusal.code,
                "reason": refusal.reason,
                "age_days": None if refusal.days is None else round(refusal.days, 6),
            }
            for refusal in block.refusals
        ],
        "refused_not_listed": dict(block.omitted),
        "missing": [{"role": lack.role, "code": lack.code, "reason": lack.reason} for lack in block.missing],
        "notes": list(block.notes),
        "products": list(block.products),
        "signature": block.signature,
        "rules_version": block.rules_version,
    }


def block_text(block: BlockPlan, state: str) -> str:
    """One block in its present state as a few lines of text."""
    head = (
        f"{block.key}: {block.recipe} on {count_words(len(block.frames), f'{block.tag} frame')}, "
        f"{block.setup.label}, {iso_minutes(block.mjd)}: {state}"
    )
    lines = [head]
    lines += [f"  missing {lack.reason}" for lack in block.missing]
    lines += [f"  uses {choice.reason}" for choice in block.inputs]
    lines += [f"  not {refusal.role} {refusal.candidate}: {refusal.reason}" for refusal in block.refusals]
    lines += [f"  not {count_words(number, f'farther {role}')}" for role, number in block.omitted]
    lines += [f"  note {note}" for note in block.notes]
    return "\n".join(lines)


def _plan_text(plan: Plan, state: Mapping[str, str], states: Counter[str]) -> str:
    parts = ", ".join(f"{number} {state}" for state, number in sorted(states.items()))
    lines = [f"{count_words(len(plan.blocks), 'block')}{f' ({parts})' if parts else ''}, rules {plan.rules_version}"]
    lines += [block_text(block, state[block.key]) for block in plan.blocks]
    reasons: dict[tuple[str, str], int] = Counter((entry.tag, entry.reason) for entry in plan.not_processed)
    for (tag, reason), number in sorted(reasons.items()):
        lines.append(f"not processed: {count_words(number, f'{tag} frame')}: {reason}")
    return "\n".join(lines)
