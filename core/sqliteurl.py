"""The URL of an SQLite file, for any path: ``?``, ``#``, ``%`` and bytes that are no UTF-8 are quoted."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote_to_bytes

__all__ = ["sqlite_path", "sqlite_url"]

_PREFIX: Final = "sqlite:///"


def sqlite_url(path: Path) -> str:
    """SQLAlchemy's URL of a file.

    Examples
    --------
    >>> sqlite_url(Path("/data/what?/cascade.sqlite"))
    'sqlite:////data/what%3F/cascade.sqlite'
    """
    return _PREFIX + quote(os.fsencode(path), safe="/ ~!$&'()*+,;=:@[]{}^|<>\"")


def sqlite_path(database_url: str) -> Path | None:
    """The file of a URL; None if it is the URL of another database, or of one in memory.

    Examples
    --------
    >>> sqlite_path("sqlite:////data/what%3F/cascade.sqlite")
    PosixPath('/data/what?/cascade.sqlite')
    >>> sqlite_path("postgresql://host/database") is None
    True
    """
    scheme, _, rest = database_url.partition(":///")
    name = rest.partition("?")[0]
    if scheme.partition("+")[0] != "sqlite" or name in ("", ":memory:"):
        return None
    return Path(os.fsdecode(unquote_to_bytes(name)))
