"""QC declarations of the recipes become QC1 tables and columns.

The naming rule is that of the QC1 database: the keyword after ``QC.<RECIPE>.`` in lower case with underscores for dots
(``QC.BIAS.MASTER1.MEDIAN`` is ``muse_bias..master1_median``), with the exceptions that an instrument declares. A
parameter that exists for several quadrants, slices, lamps, sources ... is *one* definition with *axes*: its column is
the name without the running numbers (``master_median``), `Parameter.flat_column` puts them back, and `core.qc1.names`
finds it by either.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from core.errors import DeclarationError
from core.qc1.axes import Axis, check_axes, indices_of
from core.qc1.declaration import Qc1Declaration

__all__ = ["Definitions", "Parameter", "QcDeclaration", "define"]


class QcDeclaration(Protocol):
    """The part of a recipe's QC declaration that is needed here (see `core.recipes.declaration.QcSpec`)."""

    @property
    def keyword(self) -> str: ...
    @property
    def unit(self) -> str: ...
    @property
    def type(self) -> str: ...
    @property
    def klass(self) -> str: ...
    @property
    def description(self) -> str: ...
    @property
    def products(self) -> tuple[str, ...]: ...
    @property
    def product_axes(self) -> tuple[str, ...]: ...


@dataclass(frozen=True)
class Parameter:
    """One QC1 parameter.

    Attributes
    ----------
    table, column : str
        Where it is found: ``muse_bias``, ``master_median``.
    numbered : str
        The column with the running numbers in braces: ``master{quadrant}_median``.
    keyword : str
        Dot notation with the indices in braces: ``QC.BIAS.MASTER{quadrant}.MEDIAN``.
    unit, type, klass, description : str
        From the declaration; ``klass`` is KPI, HC, CAL or ENG.
    axes : tuple of Axis
        What it is split by, in the order of the instrument.
    product_axes : tuple of str
        Those that come from the product, not from the keyword.
    recipe : str
        Who measures it.
    products : tuple of str
        Tags of the products whose headers carry it; empty means any.
    """

    table: str
    column: str
    numbered: str
    keyword: str
    unit: str
    type: str
    klass: str
    description: str
    axes: tuple[Axis, ...]
    product_axes: tuple[str, ...]
    recipe: str
    products: tuple[str, ...]

    @property
    def name(self) -> str:
        """``table..column``, the notation of the QC1 database."""
        return f"{self.table}..{self.column}"

    @property
    def is_number(self) -> bool:
        """Whether its values are numbers; a text has no trend and no score."""
        return self.type != "str"

    @property
    def shown_keyword(self) -> str:
        """The keyword with ``n`` for the running numbers: ``QC.BIAS.MASTERn.MEDIAN``."""
        return re.sub(r"{\w+}", "n", self.keyword)

    @property
    def shown_numbered(self) -> str:
        """The numbered column with ``n`` for the running numbers: ``mastern_median``."""
        return re.sub(r"{\w+}", "n", self.numbered)

    def flat_column(self, **indices: int) -> str:
        """Column name with the running numbers, as in the QC1 database: ``master1_median``."""
        return _filled(self.numbered, indices)


