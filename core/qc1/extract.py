"""QC keywords of product headers become measurements with their positions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from core.qc1.axes import AXIS_COLUMNS, Position, place_words
from core.qc1.definitions import Definitions, Parameter

__all__ = ["Extraction", "Measurement", "Source", "TextMeasurement", "extract"]


@dataclass(frozen=True)
class Source:
    """One header with QC keywords.

    Attributes
    ----------
    tag : str
        Tag of the product.
    header : mapping
        Keywords in dot notation; others than ``QC.`` are ignored.
    unit : int or None
        Unit of the header; None for a product of the whole instrument.
    exposure : int or None
        Number of the product, where there is one for each exposure.
    """

    tag: str
    header: Mapping[str, object]
    unit: int | None = None
    exposure: int | None = None


@dataclass(frozen=True)
class _Measured:
    parameter: Parameter
    position: Position
    product: int

    @property
    def label(self) -> str:
        """``table..column`` and where, e.g. ``muse_bias..master_ron IFU 3 quadrant 1``."""
        return " ".join([self.parameter.name, *place_words(self.parameter.axes, self.position)])


@dataclass(frozen=True)
class Measurement(_Measured):
    """One value of one parameter.

    Attributes
    ----------
    parameter : Parameter
    position : Position
    product : int
        Which of the given sources carries it (position in the input of `extract`).
    value : float
    """

    value: float


@dataclass(frozen=True)
class TextMeasurement(_Measured):
    """One text (the name of a star, of a line) of one parameter; as `Measurement`, with ``text``."""

    text: str


@dataclass(frozen=True)
class Extraction:
    """What the headers of one block give.

    Attributes
    ----------
    measurements : tuple of Measurement
        By parameter, then position.
    texts : tuple of TextMeasurement
        The same of texts.
    undeclared : tuple of str
        QC keywords that no declaration knows.
    unusable : tuple of str
        Keywords declared as numbers whose value is no finite number, or as text whose value is none.
    """

    measurements: tuple[Measurement, ...]
    texts: tuple[TextMeasurement, ...]
    undeclared: tuple[str, ...]
    unusable: tuple[str, ...]


def extract(sources: Iterable[Source], definitions: Definitions) -> Extraction:
    """Read the QC parameters of the products of one block.

    Parameters
    ----------
    sources : iterable of Source
    definitions : Definitions

    Returns
    -------
    Extraction
        A parameter that several products repeat for the same position counts once: from the product that its
        declaration names first, of several such products from the first.
    """
    found: dict[tuple[str, Position], Measurement | TextMeasurement] = {}
    ranks: dict[tuple[str, Position], int] = {}
    undeclared: set[str] = set()
    unusable: set[str] = set()
    for number, source in enumerate(sources):
        for keyword, value in source.header.items():
            if not keyword.startswith("QC."):
                continue
            match = definitions.match(keyword, source.tag)
            if match is None:
                if definitions.match(keyword) is None:
                    undeclared.add(keyword)
                continue
            parameter, indices = match
            measured = _measured(parameter, _position(parameter, source, indices), number, value)
            if measured is None:
                unusable.add(keyword)
                continue
            key = parameter.name, measured.position
            rank = parameter.products.index(source.tag) if source.tag in parameter.products else 0
            if key not in found or rank < ranks[key]:
                found[key], ranks[key] = measured, rank
    ordered = sorted(found.values(), key=lambda m: (m.parameter.name, tuple(n or 0 for n in m.position)))
    return Extraction(
        tuple(entry for entry in ordered if isinstance(entry, Measurement)),
        tuple(entry for entry in ordered if isinstance(entry, TextMeasurement)),
        tuple(sorted(undeclared)),
        tuple(sorted(unusable)),
    )


def _position(parameter: Parameter, source: Source, indices: Mapping[str, int]) -> Position:
    """Numbers of the product as far as the parameter is declared to have them, then those of the keyword."""
    own = {"unit": source.unit, "exposure": source.exposure}
    numbers = {axis: own.get(axis) for axis in parameter.product_axes} | dict(indices)
    return Position(**{AXIS_COLUMNS[axis]: number for axis, number in numbers.items()})


def _measured(
    parameter: Parameter, position: Position, product: int, value: object
) -> Measurement | TextMeasurement | None:
    if not parameter.is_number:
        return TextMeasurement(parameter, position, product, value.strip()) if isinstance(value, str) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return Measurement(parameter, position, product, float(value))
