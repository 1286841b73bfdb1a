"""All frames and known calibrations become a plan: blocks in cascade order, each with its inputs and their reasons.

Masters that do not exist yet take part as *planned* products of earlier blocks of the same plan, under the same rules.
The plan depends on nothing but its arguments; the order in which frames and products are given does not matter.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from core.cascade.associate import Candidate, CandidateIndex, RoleResult, Target, associate
from core.cascade.group import Group, group_frames
from core.cascade.model import (
    BlockPlan,
    BlockState,
    FrameInfo,
    InputChoice,
    Missing,
    NotProcessed,
    Origin,
    Plan,
    ProductInfo,
    Quality,
)
from core.cascade.rules import Rules, Task
from core.cascade.signature import Work, considered, deciding_rules, rules_hash, sign

__all__ = ["PlanOptions", "make_plan", "merge_plans"]


@dataclass(frozen=True)
class PlanOptions:
    """What a person or a setting can change about a plan.

    Attributes
    ----------
    older_only : bool
        Use only calibrations taken before the data (what could be done on that night is what is done).
    with_roles : frozenset of str
        Optional calibrations to use that are usually not used, e.g. ``MASTER_DARK``.
    with_recipes : frozenset of str
        Recipes to run that usually are not run, e.g. ``muse_lsf``.
    fresh : frozenset of str
        Frames that came in just now, so that more of their template may follow.
    versions : mapping
        Recipe name to recipe version; part of the signatures.
    parameters : mapping
        Recipe name to the parameters that differ from their defaults; part of the signatures.
    failed : mapping
        Signature of blocks that failed for good, to the reason.
    redone : mapping
        Planned signature of blocks that a person runs with other parameters, to the signature of that work: what is
        made from them follows it.
    """

    older_only: bool = False
    with_roles: frozenset[str] = frozenset()
    with_recipes: frozenset[str] = frozenset()
    fresh: frozenset[str] = frozenset()
    versions: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)
    redone: Mapping[str, str] = field(default_factory=dict)


def make_plan(
    rules: Rules,
    frames: Iterable[FrameInfo],
    products: Iterable[ProductInfo] = (),
    options: PlanOptions | None = None,
) -> Plan:
    """Plan the reduction of raw frames of one instrument.

    Parameters
    ----------
    rules : Rules
        The calibration plan of the instrument.
    frames : iterable of FrameInfo
        All frames that shall be reduced together, e.g. those of one or more nights.
    products : iterable of ProductInfo
        Calibrations that exist: made by earlier blocks, brought from outside, or static.
    options : PlanOptions, optional

    Returns
    -------
    Plan
    """
    options = options or PlanOptions()
    groups = group_frames(frames)
    shelf = _Shelf(products)
    blocks: list[BlockPlan] = []
    for task in rules.tasks:
        if task.asked and task.recipe not in options.with_recipes:
            continue
        of_task = [_plan_block(task, group, shelf, options, rules) for group in groups if group.tag == task.main]
        for block in of_task:
            work = options.redone.get(block.signature, block.signature)
            shelf.add_planned(block, work, options.failed.get(block.signature))
        blocks += of_task
    return Plan(tuple(blocks), _not_processed(groups, options, rules), rules.version)


def merge_plans(plans: Iterable[Plan]) -> Plan:
    """The plans of several instruments as one; what it says of rules is what each of them says."""
    plans = [plan for plan in plans if plan.blocks or plan.not_processed]
    return Plan(
        tuple(block for plan in plans for block in plan.blocks),
        tuple(entry for plan in plans for entry in plan.not_processed),
        "+".join(dict.fromkeys(plan.rules_version for plan in plans)),
    )


class _Shelf:
    """Calibrations by tag: those that exist, and those that blocks of the plan will make."""

    def __init__(self, products: Iterable[ProductInfo]) -> None:
        self._existing: dict[str, dict[str, ProductInfo]] = defaultdict(dict)
        for product in sorted(products, key=repr):
            self._existing[product.tag][product.id] = product
        self._planned: dict[str, list[Candidate]] = defaultdict(list)
        self._index: dict[str, CandidateIndex] = {}

    def add_planned(self, block: BlockPlan, signature: str, failure: str | None) -> None:
        unusable = None
        if block.missing:
            lack = "; ".join(missing.reason for missing in block.missing)
            unusable = ("incomplete", f"block {block.key} is incomplete: {lack}")
        elif failure is not None:
            unusable = ("failed", f"block {block.key} failed: {failure}")
        for tag in block.products:
            product = ProductInfo(
                id=f"{block.key}/{tag}",
                tag=tag,
                mjd=block.mjd,
                setup=block.setup,
                quality=Quality.PROVISIONAL,
                origin=Origin.PLANNED,
                units=block.units,
                block=block.key,
                signature=signature,
            )
            self._planned[tag].append(Candidate(product, unusable))
            self._index.pop(tag, None)

    def index(self, tag: str) -> CandidateIndex:
        if tag not in self._index:
            self._index[tag] = CandidateIndex(self._candidates(tag))
        return self._index[tag]

    def _candidates(self, tag: str) -> list[Candidate]:
        existing = self._existing[tag].values()
        made = {product.signature for product in existing if product.signature}
        planned = [c for c in self._planned[tag] if c.product.signature not in made]
        replaced = {c.product.block: c.product for c in planned if c.unusable is None}
        found = list(planned)
        for product in existing:
            newer = replaced.get(product.block) if product.block else None
            found.append(Candidate(product, _superseded(newer) if newer else None))
        return found


def _superseded(newer: ProductInfo) -> tuple[str, str]:
    return "superseded", f"superseded: {newer.block} is planned anew with other inputs or rules"


def _plan_block(task: Task, group: Group, shelf: _Shelf, options: PlanOptions, rules: Rules) -> BlockPlan:
    target = Target(group.setup, group.mjd, group.units, options.older_only)
    results: list[RoleResult] = []
    omitted: list[tuple[str, int]] = []
    notes = list(group.notes(rules.units))
    roles = considered(task, options.with_roles)
    notes += [f"{role.tag} not used: only on request" for role in task.inputs if role not in roles]
    for role in roles:
        result = associate(role, rules, target, shelf.index(role.tag))
        results.append(result)
        if result.omitted:
            omitted.append((role.tag, result.omitted))
    missing: list[Missing] = list(group.missing(rules.raw(task.main), rules.units, options.fresh))
    missing += [lack for result in results for lack in result.missing]
    inputs = tuple(choice for result in results for choice in result.choices)
    return BlockPlan(
        key=f"{task.recipe}-{group.name}",
        tag=group.tag,
        recipe=task.recipe,
        setup=group.setup,
        night=group.frames[0].night,
        tpl_start=group.tpl_start,
        mjd=group.mjd,
        units=group.units,
        frames=tuple(frame.id for frame in group.frames),
        editions=tuple(frame.edition for frame in group.frames),
        inputs=inputs,
        refusals=tuple(refusal for result in results for refusal in result.refusals),
        omitted=tuple(omitted),
        missing=tuple(missing),
        notes=tuple(notes),
        products=task.products,
        state=_state(missing, inputs),
        signature=sign(_work(task, group, inputs, options), deciding_rules(rules, task, options.with_roles)),
        rules_version=rules_hash(rules, task, options.with_roles),
    )


def _state(missing: list[Missing], inputs: tuple[InputChoice, ...]) -> BlockState:
    if missing:
        return BlockState.INCOMPLETE
    if any(choice.product.origin is Origin.PLANNED for choice in inputs):
        return BlockState.WAITING
    return BlockState.READY


def _work(task: Task, group: Group, inputs: tuple[InputChoice, ...], options: PlanOptions) -> Work:
    """Planned inputs count by the signature of their block."""
    return Work(
        recipe=task.recipe,
        version=options.versions.get(task.recipe, ""),
        parameters=options.parameters.get(task.recipe, {}),
        units=group.units,
        frames=tuple((frame.id, frame.edition) for frame in group.frames),
        inputs=tuple((choice.role, choice.product.identity) for choice in inputs),
    )


def _not_processed(groups: Iterable[Group], options: PlanOptions, rules: Rules) -> tuple[NotProcessed, ...]:
    running = {t.main for t in rules.tasks if not t.asked or t.recipe in options.with_recipes}
    why = dict(rules.without_task)
    return tuple(
        NotProcessed(frame.id, group.tag, why.get(group.tag, f"no rule for {group.tag} frames"))
        for group in groups
        if group.tag not in running
        for frame in group.frames
    )
