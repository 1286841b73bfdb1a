"""Products that came from outside: masters and static calibrations found among the raw files of an archive directory.

They are rows of `Product` without a block, each with an `OutsideFile` that says how ingest knows it again. Like a frame
such a file may change, move and vanish; it stays in the archive then, and is no candidate while it is missing. A
decision of a person (rejected, certified) is kept as long as the content is the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session, contains_eager, undefer

from core.archive.clock import database_now
from core.archive.events import record_event
from core.archive.intake import Known, Outcome, chunks, release_held
from core.archive.models import Frame, OutsideFile, Product, setup_columns, unit_mask
from core.archive.states import FrameState, ProductState
from core.instruments.setup import Setup

__all__ = [
    "NewOutside",
    "StaticRow",
    "StoredOutside",
    "files_of_set",
    "known_outside",
    "lose_outside",
    "outside_below",
    "outside_statics",
    "outside_twin_paths",
    "store_outside",
]


@dataclass(frozen=True)
class NewOutside:
    """A product file that was read by its headers and hashed.

    Attributes
    ----------
    tag : str
        ``PRO.CATG``.
    twin_paths : tuple of str
        Where the same file would lie, packed or not.
    set_name : str
        The same for the files of a set, one per unit.
    units : tuple of int
        In the file; empty for products of the whole instrument.
    state : ProductState
        Trust that the archive it came from puts in it.
    header : mapping
        Keywords in dot notation.
    """

    path: str
    file_name: str
    twin_paths: tuple[str, ...]
    size: int
    mtime: float
    sha256: str
    tag: str
    units: tuple[int, ...]
    static: bool
    set_name: str
    state: ProductState
    night: date
    mjd_obs: float
    mjd_mid: float
    setup: Setup
    header: Mapping[str, Any] = field(repr=False)

    @property
    def unit(self) -> int | None:
        """The unit of the file, if it holds one only."""
        return self.units[0] if len(self.units) == 1 else None


@dataclass(frozen=True)
class StoredOutside:
    """What became of one file; ``twin`` is the path of the earlier one, of duplicates."""

    file: NewOutside
    outcome: Outcome
    released: bool = False
    twin: str = ""


@dataclass(frozen=True)
class StaticRow:
    """A static calibration among the products from outside."""

    path: str
    sha256: str
    state: ProductState
    header: Mapping[str, Any]


def known_outside(session: Session, paths: Sequence[str]) -> dict[str, Known]:
    """What the archive knows of some paths; those of missing files are left out, so that they are read again."""
    known: dict[str, Known] = {}
    for part in chunks(paths):
        rows = session.execute(
            select(Product.path, Product.size, OutsideFile.mtime)
            .join(OutsideFile, OutsideFile.product_id == Product.id)
            .where(Product.path.in_(part), OutsideFile.state == FrameState.PRESENT)
        )
        known.update({path: Known(size, mtime) for path, size, mtime in rows})
    return known


def outside_twin_paths(session: Session, files: Sequence[NewOutside]) -> set[str]:
    """Paths of earlier products that some new ones may be copies of: see whether they still exist."""
    own = {file.path for file in files}
    return {twin.path for file in files for twin in _twins(session, file)} - own


def store_outside(
    session: Session,
    files: Sequence[NewOutside],
    *,
    exists: Mapping[str, bool],
    actor: str = "ingest",
    now: datetime | None = None,
) -> list[StoredOutside]:
    """Store products from outside; find those that the archive has already.

    A file is a duplicate if the archive has its content, or it is the packed or the plain form of one, and that one's
    path still exists. If it is gone, the file has moved. What was a frame under the path is missing from now on.

    Parameters
    ----------
    exists : mapping
        Whether the path of an earlier product still exists; paths that are not in it count as existing. Ask
        `outside_twin_paths` for the paths to look at.
    """
    now = now or database_now(session)
    results: list[StoredOutside] = []
    for file in files:
        same = _outside_at(session, file.path)
        twins = [twin for twin in _twins(session, file) if same is None or twin.id != same.product_id]
        alive = next((twin for twin in twins if exists.get(twin.path, True)), None)
        if alive is not None:
            results.append(StoredOutside(file, Outcome.DUPLICATE, twin=alive.path))
            continue
        moved = next((row for twin in twins if (row := _outside_at(session, twin.path)) is not None), None)
        row = same or moved
        outcome = Outcome.NEW if row is None else Outcome.UPDATED if row is same else Outcome.MOVED
        _write(session, row, file, outcome, actor, now)
        results.append(StoredOutside(file, outcome))
    usable = [result.file.path for result in results if result.outcome is not Outcome.DUPLICATE]
    _displace_frames(session, usable, actor, now)
    released = release_held(session, usable, actor, now)
    return [StoredOutside(result.file, result.outcome, result.file.path in released, result.twin) for result in results]


def lose_outside(
    session: Session,
    paths: Iterable[str],
    *,
    text: str = "the file is gone",
    actor: str = "ingest",
    now: datetime | None = None,
) -> int:
    """Products from outside whose file is gone or is something else now are MISSING; returns their number."""
    now = now or database_now(session)
    count = 0
    for part in chunks(list(paths)):
        rows = session.scalars(
            select(OutsideFile)
            .join(Product, OutsideFile.product_id == Product.id)
            .where(Product.path.in_(part), OutsideFile.state == FrameState.PRESENT)
        )
        for row in rows.all():
            row.state = FrameState.MISSING
            count += 1
            _record(session, row.product_id, FrameState.PRESENT, FrameState.MISSING, text, actor, now)
    return count


def outside_below(session: Session, root: str) -> list[str]:
    """Paths of the present products from outside below a directory."""
    prefix = root.rstrip("/") + "/"
    return list(
        session.scalars(
            select(Product.path)
            .join(OutsideFile, OutsideFile.product_id == Product.id)
            .where(func.substr(Product.path, 1, len(prefix)) == prefix, OutsideFile.state == FrameState.PRESENT)
        )
    )


def outside_statics(session: Session) -> list[StaticRow]:
    """The static calibrations among the products from outside that are present, by path."""
    query = (
        select(Product)
        .join(OutsideFile, OutsideFile.product_id == Product.id)
        .where(
            OutsideFile.static.is_(True),
            OutsideFile.state == FrameState.PRESENT,
            Product.state != ProductState.SUPERSEDED,
        )
        .options(undefer(Product.header))
        .order_by(Product.path)
    )
    return [StaticRow(row.path, row.sha256, row.state, row.header) for row in session.scalars(query)]


def files_of_set(session: Session, product: Product) -> list[Product]:
    """The usable files that belong together with a product from outside, by unit; itself, if it is alone."""
    return list(
        session.scalars(
            select(Product)
            .join(OutsideFile, OutsideFile.product_id == Product.id)
            .where(
                OutsideFile.set_name
                == select(OutsideFile.set_name).where(OutsideFile.product_id == product.id).scalar_subquery(),
                OutsideFile.state == FrameState.PRESENT,
                Product.state.in_((ProductState.PROVISIONAL, ProductState.CERTIFIED)),
            )
            .order_by(Product.unit, Product.id)
        )
    )


def _outside_at(session: Session, path: str) -> OutsideFile | None:
    return session.scalar(
        select(OutsideFile)
        .join(OutsideFile.product)
        .where(Product.path == path)
        .options(contains_eager(OutsideFile.product))
    )


def _twins(session: Session, file: NewOutside) -> list[Product]:
    """Products with the content of a file, or its packed or plain form; the oldest first."""
    query = (
        select(Product)
        .where(
            or_(Product.sha256 == file.sha256, Product.path.in_(file.twin_paths)),
            Product.state != ProductState.SUPERSEDED,
        )
        .order_by(Product.id)
    )
    return list(session.scalars(query))


def _write(
    session: Session, row: OutsideFile | None, file: NewOutside, outcome: Outcome, actor: str, now: datetime
) -> None:
    before = None if row is None else row.state
    product = Product(path=file.path) if row is None else row.product
    if product.sha256 != file.sha256:
        product.state, product.created_at = file.state, now
    product.tag, product.unit, product.file_name, product.path = file.tag, file.unit, file.file_name, file.path
    product.size, product.sha256 = file.size, file.sha256
    product.datamd5 = file.header.get("DATAMD5")
    product.night, product.mjd_obs, product.mjd_mid = file.night, file.mjd_obs, file.mjd_mid
    product.header = dict(file.header)
    for column, value in setup_columns(file.setup).items():
        setattr(product, column, value)
    if row is None:
        session.add(product)
        session.flush()
        row = OutsideFile(product_id=product.id)
        session.add(row)
    row.mtime, row.state = file.mtime, FrameState.PRESENT
    row.static, row.set_name, row.unit_mask = file.static, file.set_name, unit_mask(file.units)
    session.flush()
    _record(session, product.id, before, FrameState.PRESENT, f"{outcome}: {file.path}", actor, now)


def _record(
    session: Session,
    product_id: int,
    before: FrameState | None,
    after: FrameState,
    text: str,
    actor: str,
    now: datetime,
) -> None:
    record_event(
        session, "product", str(product_id), actor=actor, text=text, from_state=before, to_state=after, now=now
    )


def _displace_frames(session: Session, paths: Sequence[str], actor: str, now: datetime) -> None:
    for part in chunks(paths):
        for frame in session.scalars(select(Frame).where(Frame.path.in_(part), Frame.state == FrameState.PRESENT)):
            frame.state = FrameState.MISSING
            record_event(
                session,
                "frame",
                frame.dp_id,
                actor=actor,
                text="the file was replaced by a product",
                from_state=FrameState.PRESENT,
                to_state=FrameState.MISSING,
                now=now,
            )
