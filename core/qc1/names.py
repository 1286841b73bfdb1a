"""Names that people use for QC1 parameters: with or without running numbers, as column or as keyword.

``muse_bias..master_median``, the observatory's ``muse_bias..master1_median``, ``QC.BIAS.MASTER1.MEDIAN`` and
``HIERARCH ESO QC BIAS MASTER1 MEDIAN`` all name one parameter; a running number in the name fixes that axis.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from core.errors import NotFoundError
from core.qc1.definitions import Definitions, Parameter

__all__ = ["NamedParameter", "column_named", "find_named", "resolve_name"]

_KEYWORD = re.compile(r"^(HIERARCH[ .]+)?(ESO[ .]+)?QC[ .]", re.IGNORECASE)
_FIRST_WORDS = re.compile(r"^(HIERARCH\.+)?(ESO\.+)?")


@dataclass(frozen=True)
class NamedParameter:
    """A parameter and the running numbers that its name fixed.

    Attributes
    ----------
    parameter : Parameter
    indices : dict of str to int
        Axis name to number; empty if the name had none.
    """

    parameter: Parameter
    indices: dict[str, int]

    @property
    def fixed(self) -> dict[str, int]:
        """Column of the archive to number."""
        return {axis.column: self.indices[axis.name] for axis in self.parameter.axes if axis.name in self.indices}

    @property
    def column(self) -> str:
        """Column with the numbers that are fixed: ``master1_median``."""
        return self.parameter.flat_column(**self.indices)


def find_named(text: str, definitions: Definitions) -> tuple[NamedParameter, ...]:
    """All parameters that have a name: several if it is a column without its table.

    Parameters
    ----------
    text : str
        ``table..column``, ``table column``, a column, or a keyword in dot notation or as in a FITS header, of which
        running numbers may be left out or be ``n``.
    definitions : Definitions

    Returns
    -------
    tuple of NamedParameter
        Empty if there is none.
    """
    name = text.strip().split("=", 1)[0].strip()
    if _KEYWORD.match(name):
        dotted = _FIRST_WORDS.sub("", re.sub(r"[ .]+", ".", name.upper()))
        return _best([(parameter, parameter.keyword) for parameter in definitions], dotted)
    table, _, column = re.sub(r"\s+|\.\.", " ", name.lower()).rpartition(" ")
    tables = definitions.tables
    found: list[NamedParameter] = []
    for members in [tables.get(table, ())] if table else tables.values():
        found += _best([(parameter, parameter.numbered) for parameter in members], column)
    return tuple(found)


def resolve_name(text: str, definitions: Definitions) -> NamedParameter:
    """The parameter of a name that leaves no choice.

    Raises
    ------
    NotFoundError
        If there is none, or several; then their names.
    """
    found = find_named(text, definitions)
    if len(found) == 1:
        return found[0]
    if not found:
        raise NotFoundError(f"there is no QC1 parameter {text}", parameter=text)
    names = ", ".join(f"{item.parameter.table}..{item.column}" for item in found)
    raise NotFoundError(f"{text} is a column of several QC1 tables: {names}", parameter=text)


def column_named(table: str, column: str, definitions: Definitions) -> NamedParameter:
    """The parameter of a table that a column names, with or without running numbers.

    Raises
    ------
    NotFoundError
        Naming the columns that the table has.
    """
    members = definitions.tables.get(table, ())
    found = _best([(parameter, parameter.numbered) for parameter in members], column.lower())
    if not found:
        names = ", ".join(parameter.column for parameter in members)
        raise NotFoundError(f"QC1 table {table} has no column {column}; it has: {names}", table=table, column=column)
    return found[0]


def _best(candidates: list[tuple[Parameter, str]], name: str) -> tuple[NamedParameter, ...]:
    """The candidate whose template fits with the fewest running numbers: a literal ``slice20`` goes before a number.

    Of those with as many the one goes first that leaves fewest numbers out: ``NDET`` is not ``NDET{exposure}``.
    """
    fits: list[tuple[int, int, NamedParameter]] = []
    for parameter, template in candidates:
        found = _loose(template).match(name)
        if found:
            indices = {axis: int(text) for axis, text in found.groupdict().items() if text.isdecimal()}
            fits.append((len(indices), template.count("{"), NamedParameter(parameter, indices)))
    return (min(fits, key=lambda fit: fit[:2])[2],) if fits else ()


@lru_cache(maxsize=4096)
def _loose(template: str) -> re.Pattern[str]:
    parts = re.split(r"{(\w+)}", template)
    text = "".join(re.escape(part) if i % 2 == 0 else rf"(?P<{part}>\d+|[nN]?)" for i, part in enumerate(parts))
    return re.compile(f"{text}$")
