"""Tables of published data that lie beside this module."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from importlib import resources
from itertools import groupby

import numpy as np
import numpy.typing as npt

__all__ = ["published_columns", "published_rows"]


def published_rows(name: str) -> Iterator[dict[str, str]]:
    """Rows of a file of published data."""
    text = resources.files("core.staticcal").joinpath("data").joinpath(name).read_text(encoding="utf-8")
    yield from csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))


def published_columns(name: str, key: str, *columns: str) -> dict[str, tuple[npt.NDArray[np.float64], ...]]:
    """Columns of numbers of a file, for each value of a key, whose rows follow each other."""
    return {
        value: tuple(np.array([[float(row[column]) for column in columns] for row in rows]).T)
        for value, rows in groupby(published_rows(name), lambda row: row[key])
    }
