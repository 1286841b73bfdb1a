"""From the pure planner to the archive: a plan becomes rows (what it is made from: `core.archive.candidates`).

A block keeps its ``group_key`` (the key of the plan) over all plans. A plan that differs from the stored one
rewrites a block that has not run yet, and replaces one that has: the old row is SUPERSEDED by a new one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import date, datetime
from typing import Any, TypeVar

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.archive.clock import database_now
from core.archive.events import record_event
from core.archive.finishing import settle_inputs
from core.archive.models import Block, BlockInput, Frame, Product, setup_columns, unit_mask
from core.archive.remaking import await_expired
from core.archive.states import BlockState, FrameState, InputKind
from core.archive.transitions import change_block
from core.cascade.model import BlockPlan, Origin, Plan
from core.cascade.signature import SCHEME
from core.errors import NotFoundError

__all__ = ["SavedPlan", "kept_states", "plan_parts", "save_plan"]

T = TypeVar("T")

_REWRITABLE = frozenset({BlockState.INCOMPLETE, BlockState.WAITING, BlockState.READY, BlockState.QUEUED})


@dataclass(frozen=True)
class SavedPlan:
    """What saving a plan did, by block name.

    Attributes
    ----------
    created, changed, unchanged : tuple of str
    superseded : tuple of str
        Blocks that had run and were replaced by a created one.
    postponed : tuple of str
        Blocks that run now with another plan; save a plan again when they are done.
    """

    created: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    superseded: tuple[str, ...] = ()
    postponed: tuple[str, ...] = ()

    def __add__(self, other: SavedPlan) -> SavedPlan:
        """What saving two parts did."""
        return SavedPlan(*(getattr(self, item.name) + getattr(other, item.name) for item in fields(self)))


def plan_parts(plan: Plan, size: int = 200) -> Iterator[Plan]:
    """Cut a plan for saving, so that the write lock is free now and then; at least one part.

    A part takes calibrations of itself and of those before it only: blocks are in cascade order. After each part the
    archive is consistent, and what is ready in it may run; until the last one is saved, the plan counts as not made.
    """
    for start in range(0, max(len(plan.blocks), 1), size):
        yield replace(plan, blocks=plan.blocks[start : start + size], _index={})


def save_plan(
    session: Session,
    plan: Plan,
    *,
    recipe_versions: Mapping[str, str],
    max_tries: int = 3,
    actor: str = "planner",
    now: datetime | None = None,
) -> SavedPlan:
    """Store a plan, or a part of one: new blocks, changed blocks, replaced blocks; in one transaction.

    Take the planning turn (`core.archive.turns`) before what the plan is made from is read.

    Parameters
    ----------
    recipe_versions : mapping
        Version of each recipe by name.

    Raises
    ------
    NotFoundError
        If the plan names a frame, product or recipe that the archive does not know.
    """
    now = now or database_now(session)
    current = _current_blocks(session, plan)
    frame_ids = _frame_ids(session, plan)
    outcome: dict[str, list[str]] = defaultdict(list)
    ids: dict[str, int] = {key: block.id for key, block in current.items()}
    replaced: list[tuple[Block, Block]] = []
    gone = _gone_frames(session, frame_ids)
    for item in plan.blocks:
        old = current.get(item.key)
        wanted = BlockState[item.state.name]
        finished = old is not None and (old.state is BlockState.DONE or old.remaking)
        if old is not None and finished and not gone.isdisjoint(item.frames):
            outcome["unchanged"].append(old.name)  # it could not be done again
            continue
        if (
            old is not None
            and old.plan_signature == item.signature
            and (old.state not in _REWRITABLE or old.state in (wanted, BlockState.QUEUED))
        ):
            outcome["unchanged"].append(old.name)
            continue
        if old is not None and old.state is BlockState.RUNNING:
            outcome["postponed"].append(old.name)
            continue
        if item.recipe not in recipe_versions:
            raise NotFoundError(f"no recipe {item.recipe} is installed", recipe=item.recipe)
        if old is not None and old.state in _REWRITABLE:
            block = old
            block.plan_version += 1
            block.inputs.clear()
            session.flush()
            outcome["changed"].append(block.name)
        else:
            version = 1 if old is None else old.plan_version + 1
            block = Block(
                name=item.key if version == 1 else f"{item.key}_v{version}",
                group_key=item.key,
                plan_version=version,
                created_at=now,
                max_tries=max_tries,
            )
            session.add(block)
            outcome["created"].append(block.name)
            if old is not None:
                replaced.append((old, block))
        before = block.state if old is block else None
        _fill(block, item, recipe_versions[item.recipe])
        block.inputs.extend(_inputs(session, item, ids, frame_ids))
        session.flush()
        ids[item.key] = block.id
        if before is not block.state:
            record_event(
                session,
                "block",
                block.name,
                actor=actor,
                text=block.state_reason,
                from_state=before,
                to_state=block.state,
                now=now,
            )
    for old, new in replaced:
        change_block(
            session,
            old.id,
            BlockState.SUPERSEDED,
            from_states={BlockState.DONE, BlockState.FAILED, BlockState.CANCELLED},
            actor=actor,
            text=f"a new plan replaced it by {new.name}",
            now=now,
            superseded_by_id=new.id,
        )
        outcome["superseded"].append(old.name)
    written = [ids[item.key] for item in plan.blocks]
    await_expired(session, written, actor=actor, now=now)
    # What was done since the plan was made must not be waited for: nothing would end the wait.
    for source_id in _done_sources(session, written):
        settle_inputs(session, source_block_id=source_id, actor=actor, now=now)
    return SavedPlan(*(tuple(outcome[name]) for name in ("created", "changed", "unchanged", "superseded", "postponed")))


def kept_states(session: Session, plan: Plan) -> dict[str, BlockState]:
    """The states that blocks of a plan have in the archive, by key: of those that are stored just as planned."""
    current = _current_blocks(session, plan)
    return {
        item.key: current[item.key].state
        for item in plan.blocks
        if item.key in current and current[item.key].plan_signature == item.signature
    }


def _current_blocks(session: Session, plan: Plan) -> dict[str, Block]:
    keys = {item.key for item in plan.blocks}
    keys |= {choice.product.block for item in plan.blocks for choice in item.inputs if choice.product.block}
    current: dict[str, Block] = {}
    for part in _chunks(sorted(keys)):
        rows = session.scalars(
            select(Block)
            .where(Block.group_key.in_(part), Block.state != BlockState.SUPERSEDED)
            .order_by(Block.plan_version)
        )
        current.update({row.group_key: row for row in rows})
    return current


def _done_sources(session: Session, block_ids: Sequence[int]) -> list[int]:
    """Blocks that are done and whose products some blocks have as planned inputs."""
    found: set[int] = set()
    for part in _chunks(block_ids):
        query = (
            select(Block.id)
            .join(BlockInput, BlockInput.source_block_id == Block.id)
            .where(BlockInput.block_id.in_(part), BlockInput.kind == InputKind.PLANNED, Block.state == BlockState.DONE)
        )
        found.update(session.scalars(query))
    return sorted(found)


def _frame_ids(session: Session, plan: Plan) -> dict[str, int]:
    taken = {c.product.id for item in plan.blocks for c in item.inputs if c.product.origin is Origin.FRAME}
    names = sorted(taken.union(*(item.frames for item in plan.blocks)))
    found: dict[str, int] = {}
    for part in _chunks(names):
        found.update(
            {
                name: number
                for number, name in session.execute(select(Frame.id, Frame.dp_id).where(Frame.dp_id.in_(part)))
            }
        )
    unknown = [name for name in names if name not in found]
    if unknown:
        raise NotFoundError(f"the plan names a frame that the archive does not know: {unknown[0]}", frame=unknown[0])
    return found


def _gone_frames(session: Session, frame_ids: Mapping[str, int]) -> set[str]:
    """Those of some frames whose files are not there."""
    found: set[str] = set()
    for part in _chunks(sorted(frame_ids)):
        found.update(
            session.scalars(select(Frame.dp_id).where(Frame.dp_id.in_(part), Frame.state != FrameState.PRESENT))
        )
    return found


def _fill(block: Block, item: BlockPlan, recipe_version: str) -> None:
    block.recipe, block.recipe_version, block.tag = item.recipe, recipe_version, item.tag
    block.night, block.mjd_mid = date.fromisoformat(item.night), item.mjd
    block.n_raw, block.unit_mask = len(item.frames), unit_mask(item.units)
    block.state = BlockState[item.state.name]
    block.remaking = bool(block.remaking) and block.plan_signature == item.signature
    block.state_reason = "; ".join(missing.reason for missing in item.missing) or (
        f"waits for {', '.join(item.planned_inputs)}" if item.planned_inputs else ""
    )
    block.notes = "; ".join(item.notes)
    block.plan_signature = block.signature = item.signature
    block.signature_scheme = SCHEME
    block.rules_hash = item.rules_version
    for column, value in setup_columns(item.setup).items():
        setattr(block, column, value)


def _inputs(
    session: Session, item: BlockPlan, ids: Mapping[str, int], frame_ids: Mapping[str, int]
) -> list[BlockInput]:
    refused: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for refusal in item.refusals:
        refused[refusal.role].append(
            {
                "candidate": refusal.candidate,
                "code": refusal.code,
                "reason": refusal.reason,
                "days": refusal.days,
            }
        )
    for role, count in item.omitted:
        if count:
            refused[role].append(
                {"candidate": "", "code": "omitted", "reason": f"{count} more, farther in time", "days": None}
            )
    rows = [
        BlockInput(
            role=item.tag,
            kind=InputKind.RAW,
            frame_id=frame_ids[name],
            content=str(edition),
            reason="raw frame of the group",
        )
        for name, edition in zip(item.frames, item.editions, strict=True)
    ]
    for choice in item.inputs:
        product = choice.product
        row = BlockInput(
            role=choice.role,
            level=choice.level,
            age_days=choice.days,
            rule=choice.rule,
            reason=choice.reason,
            refused=refused.pop(choice.role, []),
        )
        if product.origin is Origin.FRAME:
            row.kind, row.frame_id, row.content = InputKind.RAW, frame_ids[product.id], product.digest
        elif product.origin is Origin.STATIC:
            row.kind, row.static_path, row.content = InputKind.STATIC, product.id, product.digest
            row.product_id = session.scalar(select(Product.id).where(Product.path == product.id))
        elif product.block:
            row.kind = InputKind.PLANNED if product.to_come else InputKind.PRODUCT
            if product.block not in ids:
                raise NotFoundError(f"the plan uses an unknown block {product.block}", block=product.block)
            row.source_block_id = ids[product.block]
        else:
            row.kind, row.content = InputKind.PRODUCT, product.digest
            row.product_id = session.scalar(select(Product.id).where(Product.path == product.id))
            if row.product_id is None:
                raise NotFoundError(f"the plan uses an unknown product {product.id}", product=product.id)
        rows.append(row)
    for missing in item.missing:
        rows.append(
            BlockInput(
                role=missing.role,
                kind=InputKind.MISSING,
                rule=missing.code,
                reason=missing.reason,
                refused=refused.pop(missing.role, []),
            )
        )
    for role, entries in refused.items():
        rows.append(
            BlockInput(role=role, kind=InputKind.MISSING, required=False, reason="optional; none fits", refused=entries)
        )
    for position, row in enumerate(rows):
        row.position = position
    return rows


def _chunks(names: Sequence[T], size: int = 500) -> Iterable[Sequence[T]]:
    return (names[start : start + size] for start in range(0, len(names), size))
