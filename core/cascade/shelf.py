"""What blocks of a plan can take: inputs that exist, and those that earlier blocks of the same plan will make."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace

from core.cascade.associate import Candidate, CandidateIndex
from core.cascade.model import BlockPlan, Origin, ProductInfo, Quality
from core.cascade.signature import begun_pair
from core.instruments.rules import Rules

__all__ = ["Shelf"]


class Shelf:
    """Candidates by tag.

    Parameters
    ----------
    rules : Rules
    products : iterable of ProductInfo
        Products, static calibrations and raw frames that exist.
    """

    def __init__(self, rules: Rules, products: Iterable[ProductInfo]) -> None:
        self._rules = rules
        self._existing: dict[str, dict[str, ProductInfo]] = defaultdict(dict)
        for product in sorted(products, key=repr):
            self._existing[product.tag][product.id] = product
        self._planned: dict[str, list[Candidate]] = defaultdict(list)
        self._index: dict[str, CandidateIndex] = {}

    def add_planned(self, block: BlockPlan, signature: str, failure: str | None) -> None:
        """Add the products of a block, whose work will have a signature; ``failure`` says why it will not be done."""
        unusable = None
        if block.missing:
            lack = "; ".join(missing.reason for missing in block.missing)
            unusable = ("incomplete", f"block {block.key} is incomplete: {lack}")
        elif failure is not None:
            unusable = ("failed", f"block {block.key} failed: {failure}")
        doubtful = [c.role for c in block.inputs if c.product.quality is Quality.DOUBTFUL]
        for tag in block.products:
            product = ProductInfo(
                id=f"{block.key}/{tag}",
                tag=tag,
                mjd=block.mjd,
                setup=block.setup,
                quality=Quality.DOUBTFUL if doubtful else Quality.PROVISIONAL,
                doubt=f"made with doubtful {', '.join(dict.fromkeys(doubtful))}" if doubtful else "",
                origin=Origin.PLANNED,
                units=block.units,
                block=block.key,
                signature=signature,
                recipe=block.recipe,
                pair=self._pair(tag, block, signature),
                group=block.group,
                night=block.night,
                tpl_start=block.tpl_start,
                obs=block.obs,
                target=block.target,
                temperature=block.temperature,
                pairs=block.pairs,
            )
            self._planned[tag].append(Candidate(product, unusable))
            self._index.pop(tag, None)

    def _pair(self, tag: str, block: BlockPlan, signature: str) -> str:
        """That of the partner it is made with; else it is the first of a pair. Empty for tags without partners."""
        partners = self._rules.partners(tag)
        if not partners:
            return ""
        return next((pair for partner, pair in block.pairs if partner in partners), begun_pair(tag, signature))

    def starting(self, tag: str) -> list[Candidate]:
        """Products of a tag that blocks of this plan make, or have made: they start later tasks."""
        made = {product.signature: product for product in self._existing[tag].values() if product.signature}
        found = []
        for candidate in self._planned[tag]:
            done = made.get(candidate.product.signature)
            if done is None:
                found.append(candidate)
            elif done.quality is Quality.REJECTED:
                found.append(Candidate(_made(candidate.product, done), ("rejected", "rejected: it must not be used")))
            else:
                found.append(Candidate(_made(candidate.product, done)))
        return found

    def index(self, tag: str) -> CandidateIndex:
        """Candidates of a tag, by time."""
        if tag not in self._index:
            self._index[tag] = CandidateIndex(self._candidates(tag))
        return self._index[tag]

    def _candidates(self, tag: str) -> list[Candidate]:
        existing = self._existing[tag].values()
        made = {product.signature for product in existing if product.signature}
        planned = [c for c in self._planned[tag] if c.product.signature not in made]
        replaced = {c.product.block: c.product for c in planned if c.unusable is None}
        sources = {c.product.signature: c.product for c in self._planned[tag]}
        found = list(planned)
        for product in existing:
            newer = replaced.get(product.block) if product.block else None
            source = sources.get(product.signature) if product.signature else None
            known = product if source is None else _made(source, product)
            found.append(Candidate(known, _superseded(newer) if newer else None))
        return found


def _made(planned: ProductInfo, done: ProductInfo) -> ProductInfo:
    """An existing product, with what the plan knows of its origin."""
    return replace(
        done,
        pair=done.pair or planned.pair,
        group=planned.group,
        night=planned.night,
        tpl_start=planned.tpl_start,
        obs=planned.obs,
        target=planned.target,
        temperature=planned.temperature,
        pairs=planned.pairs,
    )


def _superseded(newer: ProductInfo) -> tuple[str, str]:
    return "superseded", f"superseded: {newer.block} is planned anew with other inputs or rules"
