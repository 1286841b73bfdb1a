"""The cascade of a night as a graph, left to right: who makes what for whom."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from core.archive.models import Block, BlockInput
from core.archive.states import InputKind
from service.explain import explain_input

__all__ = ["Box", "CascadeGraph", "Edge", "cascade_graph", "cascade_order"]

BOX_WIDTH: Final = 190
BOX_HEIGHT: Final = 46
COLUMN: Final = 270
ROW: Final = 62
MARGIN: Final = 8


@dataclass(frozen=True)
class Box:
    """One block; ``foreign`` ones belong to another night."""

    block: Block
    x: int
    y: int
    foreign: bool
    choices: tuple[str, ...]


@dataclass(frozen=True)
class Edge:
    """From the block that makes a calibration to the one that takes it."""

    source: int
    target: int
    role: str
    path: str
    planned: bool


@dataclass(frozen=True)
class CascadeGraph:
    """The drawing."""

    width: int
    height: int
    boxes: tuple[Box, ...]
    edges: tuple[Edge, ...]
    box_width: int = BOX_WIDTH
    box_height: int = BOX_HEIGHT


def _sources(items: Sequence[BlockInput]) -> list[BlockInput]:
    return [item for item in items if item.source_block_id is not None]


def _depths(blocks: Sequence[Block], inputs: Mapping[int, Sequence[BlockInput]]) -> dict[int, int]:
    known = {block.id for block in blocks}
    depths: dict[int, int] = {}

    def depth(identity: int, path: frozenset[int]) -> int:
        if identity in path:  # the archive cannot hold a cycle; a broken one must not hang a page
            return 0
        if identity not in depths:
            before = [
                depth(item.source_block_id, path | {identity})
                for item in _sources(inputs.get(identity, ()))
                if item.source_block_id in known
            ]
            outside = any(item.source_block_id not in known for item in _sources(inputs.get(identity, ())))
            depths[identity] = 1 + max(before, default=0 if outside else -1)
        return depths[identity]

    for block in blocks:
        depth(block.id, frozenset())
    return depths


def cascade_order(blocks: Sequence[Block], inputs: Mapping[int, Sequence[BlockInput]]) -> list[Block]:
    """Blocks in the order in which they can be made, then by time."""
    depths = _depths(blocks, inputs)
    return sorted(blocks, key=lambda block: (depths[block.id], block.mjd_mid, block.name))


def cascade_graph(blocks: Sequence[Block], inputs: Mapping[int, Sequence[BlockInput]]) -> CascadeGraph | None:
    """Lay out boxes in columns by depth; None if there is no block."""
    if not blocks:
        return None
    depths = _depths(blocks, inputs)
    own = {block.id for block in blocks}
    foreign: dict[int, Block] = {
        item.source_block.id: item.source_block
        for block in blocks
        for item in _sources(inputs.get(block.id, ()))
        if item.source_block is not None and item.source_block_id not in own
    }
    shift = 1 if foreign and all(depths[block.id] > 0 for block in blocks) else 0
    columns: dict[int, list[tuple[Block, bool]]] = defaultdict(list)
    for block in sorted(foreign.values(), key=lambda item: item.mjd_mid):
        columns[0].append((block, True))
    for block in blocks:
        columns[depths[block.id] - shift + (1 if shift else 0)].append((block, False))
    places: dict[int, tuple[int, int]] = {}
    boxes = []
    tallest = max(len(column) for column in columns.values())
    for column, members in sorted(columns.items()):
        top = MARGIN + (tallest - len(members)) * ROW // 2
        for row, (block, outside) in enumerate(members):
            x, y = MARGIN + column * COLUMN, top + row * ROW
            places[block.id] = (x, y)
            choices = tuple(explain_input(item) for item in inputs.get(block.id, ()) if item.kind is not InputKind.RAW)
            boxes.append(Box(block, x, y, outside, choices))
    edges = _edges(blocks, inputs, places)
    width = max(columns) * COLUMN + BOX_WIDTH + 2 * MARGIN
    return CascadeGraph(width, tallest * ROW + 2 * MARGIN, tuple(boxes), edges)


def _path(x0: int, y0: int, x1: int, y1: int) -> str:
    """A curve; one that jumps over columns runs in the gap below its row, not behind their boxes."""
    gap = COLUMN - BOX_WIDTH
    if x1 - x0 <= gap:
        middle = (x1 - x0) // 2
        return f"M{x0} {y0}C{x0 + middle} {y0} {x1 - middle} {y1} {x1} {y1}"
    lane, bend = y0 + ROW // 2 + 2, gap // 2
    return (
        f"M{x0} {y0}C{x0 + bend} {y0} {x0 + bend // 2} {lane} {x0 + gap} {lane}H{x1 - gap}"
        f"C{x1 - bend // 2} {lane} {x1 - bend} {y1} {x1} {y1}"
    )


def _edges(
    blocks: Sequence[Block], inputs: Mapping[int, Sequence[BlockInput]], places: Mapping[int, tuple[int, int]]
) -> tuple[Edge, ...]:
    merged: dict[tuple[int, int], list[BlockInput]] = defaultdict(list)
    for block in blocks:
        for item in _sources(inputs.get(block.id, ())):
            if item.source_block_id in places and item.source_block_id is not None:
                merged[item.source_block_id, block.id].append(item)
    edges = []
    for (source, target), items in merged.items():
        (x0, y0), (x1, y1) = places[source], places[target]
        x0, y0, y1 = x0 + BOX_WIDTH, y0 + BOX_HEIGHT // 2, y1 + BOX_HEIGHT // 2
        path = _path(x0, y0, x1, y1)
        roles = ", ".join(dict.fromkeys(item.role for item in items))
        edges.append(Edge(source, target, roles, path, any(item.kind is InputKind.PLANNED for item in items)))
    return tuple(edges)
