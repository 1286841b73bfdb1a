"""What an installation holds, in a form in which two of them can be compared: rows, files, what is left over.

Left out is what two runs cannot share: numbers of rows, times of work, paths, processes, and how many plans there were
before the last; so a block goes by the key of its group. The rest must be the same, and as often.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session, aliased, undefer

from core.archive.models import (
    Block,
    BlockInput,
    Event,
    Frame,
    Product,
    Qc1Parameter,
    Qc1Text,
    Qc1Value,
    QuarantinedFile,
    Score,
)
from core.archive.sessions import Archive
from core.archive.states import BlockState, ProductState
from core.settings import Settings
from workers.housekeeping import Housekeeping

__all__ = ["Difference", "Leftover", "clean_up", "compare", "contents"]

Rows = Counter[tuple[Any, ...]]
_VOLATILE = tuple(keyword.ljust(8).encode() for keyword in ("DATE", "CHECKSUM", "DATASUM"))
_POSITION = ("unit", "quadrant", "slice", "lamp", "exposure", "item")
_PNG_END = b"IEND\xaeB`\x82"
_RECORD, _CARD = 2880, 80
_LONG_AGO = 1_000_000_000  # [s since 1970]


@dataclass(frozen=True)
class Difference:
    """What differs in rows of a kind.

    Attributes
    ----------
    missing, extra, doubled : tuple of str
        Rows of the calm run that are not there; rows that it has not; rows that are there more often than in it.
    """

    missing: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    doubled: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.missing or self.extra or self.doubled)


@dataclass(frozen=True)
class Leftover:
    """Files that no row names, and work directories: before housekeeping, and what it left.

    Attributes
    ----------
    before, after : tuple of str
    """

    before: tuple[str, ...]
    after: tuple[str, ...]


def contents(archive: Archive) -> dict[str, Rows]:
    """Rows by kind, and how often each is there. What was replaced does not count."""
    with archive.read() as session:
        return {kind: Counter(read(session)) for kind, read in _KINDS.items()}


def compare(archive: Archive, calm: Archive) -> dict[str, Difference]:
    """What differs between an archive and that of a run which was left alone, by kind of row."""
    here, there = contents(archive), contents(calm)
    return {kind: _difference(here[kind], there[kind]) for kind in here}


def _difference(here: Rows, there: Rows) -> Difference:
    more = here - there
    return Difference(
        _texts(there - here),
        _texts(Counter({row: n for row, n in more.items() if row not in there})),
        _texts(Counter({row: n for row, n in more.items() if row in there})),
    )


def _texts(rows: Rows) -> tuple[str, ...]:
    return tuple(sorted(", ".join(map(str, row)) for row in rows.elements()))


# -- rows --------------------------------------------------------------------------------------------------------------
_VALID = Block.state != BlockState.SUPERSEDED
_CURRENT = Product.state != ProductState.SUPERSEDED


def _blocks(session: Session) -> list[tuple[Any, ...]]:
    return [
        (
            *(b.group_key, b.recipe, b.state, b.signature, b.n_raw, b.failed_unit_mask, b.skipped_unit_mask, b.notes),
            *(b.score, b.n_outliers, b.grave_outliers, b.doubtful),
        )
        for b in session.scalars(select(Block).where(_VALID))
    ]


def _inputs(session: Session) -> list[tuple[Any, ...]]:
    source = aliased(Block)
    query = (
        select(
            *(Block.group_key, BlockInput.position, BlockInput.role, BlockInput.kind, BlockInput.content),
            *(BlockInput.level, BlockInput.age_days, Frame.dp_id, source.group_key, BlockInput.static_path),
        )
        .join(Block, Block.id == BlockInput.block_id)
        .outerjoin(Frame, Frame.id == BlockInput.frame_id)
        .outerjoin(source, source.id == BlockInput.source_block_id)
        .where(_VALID)
    )
    return [tuple(row) for row in session.execute(query)]


def _frames(session: Session) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in session.execute(select(Frame.dp_id, Frame.state, Frame.edition, Frame.sha256))]


def _quarantined(session: Session) -> list[tuple[Any, ...]]:
    query = select(QuarantinedFile.file_name, QuarantinedFile.reason, QuarantinedFile.state)
    return [tuple(row) for row in session.execute(query)]


def _products(session: Session) -> list[tuple[Any, ...]]:
    """Rows of products, and what is in their files."""
    query = select(Product, Block.group_key).outerjoin(Block, Block.id == Product.block_id).where(_CURRENT)
    return [
        (block, p.tag, p.unit, p.mjd_obs, p.state, p.judge, p.size, p.datamd5, file_digest(Path(p.path), p.sha256))
        for p, block in session.execute(query)
    ]


def _plots(session: Session) -> list[tuple[Any, ...]]:
    """Pictures; their points may be others, as they compare with what was there when they were drawn."""
    blocks = session.scalars(select(Block).where(_VALID).options(undefer(Block.plots)))
    return [(b.group_key, Path(p["path"]).name, _picture(Path(p["path"]))) for b in blocks for p in b.plots]


def _ends_of_work(session: Session) -> list[tuple[Any, ...]]:
    """Blocks, as often as they became done; not those that another plan replaced."""
    query = (
        select(Block.group_key)
        .join(Event, Event.subject == Block.name)
        .where(_VALID, Event.kind == "block", Event.to_state == BlockState.DONE.value)
    )
    return [(key,) for key in session.scalars(query)]


def _of_table(table: type[Qc1Value | Qc1Text | Score], *columns: str) -> Callable[[Session], list[tuple[Any, ...]]]:
    def read(session: Session) -> list[tuple[Any, ...]]:
        chosen = [getattr(table, name) for name in (*_POSITION, *columns)]
        query = (
            select(Block.group_key, Qc1Parameter.table_name, Qc1Parameter.column_name, Product.file_name, *chosen)
            .select_from(table)
            .join(Block, Block.id == table.block_id)
            .join(Qc1Parameter, Qc1Parameter.id == table.parameter_id)
            .outerjoin(Product, Product.id == table.product_id)
            .where(_VALID)
        )
        return [tuple(row) for row in session.execute(query)]

    return read


_KINDS: dict[str, Callable[[Session], list[tuple[Any, ...]]]] = {
    "blocks": _blocks,
    "inputs of blocks": _inputs,
    "frames": _frames,
    "files set aside": _quarantined,
    "products": _products,
    "plots": _plots,
    "QC1 values": _of_table(Qc1Value, "mjd_obs", "value", "mode", "readout", "hidden"),
    "QC1 texts": _of_table(Qc1Text, "mjd_obs", "text", "mode", "hidden"),
    "scores": _of_table(Score, "value", "rule", "rules_version", "low", "high", "score"),
    "ends of work": _ends_of_work,
}


# -- files -------------------------------------------------------------------------------------------------------------
def file_digest(path: Path, digest: str) -> str:
    """Hash of a FITS file without the cards of dates and checksums; why there is none, if it is not as it was stored.

    Parameters
    ----------
    digest : str
        Its SHA-256 as stored.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        return f"unreadable: {error.strerror}"
    if sha256(data).hexdigest() != digest:
        return "its bytes are not those that were stored"
    rest = sha256()
    for start in range(0, len(data), _RECORD):
        record = data[start : start + _RECORD]
        if all(32 <= byte < 127 for byte in record):  # a header; no record of pixels is printable throughout
            cards = (record[at : at + _CARD] for at in range(0, _RECORD, _CARD))
            record = b"".join(card for card in cards if not card.startswith(_VOLATILE))
        rest.update(record)
    return rest.hexdigest()


def _picture(path: Path) -> str:
    try:
        return "whole" if path.read_bytes().endswith(_PNG_END) else "half"
    except OSError as error:
        return f"unreadable: {error.strerror}"


def clean_up(archive: Archive, settings: Settings) -> Leftover:
    """Have housekeeping remove what crashes left, as if all were old enough, and see what stays.

    No daemon may be at work.
    """
    before = _left_over(archive, settings)
    for path in settings.product_dir.rglob("*"):
        os.utime(path, (_LONG_AGO, _LONG_AGO))
    Housekeeping(archive, settings).clean(threading.Event())
    return Leftover(before, _left_over(archive, settings))


def _left_over(archive: Archive, settings: Settings) -> tuple[str, ...]:
    with archive.read() as session:
        known = set(session.scalars(select(Product.path)))
        known |= {str(plot["path"]) for plots in session.scalars(select(Block.plots)) for plot in plots}
    root = settings.product_dir
    files = [path for path in root.rglob("*") if path.is_file() and str(path) not in known]
    return tuple(sorted(str(path.relative_to(root)) for path in files))
