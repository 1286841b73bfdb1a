"""QC1 definitions of the archive: rows that follow what the recipes declare."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.archive.models import Qc1Parameter
from core.archive.records import Qc1Definition
from core.archive.sessions import Archive
from core.qc1.definitions import Definitions

__all__ = ["register_definitions", "register_parameters"]


def register_definitions(archive: Archive, definitions: Definitions) -> int:
    """Bring the QC1 definitions of the archive up to date; returns how many were added or changed.

    Workers and services call it when they start.
    """
    rows = [
        Qc1Definition(
            table=parameter.table,
            column=parameter.column,
            keyword=parameter.shown_keyword,
            unit=parameter.unit,
            qc_class=parameter.klass,
            value_type=parameter.type,
            axes=tuple(axis.name for axis in parameter.axes),
            description=parameter.description,
        )
        for parameter in definitions
    ]
    with archive.write() as session:
        return register_parameters(session, rows)


def register_parameters(session: Session, definitions: Iterable[Qc1Definition]) -> int:
    """Add or update QC1 definitions; returns how many were added or changed."""
    known = {(row.table_name, row.column_name): row for row in session.scalars(select(Qc1Parameter))}
    changes = 0
    for item in definitions:
        row = known.get((item.table, item.column))
        if row is None:
            row = Qc1Parameter(table_name=item.table, column_name=item.column)
            known[item.table, item.column] = row
            session.add(row)
        wanted = {
            "keyword": item.keyword,
            "unit": item.unit,
            "qc_class": item.qc_class,
            "value_type": item.value_type,
            "axes": ",".join(item.axes),
            "description": item.description,
        }
        if any(getattr(row, name) != value for name, value in wanted.items()):
            changes += 1
            for name, value in wanted.items():
                setattr(row, name, value)
    session.flush()
    return changes
