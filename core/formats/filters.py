"""The filters of a FILTER_LIST: a table for each, named after it, with its zero points (MUSE manual, A.2)."""

from __future__ import annotations

import os
from typing import Final

from core.cubes.collapse import Filter
from core.errors import BadFitsError, MuseError
from core.fitsfile.keywords import get_key, has_key
from core.formats.onsky_tables import named_tables

__all__ = ["read_filters"]

_SYSTEMS: Final = ("VEGA", "AB")


def read_filters(path: str | os.PathLike[str]) -> dict[str, Filter]:
    """The filters of a file by name.

    Raises
    ------
    BadFitsError
        If the file cannot be read, or a table is not that of a filter.
    """
    found = {}
    for table in named_tables(path):
        try:
            zero_points = {
                system: get_key(table.header, f"ZP_{system}", float)
                for system in _SYSTEMS
                if has_key(table.header, f"ZP_{system}")
            }
            found[table.name] = Filter(table.name, table.numbers("lambda"), table.numbers("throughput"), zero_points)
        except MuseError as error:
            raise BadFitsError(f"filter {table.name}: {error.message}", file=path) from error
    return found
