"""What a QC1 parameter may be split by, and where the archive keeps it.

A measurement has a `Position`: numbers in six columns. Five of them mean the same everywhere (unit, quadrant, slice,
lamp, exposure); ``item`` holds the running number of whatever else a parameter counts: inputs, arc lines, sources, sky
lines, objects. An `Axis` gives the name that stands in braces in keywords (``QC.BIAS.MASTER{quadrant}.RON``) its column
and the word that people read; every instrument declares its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

from core.errors import DeclarationError

__all__ = ["AXIS_COLUMNS", "UNSPLIT", "Axis", "Position", "axis_words", "check_axes", "indices_of", "place_words"]


class Position(NamedTuple):
    """Where something was measured; None where a parameter is not split by it.

    The fields are the columns of the archive, in the order in which they are stored and shown.
    """

    unit: int | None = None  # IFU, detector
    quadrant: int | None = None  # detector port
    slice: int | None = None
    lamp: int | None = None
    exposure: int | None = None
    item: int | None = None  # running number of anything else


UNSPLIT: Final = Position()

# Name of an axis to the column that holds its number.
AXIS_COLUMNS: Final = {
    "unit": "unit",
    "quadrant": "quadrant",
    "slice": "slice",
    "lamp": "lamp",
    "exposure": "exposure",
    "input": "item",
    "line": "item",
    "source": "item",
    "sky_line": "item",
    "object": "item",
}
_INDEX: Final = re.compile(r"{(\w*)}")


@dataclass(frozen=True)
class Axis:
    """One axis of the QC1 parameters of an instrument.

    Attributes
    ----------
    name : str
        As in the braces of a keyword, one of `AXIS_COLUMNS`.
    word : str
        What people read: ``IFU``, ``arc line``.
    largest : int or None
        Largest number, if the instrument has a fixed number of them.

    Raises
    ------
    DeclarationError
        If the archive has no column for it.
    """

    name: str
    word: str
    largest: int | None = None

    def __post_init__(self) -> None:
        if self.name not in AXIS_COLUMNS:
            raise DeclarationError(f"there is no QC1 axis {self.name}; there are: {', '.join(AXIS_COLUMNS)}")

    @property
    def column(self) -> str:
        """Column of the archive."""
        return AXIS_COLUMNS[self.name]


def axis_words(axes: Iterable[Axis]) -> dict[str, str]:
    """What people call the columns of some axes; ``item`` may have several words."""
    words: dict[str, dict[str, None]] = {}
    for axis in axes:
        words.setdefault(axis.column, {})[axis.word] = None
    return {column: " or ".join(words[column]) for column in Position._fields if column in words}


def place_words(axes: Iterable[Axis], position: Position) -> tuple[str, ...]:
    """Where something was measured, in words: ``("IFU 3", "quadrant 1")``."""
    numbers = position._asdict()
    return tuple(f"{axis.word} {numbers[axis.column]}" for axis in axes if numbers[axis.column] is not None)


def indices_of(keyword: str) -> tuple[str, ...]:
    """Names in the braces of a declared keyword, in its order."""
    return tuple(_INDEX.findall(keyword))


def check_axes(keyword: str, product_axes: Iterable[str], known: Iterable[str] = AXIS_COLUMNS) -> None:
    """Check the indices of a declared keyword.

    Parameters
    ----------
    keyword : str
        With the indices in braces.
    product_axes : iterable of str
        Axes that the product has itself.
    known : iterable of str
        Names that are declared.

    Raises
    ------
    DeclarationError
        If an index is no declared axis, stands twice, or two of them need the same column of the archive.
    """
    declared = tuple(known)
    used: dict[str, str] = {}
    for place, names in ((keyword, indices_of(keyword)), ("the product", tuple(product_axes))):
        for name in names:
            if name not in declared:
                raise DeclarationError(
                    f"{keyword}: {name or 'an empty index'} is no declared QC1 axis; there are: {', '.join(declared)}",
                    keyword=keyword,
                )
            column = AXIS_COLUMNS[name]
            # A unit in the keyword tells what the product of the whole instrument cannot: it goes before.
            if column in used and not (place != keyword and used[column] == name):
                raise DeclarationError(
                    f"{keyword}: {used[column]} and {name} would both be stored as {column}", keyword=keyword
                )
            used[column] = name