class Definitions:
    """All parameters, found by name or by the keyword of a header.

    Parameters
    ----------
    parameters : iterable of Parameter

    Raises
    ------
    DeclarationError
        If two declarations give the same table and column.
    """

    def __init__(self, parameters: Iterable[Parameter]) -> None:
        self.parameters = tuple(parameters)
        self._by_name = {parameter.name: parameter for parameter in self.parameters}
        if len(self._by_name) != len(self.parameters):
            names = [parameter.name for parameter in self.parameters]
            twice = sorted({name for name in names if names.count(name) > 1})
            raise DeclarationError(f"QC1 parameters declared twice: {', '.join(twice)}")
        self._matches: dict[tuple[str, str], tuple[Parameter, dict[str, int]] | None] = {}
        self._patterns = [(parameter, _pattern(parameter.keyword)) for parameter in self.parameters]

    def __iter__(self) -> Iterator[Parameter]:
        return iter(self.parameters)

    def __len__(self) -> int:
        return len(self.parameters)

    def get(self, name: str) -> Parameter:
        """Parameter ``table..column``.

        Raises
        ------
        KeyError
            If there is none.
        """
        return self._by_name[name]

    def find(self, table: str, column: str) -> Parameter | None:
        """A parameter of the archive; None if no recipe declares it any more."""
        return self._by_name.get(f"{table}..{column}")

    def axes(self, table: str, columns: Iterable[str]) -> tuple[Axis, ...]:
        """All axes of some columns of a table; columns that no recipe declares any more have none."""
        found = (self.find(table, column) for column in columns)
        return tuple(dict.fromkeys(axis for parameter in found if parameter for axis in parameter.axes))

    @property
    def tables(self) -> dict[str, tuple[Parameter, ...]]:
        """Parameters by table."""
        names = dict.fromkeys(parameter.table for parameter in self.parameters)
        return {name: tuple(p for p in self.parameters if p.table == name) for name in names}

    @property
    def version(self) -> str:
        """Hash of all definitions, 12 hex digits."""
        return hashlib.sha256(repr(self.parameters).encode()).hexdigest()[:12]

    def match(self, keyword: str, product_tag: str = "") -> tuple[Parameter, dict[str, int]] | None:
        """Parameter and running numbers of a header keyword; None if no declaration fits.

        A keyword without placeholder goes before a pattern, so that ``SLICE20`` of one declaration is not taken for
        ``SLICE{slice}`` of another.
        """
        key = keyword, product_tag
        if key not in self._matches:  # the headers of all units repeat the same keywords
            self._matches[key] = self._find(keyword, product_tag)
        return self._matches[key]

    def _find(self, keyword: str, product_tag: str) -> tuple[Parameter, dict[str, int]] | None:
        fits = []
        for parameter, pattern in self._patterns:
            found = pattern.match(keyword)
            if found and (not parameter.products or not product_tag or product_tag in parameter.products):
                fits.append((parameter, {name: int(text) for name, text in found.groupdict().items()}))
        return min(fits, key=lambda fit: len(fit[1])) if fits else None


def define(instrument: Qc1Declaration, declarations: Mapping[str, Iterable[QcDeclaration]]) -> Definitions:
    """QC1 definitions of all recipes of an instrument.

    Parameters
    ----------
    instrument : Qc1Declaration
    declarations : mapping
        Recipe name to its QC declarations.

    Raises
    ------
    DeclarationError
        If a keyword has an index that the instrument does not declare, has no table, or gives a column that another one
        has.
    """
    return Definitions(_parameter(instrument, recipe, spec) for recipe, specs in declarations.items() for spec in specs)


def _parameter(instrument: Qc1Declaration, recipe: str, spec: QcDeclaration) -> Parameter:
    check_axes(spec.keyword, spec.product_axes, [axis.name for axis in instrument.axes])
    rule = instrument.table_rule(spec.keyword)
    numbered = rule.column + spec.keyword[len(rule.keyword) :].lower().replace(".", "_")
    names = {*spec.product_axes, *indices_of(spec.keyword)}
    return Parameter(
        table=rule.table,
        column=_filled(numbered, {}),
        numbered=numbered,
        keyword=spec.keyword,
        unit=spec.unit,
        type=spec.type,
        klass=spec.klass,
        description=spec.description,
        axes=tuple(axis for axis in instrument.axes if axis.name in names),
        product_axes=spec.product_axes,
        recipe=recipe,
        products=spec.products,
    )


def _filled(numbered: str, indices: Mapping[str, int]) -> str:
    return re.sub(r"{(\w+)}", lambda found: str(indices.get(found[1], "")), numbered)


def _pattern(keyword: str) -> re.Pattern[str]:
    parts = re.split(r"{(\w+)}", keyword)
    text = "".join(re.escape(part) if i % 2 == 0 else rf"(?P<{part}>\d+)" for i, part in enumerate(parts))
    return re.compile(f"{text}$")
