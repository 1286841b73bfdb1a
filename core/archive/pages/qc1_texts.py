"""QC1 parameters that are texts: the newest ones, and those of one block or product."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Select, bindparam, func, select
from sqlalchemy.orm import Session

from core.archive.models import Qc1Parameter, Qc1Text
from core.qc1.axes import Position

__all__ = ["LastText", "TextValue", "block_texts", "last_texts", "product_texts"]


_POSITION: Final = tuple(getattr(Qc1Text, name) for name in Position._fields)
_TEXTS: Final = (
    select(Qc1Parameter, Qc1Text.text, *_POSITION)
    .join(Qc1Parameter, Qc1Parameter.id == Qc1Text.parameter_id)
    .where(Qc1Text.hidden.is_(False))
    .order_by(Qc1Parameter.id, *_POSITION)
)
_OF_BLOCK: Final = _TEXTS.where(Qc1Text.block_id == bindparam("number"))
_OF_PRODUCT: Final = _TEXTS.where(Qc1Text.product_id == bindparam("number"))


@dataclass(frozen=True)
class LastText:
    """The newest texts of a parameter: the different ones of one block, in the order of their positions."""

    mjd_obs: float
    block_id: int
    texts: tuple[str, ...]


@dataclass(frozen=True)
class TextValue:
    """One text and where it was measured."""

    parameter: Qc1Parameter
    position: Position
    text: str


def last_texts(session: Session, parameter_ids: Sequence[int] | None = None) -> dict[int, LastText]:
    """The newest texts of parameters, by parameter id; parameters without any are left out."""
    newest = (
        select(Qc1Text.parameter_id, func.max(Qc1Text.mjd_obs).label("mjd"))
        .where(Qc1Text.hidden.is_(False))
        .group_by(Qc1Text.parameter_id)
    )
    if parameter_ids is not None:
        newest = newest.where(Qc1Text.parameter_id.in_(parameter_ids))
    latest = newest.subquery()
    rows = session.execute(
        select(Qc1Text.parameter_id, Qc1Text.mjd_obs, Qc1Text.block_id, Qc1Text.text)
        .join(latest, (Qc1Text.parameter_id == latest.c.parameter_id) & (Qc1Text.mjd_obs == latest.c.mjd))
        .where(Qc1Text.hidden.is_(False))
        .order_by(Qc1Text.id)
    )
    texts: dict[int, dict[str, None]] = defaultdict(dict)
    places: dict[int, tuple[float, int]] = {}
    for parameter, mjd, block, text in rows:
        texts[parameter][text] = None
        places[parameter] = (mjd, block)
    return {parameter: LastText(*places[parameter], tuple(found)) for parameter, found in texts.items()}


def block_texts(session: Session, block_id: int) -> list[TextValue]:
    """Texts that were measured in a block, by parameter and position."""
    return _texts(session, _OF_BLOCK, block_id)


def product_texts(session: Session, product_id: int) -> list[TextValue]:
    """Texts that were measured on a product, by parameter and position."""
    return _texts(session, _OF_PRODUCT, product_id)


def _texts(session: Session, statement: Select[Any], number: int) -> list[TextValue]:
    rows = session.execute(statement, {"number": number})
    return [TextValue(parameter, Position(*place), text) for parameter, text, *place in rows]
