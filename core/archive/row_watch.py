"""Which of the rows that others are derived from does a transaction touch?

What is kept beside the rows that it sums up (`core.archive.night_counts`, `core.archive.qc1_summaries`) is made true at
the end of the transaction that changes them, for the *keys* that it touched: nights, blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any

from sqlalchemy import Delete, Update, event, inspect, select
from sqlalchemy.orm import ORMExecuteState, Session

__all__ = ["RowWatch"]


class RowWatch:
    """Notes the keys of the rows that a session may have changed, by objects or by statements.

    Parameters
    ----------
    session : sqlalchemy.orm.Session
        One that writes.
    tables : tuple of mapped classes
        Whose rows are summed up.
    key : str
        Their column that tells what for. Rows without one count for nothing.
    settle : callable
        Makes true what is kept for some keys, or for all if it gets None.
    """

    def __init__(
        self,
        session: Session,
        tables: tuple[type[Any], ...],
        key: str,
        settle: Callable[[Session, Collection[Any] | None], object],
    ) -> None:
        self._session, self._tables, self._key, self._settle = session, tables, key, settle
        self._keys: set[Any] = set()
        self._all = False
        event.listen(session, "after_flush", self._flushed)
        event.listen(session, "do_orm_execute", self._executed)

    def settle(self) -> None:
        """Make true what is kept; the last thing before the commit."""
        self._session.flush()
        if self._all or self._keys:
            self._settle(self._session, None if self._all else self._keys)

    def _flushed(self, session: Session, _context: Any) -> None:
        for item in (*session.new, *session.dirty, *session.deleted):
            if isinstance(item, self._tables):
                history = inspect(item).attrs[self._key].history
                self._note((getattr(item, self._key), *(history.deleted or ())))

    def _executed(self, state: ORMExecuteState) -> None:
        mapper = state.bind_mapper
        if mapper is None or mapper.class_ not in self._tables or state.is_select:
            return
        table, statement, name = mapper.class_, state.statement, self._key
        key = getattr(table, name)
        given: Any = state.parameters or {}
        if isinstance(statement, Update | Delete) and not isinstance(given, list):
            where = () if statement.whereclause is None else (statement.whereclause,)
            self._note(state.session.scalars(select(key).where(*where).distinct()))
            self._note([statement.compile().params.get(name)])  # of rows that go to another key
        else:  # many rows at once: those of an insertion name their keys, those of an update their numbers
            rows = given if isinstance(given, list) else [given]
            if all(name in row for row in rows):
                self._note(row[name] for row in rows)
            elif all("id" in row for row in rows):
                numbers = [row["id"] for row in rows]
                self._note(state.session.scalars(select(key).where(table.id.in_(numbers)).distinct()))
            else:
                self._all = True

    def _note(self, keys: Iterable[Any]) -> None:
        self._keys.update(key for key in keys if key is not None)
