"""What housekeeping asks and removes: which files of a night are known, old events, daemons of long ago.

Everything goes in small portions, so that nobody waits for it, however long the history is.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, datetime, timedelta
from pathlib import PurePath

from sqlalchemy import CursorResult, delete, select
from sqlalchemy.orm import Session

from core.archive.models import Block, Event, Product
from core.archive.news import last_plan_id
from core.archive.states import BLOCK_OPEN_STATES

__all__ = ["known_files", "open_block_names", "remove_old_events"]

_CHUNK = 500


def known_files(session: Session, night: date, files: Collection[PurePath]) -> set[PurePath]:
    """Those among some files of one night of the product store that are products or plots; expired ones are not.

    Parameters
    ----------
    night : date
        Products and plots of this night and of those next to it are compared by night, directory and name, so that a
        store that was moved, or is seen under another path, is not taken for rubbish; all others by their whole path.
    files : collection of pathlib.PurePath
        ``.../<night>/<block>/<name>``.
    """
    day = timedelta(days=1)
    kept = select(Product.path).where(Product.expired_at.is_(None))
    paths = set(session.scalars(kept.where(Product.night.between(night - day, night + day))))
    for plots in session.scalars(select(Block.plots).where(Block.night.between(night - day, night + day))):
        paths |= {str(plot["path"]) for plot in plots}
    tails = {PurePath(path).parts[-3:] for path in paths}
    known = {file for file in files if file.parts[-3:] in tails}
    others = [str(file) for file in files if file not in known]
    for start in range(0, len(others), _CHUNK):
        part = others[start : start + _CHUNK]
        known |= {PurePath(path) for path in session.scalars(kept.where(Product.path.in_(part)))}
    return known


def open_block_names(session: Session, night: date) -> list[str]:
    """Names of the blocks of a night that are still to be done: what lies in their directories may yet be adopted."""
    return list(session.scalars(select(Block.name).where(Block.night == night, Block.state.in_(BLOCK_OPEN_STATES))))


def remove_old_events(session: Session, before: datetime, limit: int = 5000) -> int:
    """Remove some of the events before a moment; returns how many. The last plan stays: the next one starts from it."""
    old = select(Event.id).where(Event.time < before, Event.id != (last_plan_id(session) or 0)).limit(limit)
    result = session.execute(delete(Event).where(Event.id.in_(old)).execution_options(synchronize_session=False))
    return result.rowcount if isinstance(result, CursorResult) else 0
