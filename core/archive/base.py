"""Declarative base of the archive tables: constraint names and the column types of our own."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, BigInteger, DateTime, Dialect, Enum, Integer, MetaData, String
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.types import TypeDecorator

__all__ = ["Base", "BigId", "BoundedText", "JsonDoc", "UtcDateTime", "enum_type", "utc_now"]

# Named constraints can be altered later, on SQLite (batch mode) and on PostgreSQL alike.
NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

# SQLite numbers rows by itself only for INTEGER primary keys.
BigId = BigInteger().with_variant(Integer(), "sqlite")
JsonDoc = JSON().with_variant(JSONB(), "postgresql")


class Base(DeclarativeBase):
    """Base of all archive tables."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)


class UtcDateTime(TypeDecorator[datetime]):
    """A moment in UT; time-zone aware in Python whatever the database keeps.

    PostgreSQL stores ``timestamp with time zone``, SQLite a text without zone that is UT by definition.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse a naive time (whose zone would be a guess) and convert to UT."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"a time without time zone cannot be stored: {value!r}")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """Return the moment in UT with its zone."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class BoundedText(TypeDecorator[str]):
    """A text of at most so many characters, which both databases can keep.

    What comes from files and their headers has any length and any character. A longer text keeps its beginning and
    ends with ``~`` and eight digits of its hash, so that two of them stay two; NUL, which PostgreSQL refuses, and half
    characters (bytes of a name that are no UTF-8) are written as escapes. Texts that are compared with the column are
    changed alike.
    """

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Escape and cut."""
        if value is None:
            return None
        text = value.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")
        length: int | None = getattr(self.impl_instance, "length", None)
        if length is None or len(text) <= length:
            return text
        mark = f"~{hashlib.sha256(text.encode()).hexdigest()[:8]}"
        return text[: max(length - len(mark), 0)] + mark[:length]


def enum_type(cls: type[StrEnum]) -> Enum:
    """Column type that stores the *values* of a string enumeration as text."""
    return Enum(
        cls,
        native_enum=False,
        create_constraint=False,
        length=16,
        values_callable=lambda members: [member.value for member in members],
    )


def utc_now() -> datetime:
    """The present moment in UT, aware."""
    return datetime.now(UTC)
