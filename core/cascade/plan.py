"""All frames and known calibrations become a plan: blocks in cascade order, each with its inputs and their reasons.

Products that do not exist yet take part as *planned* products of earlier blocks of the same plan, under the same rules,
be it as calibrations or as what a later task starts from. The plan depends on nothing but its arguments; the order in
which frames and products are given does not matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from core.cascade.associate import Candidate, RoleResult, associate, fitting_pairs
from core.cascade.fit import Target
from core.cascade.group import Group, group_frames, group_products
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
    Refusal,
    Request,
)
from core.cascade.reasons import member_reason, unmade
from core.cascade.shelf import Shelf
from core.cascade.signature import SignedWork, considered, deciding_rules, rules_hash, sign
from core.instruments.rules import GroupBy, InputRule, Rules, Task

__all__ = ["EXPOSING", "PlanOptions", "make_plan", "merge_plans"]

EXPOSING = "exposing"  # code of what a block lacks of which more exposures are waited for
_WILL_NOT_BE = ("failed", "incomplete")  # codes of refusals: what was to be made, and is not


@dataclass(frozen=True)
class PlanOptions:
    """What is known besides frames and products, and what a person or a setting can change about a plan.

    Attributes
    ----------
    request : Request
        What is wanted of all nights.
    of_nights : mapping
        Night to what is wanted of it besides.
    fresh : frozenset of str
        Frames that came in just now, so that more of their template may follow.
    exposing : frozenset of (str, str, str)
        Night, observation block and target of which more exposures may follow: nothing is put together of them yet.
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

    request: Request = field(default_factory=Request)
    of_nights: Mapping[str, Request] = field(default_factory=dict)
    fresh: frozenset[str] = frozenset()
    exposing: frozenset[tuple[str, str, str]] = frozenset()
    versions: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)
    redone: Mapping[str, str] = field(default_factory=dict)

    def wanted(self, night: str) -> Request:
        """What is wanted of a night."""
        return self.request | self.of_nights.get(night, Request())

    def runs(self, task: Task, night: str) -> bool:
        """Whether a task is to be done for a night."""
        return not task.asked or task.recipe in self.wanted(night).with_recipes


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
        What exists: made by earlier blocks, brought from outside, or static.
    options : PlanOptions, optional

    Returns
    -------
    Plan
    """
    options = options or PlanOptions()
    frames = {frame.id: frame for frame in sorted(frames, key=lambda f: (f.id, repr(f)))}.values()
    taken = rules.input_tags
    shelf = Shelf(rules, [*products, *(ProductInfo.of_frame(frame) for frame in frames if frame.tag in taken)])
    blocks: list[BlockPlan] = []
    set_aside: dict[str, str] = {}
    for task in rules.tasks:
        of_task = []
        for group, refused in _groups(task, frames, shelf, rules):
            if not options.runs(task, group.first.night):
                continue
            try:
                of_task.append(_Planner(task, group, refused, shelf, options, rules).block())
            except Exception as error:  # whatever is wrong with one group, the others have their plan
                reason = f"its group {group.name} cannot be planned: {type(error).__name__}: {error}"
                set_aside.update({frame.id: reason for frame in group.frames})
        for block in of_task:
            work = options.redone.get(block.signature, block.signature)
            shelf.add_planned(block, work, options.failed.get(block.signature))
        blocks += of_task
    return Plan(tuple(blocks), _not_processed(frames, blocks, set_aside, rules), rules.version)


def merge_plans(plans: Iterable[Plan]) -> Plan:
    """The plans of several instruments as one; what it says of rules is what each of them says."""
    plans = [plan for plan in plans if plan.blocks or plan.not_processed]
    return Plan(
        tuple(block for plan in plans for block in plan.blocks),
        tuple(entry for plan in plans for entry in plan.not_processed),
        "+".join(dict.fromkeys(plan.rules_version for plan in plans)),
    )


def _groups(
    task: Task, frames: Iterable[FrameInfo], shelf: Shelf, rules: Rules
) -> list[tuple[Group, tuple[Candidate, ...]]]:
    """What each block of a task starts from, and what is left out of it."""
    if rules.raw(task.main) is not None:
        of_tag = [frame for frame in frames if frame.tag == task.main]
        return [(replace(group, minimum=task.minimum), ()) for group in group_frames(of_tag, task.group_by)]
    candidates = {candidate.product.id: candidate for candidate in shelf.starting(task.main)}
    groups = group_products([candidate.product for candidate in candidates.values()], task.group_by)
    return [
        (group, tuple(c for c in (candidates[product.id] for product in group.products) if c.unusable))
        for group in groups
        if not task.together or len(group.products) >= task.minimum
    ]


@dataclass(frozen=True)
class _Planner:
    """Plans one block. ``refused`` are the products of the group that cannot be used."""

    task: Task
    group: Group
    refused: tuple[Candidate, ...]
    shelf: Shelf
    options: PlanOptions
    rules: Rules

    def block(self) -> BlockPlan:
        task, group, first = self.task, self.group, self.group.first
        wanted = self.options.wanted(first.night)
        members = self.members()
        roles = tuple(role for role in considered(task, wanted.with_roles) if role.serves(group.setup))
        pairs = _inherited_pairs(members)
        results: list[RoleResult] = []
        for role in roles:
            result = self.choose(role, roles, pairs, wanted)
            pairs += [(role.tag, choice.product.pair) for choice in result.choices if self.rules.partners(role.tag)]
            results.append(result)
        notes = list(group.notes(self.rules.units))
        notes += [f"{role.tag} not used: only on request" for role in task.inputs if role.asked and role not in roles]
        notes += self.incomplete(members, zip(roles, results, strict=True))
        inputs = (*members, *(choice for result in results for choice in result.choices))
        missing = [*self.lacks(members), *(lack for result in results for lack in result.missing), *unmade(inputs)]
        return BlockPlan(
            key=f"{task.prefix}-{group.name}",
            group=group.name,
            tag=group.tag,
            recipe=task.recipe,
            setup=group.setup,
            night=first.night,
            tpl_start=first.tpl_start,
            mjd=group.mjd,
            units=group.units,
            frames=tuple(frame.id for frame in group.frames),
            editions=tuple(frame.edition for frame in group.frames),
            inputs=inputs,
            refusals=(*self.left_out(), *(refusal for result in results for refusal in result.refusals)),
            omitted=tuple(
                (role.tag, result.omitted) for role, result in zip(roles, results, strict=True) if result.omitted
            ),
            missing=tuple(missing),
            notes=tuple(notes),
            products=task.products,
            state=_state(missing, inputs),
            signature=sign(self.work(inputs), deciding_rules(self.rules, task, wanted.with_roles)),
            rules_version=rules_hash(self.rules, task, wanted.with_roles),
            obs=first.obs,
            target=first.target,
            temperature=group.temperature,
            pairs=tuple(dict.fromkeys(pair for pair in pairs if pair[1])),
        )

    def members(self) -> tuple[InputChoice, ...]:
        """The products that start the block, as its first inputs."""
        unusable = {candidate.product.id for candidate in self.refused}
        return tuple(
            InputChoice(
                self.task.main,
                product,
                0,
                product.mjd - self.group.mjd,
                self.task.group_by.value,
                member_reason(product, self.task.group_by),
            )
            for product in self.group.products
            if product.id not in unusable
        )

    def left_out(self) -> tuple[Refusal, ...]:
        """The products of the group that cannot be used, with the reasons."""
        return tuple(
            Refusal(self.task.main, candidate.product.id, *candidate.unusable, candidate.product.mjd - self.group.mjd)
            for candidate in self.refused
            if candidate.unusable
        )

    def incomplete(
        self, members: tuple[InputChoice, ...], found: Iterable[tuple[InputRule, RoleResult]]
    ) -> Iterator[str]:
        """What a reader should know that the block is made without, although it is made."""
        total = len(self.group.products)
        if members and len(members) < total:
            why = "; ".join(f"{refusal.candidate}: {refusal.reason}" for refusal in self.left_out())
            yield f"{total - len(members)} of {total} {self.task.main} left out: {why}"
        for role, result in found:
            lost = next((refusal for refusal in result.refusals if refusal.code in _WILL_NOT_BE), None)
            if lost is not None and not result.choices and not result.missing:
                yield f"without {role.tag}: {lost.candidate}: {lost.reason}"

    def lacks(self, members: tuple[InputChoice, ...]) -> tuple[Missing, ...]:
        """What the group lacks to be reduced."""
        source = self.rules.raw(self.task.main)
        if source is not None:
            alone = self.task.group_by is GroupBy.EXPOSURE  # it needs not the others of its template
            fresh: frozenset[str] = frozenset() if alone else self.options.fresh
            return self.group.missing(source, self.task.minimum, self.rules.units, fresh)
        first = self.group.first
        if self.task.together and (first.night, first.obs, first.target) in self.options.exposing:
            text = f"waits for exposures: {len(self.group.products)} of the observation block have arrived so far"
            return (Missing(self.task.main, EXPOSING, text),)
        if len(members) >= self.task.minimum:
            return ()
        why = "".join(f"; {refusal.candidate}: {refusal.reason}" for refusal in self.left_out()[:1])
        text = f"{len(members)} of at least {self.task.minimum} usable {self.task.main}{why}"
        return (Missing(self.task.main, "too_few", text),)

    def choose(
        self, role: InputRule, roles: tuple[InputRule, ...], pairs: list[tuple[str, str]], wanted: Request
    ) -> RoleResult:
        """Choose the inputs of a role; one that has a partner among the roles that fits, too, if there is one."""
        target = Target(
            self.group.setup,
            self.group.mjd,
            self.group.units,
            wanted.older_only,
            (self.group.first.night, self.group.first.obs, self.group.first.target),
            self.group.temperature,
            tuple(pairs),
        )
        index = self.shelf.index(role.tag)
        result = associate(role, self.rules, target, index)
        known = {tag for tag, _ in pairs}
        for partner in roles:
            if partner.tag in self.rules.partners(role.tag) and partner.tag not in known:
                fitting = fitting_pairs(partner, self.rules, target, self.shelf.index(partner.tag))
                if any(choice.product.pair not in fitting for choice in result.choices):
                    paired = associate(role, self.rules, target, index, fitting)
                    result = result if paired.missing else paired
        return result

    def work(self, inputs: tuple[InputChoice, ...]) -> SignedWork:
        """What the block uses; planned inputs count by the signature of their block."""
        return SignedWork(
            recipe=self.task.recipe,
            version=self.options.versions.get(self.task.recipe, ""),
            parameters=self.options.parameters.get(self.task.recipe, {}),
            units=self.group.units,
            frames=tuple((frame.id, frame.edition) for frame in self.group.frames),
            inputs=tuple((choice.role, choice.product.identity) for choice in inputs),
        )


def _inherited_pairs(members: tuple[InputChoice, ...]) -> list[tuple[str, str]]:
    return list(dict.fromkeys(pair for choice in members for pair in choice.product.pairs))


def _state(missing: list[Missing], inputs: tuple[InputChoice, ...]) -> BlockState:
    if missing:
        return BlockState.INCOMPLETE
    if any(choice.product.to_come for choice in inputs):
        return BlockState.WAITING
    return BlockState.READY


def _not_processed(
    frames: Iterable[FrameInfo], blocks: Iterable[BlockPlan], set_aside: Mapping[str, str], rules: Rules
) -> tuple[NotProcessed, ...]:
    blocks = tuple(blocks)
    used = {name for block in blocks for name in block.frames}
    used |= {c.product.id for block in blocks for c in block.inputs if c.product.origin is Origin.FRAME}
    asked = {task.main: f"only on request, with the recipe {task.recipe}" for task in rules.tasks if task.asked}
    why = asked | dict(rules.without_task)
    found: list[NotProcessed] = []
    for frame in sorted(frames, key=lambda f: (f.mjd_mid, f.tag, f.id)):
        if frame.id not in used:
            usual = "no block takes it" if frame.tag in rules.input_tags else f"no rule for {frame.tag} frames"
            reason = set_aside.get(frame.id) or why.get(frame.tag, usual)
            found.append(NotProcessed(frame.id, frame.tag, reason))
    return tuple(found)
