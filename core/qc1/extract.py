"""QC keywords of product headers become measurements with their indices."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from core.qc1.definitions import Definitions, Parameter

__all__ = ["Extraction", "Measurement", "extract"]


@dataclass(frozen=True)
class Measurement:
    """One value of one parameter.

    Attributes
    ----------
    parameter : Parameter
    value : float
    unit, quadrant, slice, lamp, input : int or None
        Position; None where the parameter has no such axis.
    product : int
        Which of the given products carries it (position in the input of `extract`).
    """

    parameter: Parameter
    value: float
    unit: int | None = None
    quadrant: int | None = None
    slice: int | None = None
    lamp: int | None = None
    input: int | None = None
    product: int = 0

    @property
    def position(self) -> tuple[int | None, ...]:
        """IFU, quadrant, slice, lamp, input."""
        return self.unit, self.quadrant, self.slice, self.lamp, self.input

    @property
    def label(self) -> str:
        """``table..column`` and where, e.g. ``muse_bias..master_ron IFU 3 quadrant 1``."""
        names = ("IFU", "quadrant", "slice", "lamp", "input")
        where = [f"{name} {number}" for name, number in zip(names, self.position, strict=True) if number is not None]
        return " ".join([self.parameter.name, *where])


@dataclass(frozen=True)
class Extraction:
    """What the headers of one block give.

    Attributes
    ----------
    measurements : tuple of Measurement
        By parameter, then position.
    undeclared : tuple of str
        QC keywords that no declaration knows.
    unusable : tuple of str
        Declared keywords whose value is no finite number.
    """

    measurements: tuple[Measurement, ...]
    undeclared: tuple[str, ...]
    unusable: tuple[str, ...]


def extract(products: Iterable[tuple[str, int | None, Mapping[str, object]]], definitions: Definitions) -> Extraction:
    """Read the QC parameters of the products of one block.

    Parameters
    ----------
    products : iterable of (tag, unit, header)
        Header as keywords in dot notation; other keywords than ``QC.`` are ignored.
    definitions : Definitions

    Returns
    -------
    Extraction
        A parameter that several products repeat for the same position counts once, from the first.
    """
    found: dict[tuple[str, tuple[int | None, ...]], Measurement] = {}
    undeclared: set[str] = set()
    unusable: set[str] = set()
    for number, (tag, unit, header) in enumerate(products):
        for keyword, value in header.items():
            if not keyword.startswith("QC."):
                continue
            match = definitions.match(keyword, tag)
            if match is None:
                if definitions.match(keyword) is None:
                    undeclared.add(keyword)
                continue
            parameter, indices = match
            if parameter.type == "str":
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                unusable.add(keyword)
                continue
            position = {"unit": unit, **indices}
            measured = Measurement(parameter, float(value), product=number, **position)
            found.setdefault((parameter.name, measured.position), measured)
    ordered = sorted(found.values(), key=lambda m: (m.parameter.name, tuple(n or 0 for n in m.position)))
    return Extraction(tuple(ordered), tuple(sorted(undeclared)), tuple(sorted(unusable)))
