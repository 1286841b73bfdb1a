"""Blocks that an older program planned get signatures of the present form; nothing is reduced again for it.

A signature is made from the rows of a block: its recipe and version, its frames, its chosen inputs, each standing for
what it is. The same rows give the signature that the planner finds for the same work, so that the next plan sees an
unchanged block, whether that is to be done, done, failed or cancelled.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from core.archive.models import Block, BlockInput, Frame, Product, units_of_mask
from core.archive.sessions import Archive
from core.archive.states import BlockState, InputKind
from core.cascade.signature import SCHEME, SignedWork, deciding_rules, product_identity, sign, signature_with
from core.instruments.rules import Rules, Task

__all__ = ["sign_anew"]

_CHUNK = 500  # blocks signed in one transaction


def sign_anew(archive: Archive, plans: Iterable[Rules], statics: Mapping[str, str]) -> int:
    """Sign the blocks whose signatures have an older form; does nothing in an archive without any.

    A block that runs keeps its signature until it has ended. It may end at any point: what is signed already counts.

    Parameters
    ----------
    plans : iterable of Rules
        The calibration plans of all instruments: what they say of a block's own task is part of its signature.
    statics : mapping
        Path to content hash of the static calibrations, for blocks that were planned without noting it.

    Returns
    -------
    int
        How many were signed.
    """
    with archive.read() as session:
        if session.scalar(select(Block.id).where(Block.signature_scheme < SCHEME).limit(1)) is None:
            return 0
        signer = _Signer(tuple(plans), statics, _all_blocks(session))
        for number, inputs in _inputs_of_old(session):
            signer.inputs.setdefault(number, []).append(inputs)
    old = [number for number, block in signer.blocks.items() if block.scheme < SCHEME]
    done = 0
    for start in range(0, len(old), _CHUNK):
        with archive.write() as session:
            done += _store(session, signer, old[start : start + _CHUNK])
    return done


@dataclass(frozen=True)
class _OldBlock:
    recipe: str
    version: str
    tag: str
    units: tuple[int, ...]
    scheme: int
    plan_signature: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class _OldInput:
    role: str
    kind: InputKind
    source: int | None
    name: str  # of the frame, static file or product
    content: str | None


@dataclass
class _Signer:
    plans: tuple[Rules, ...]
    statics: Mapping[str, str]
    blocks: dict[int, _OldBlock]
    inputs: dict[int, list[_OldInput]] = field(default_factory=dict)
    _known: dict[int, str] = field(default_factory=dict)

    def planned(self, number: int) -> str:
        """Signature of a block as planned."""
        if number not in self._known:
            self._known[number] = self._sign(number)
        return self._known[number]

    def _sign(self, number: int) -> str:
        block = self.blocks[number]
        found = self._task(block)
        if block.scheme >= SCHEME or found is None:  # no plan will ask for a recipe that is gone
            return block.plan_signature
        rules, task = found
        entries = self.inputs.get(number, [])
        chosen = [entry for entry in entries if entry.kind is not InputKind.MISSING]
        raws = [entry for entry in chosen if entry.kind is InputKind.RAW and entry.role == block.tag]
        work = SignedWork(
            block.recipe,
            block.version,
            {},
            block.units,
            tuple((entry.name, int(entry.content or 1)) for entry in raws),
            tuple((entry.role, self._identity(entry)) for entry in chosen if entry not in raws),
        )
        return sign(work, deciding_rules(rules, task, {entry.role for entry in entries}))

    def _task(self, block: _OldBlock) -> tuple[Rules, Task] | None:
        tasks = ((rules, rules.task(block.recipe, block.tag)) for rules in self.plans)
        return next(((rules, task) for rules, task in tasks if task is not None), None)

    def _identity(self, entry: _OldInput) -> str:
        if entry.source is not None:
            made = signature_with(self.planned(entry.source), self.blocks[entry.source].parameters)
            return product_identity(entry.role, made, "", "")
        digest = self.statics.get(entry.name, "") if entry.content is None else entry.content
        return product_identity(entry.role, "", digest, entry.name)


def _all_blocks(session: Session) -> dict[int, _OldBlock]:
    columns = (
        Block.recipe,
        Block.recipe_version,
        Block.tag,
        Block.unit_mask,
        Block.signature_scheme,
        Block.plan_signature,
        Block.parameters,
    )
    rows = session.execute(select(Block.id, *columns).order_by(Block.id))
    return {
        number: _OldBlock(recipe, version, tag, units_of_mask(mask), scheme, planned, parameters)
        for number, recipe, version, tag, mask, scheme, planned, parameters in rows
    }


def _inputs_of_old(session: Session) -> Iterator[tuple[int, _OldInput]]:
    query = (
        select(
            BlockInput.block_id,
            BlockInput.role,
            BlockInput.kind,
            BlockInput.source_block_id,
            BlockInput.content,
            BlockInput.static_path,
            Frame.dp_id,
            Product.path,
            Product.sha256,
        )
        .join(Block, BlockInput.block_id == Block.id)
        .outerjoin(Frame, BlockInput.frame_id == Frame.id)
        .outerjoin(Product, BlockInput.product_id == Product.id)
        .where(Block.signature_scheme < SCHEME)
        .order_by(BlockInput.block_id, BlockInput.position)
    )
    for number, role, kind, source, content, static, frame, product, digest in session.execute(query):
        name = frame or static or product or ""
        yield number, _OldInput(role, kind, source, name, content if content is not None else digest)


def _store(session: Session, signer: _Signer, numbers: list[int]) -> int:
    """Write the signatures of some blocks, as far as they do not run now."""
    query = select(Block.id, Block.signature, Block.parameters).where(
        Block.id.in_(numbers), Block.signature_scheme < SCHEME, Block.state != BlockState.RUNNING
    )
    rows = session.execute(query).all()
    changes = [
        {
            "id": number,
            "plan_signature": signer.planned(number),
            # None where a person asked for a run with other parameters that has not begun
            "signature": signature and signature_with(signer.planned(number), parameters),
            "signature_scheme": SCHEME,
        }
        for number, signature, parameters in rows
    ]
    if changes:
        session.execute(update(Block), changes)
    return len(changes)
