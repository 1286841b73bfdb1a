"""Long lists in pieces: each begins after a key, so that rows which come meanwhile shift nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import Select
from sqlalchemy.orm import InstrumentedAttribute, Session

__all__ = ["Slice", "cut", "slice_by_id"]

Row = TypeVar("Row")
Key = TypeVar("Key")


@dataclass(frozen=True)
class Slice(Generic[Row, Key]):
    """A piece of a list whose rows come by descending key.

    Attributes
    ----------
    rows : list
    next : key or None
        After which the next piece begins; None if this is the last.
    has_previous : bool
        Whether rows come before this piece.
    previous : key or None
        After which the piece before this one begins; None if that is the first.
    """

    rows: list[Row]
    next: Key | None = None
    has_previous: bool = False
    previous: Key | None = None


def cut(rows: Sequence[Row], keys: Sequence[Key], earlier: Sequence[Key], limit: int) -> Slice[Row, Key]:
    """A piece of a list.

    Parameters
    ----------
    rows, keys : sequence
        One more than is wanted, if there are so many.
    earlier : sequence
        Keys of the rows that come before, upwards from the last one of them; one more than is wanted, likewise.
    limit : int
        Rows of a piece.
    """
    return Slice(
        list(rows[:limit]),
        keys[limit - 1] if len(keys) > limit else None,
        bool(earlier),
        earlier[limit] if len(earlier) > limit else None,
    )


def slice_by_id(
    session: Session, statement: Select[Any], key: InstrumentedAttribute[int], after: int | None, limit: int
) -> Slice[Any, int]:
    """Rows that fit a statement by descending id, those after ``after``."""
    newest = statement if after is None else statement.where(key < after)
    rows = list(session.scalars(newest.order_by(key.desc()).limit(limit + 1)))
    earlier: list[int] = []
    if after is not None:
        before = statement.with_only_columns(key).where(key >= after)
        earlier = list(session.scalars(before.order_by(key).limit(limit + 1)))
    return cut(rows, [row.id for row in rows], earlier, limit)
