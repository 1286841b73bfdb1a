"""QC declarations of the recipes become QC1 tables and columns.

The naming rule is that of the QC1 database: the keyword after ``QC.<RECIPE>.`` in lower case with underscores for dots
(``QC.BIAS.MASTER1.MEDIAN`` is ``muse_bias..master1_median``), with the few tables of `TABLES` that keep a word of
the keyword. A parameter that exists for several quadrants, slices, lamps or inputs is *one* definition with *axes*: its
column is the name without the running numbers (``master_median``), `Parameter.flat_column` puts them back.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

__all__ = ["AXES", "TABLES", "Definitions", "Parameter", "QcDeclaration", "TableRule", "define"]

# Index names of the declarations, in the order in which they are stored and shown.
AXES = ("unit", "quadrant", "slice", "lamp", "input")


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


@dataclass(frozen=True)
class TableRule:
    """Keywords that start with ``keyword`` go to ``table``; the rest of the name follows ``column``."""

    keyword: str
    table: str
    column: str = ""


# The longest matching start wins.
TABLES = (
    TableRule("QC.BIAS.", "muse_bias"),
    TableRule("QC.DARK.", "muse_dark"),
    TableRule("QC.FLAT.", "muse_lampflat", "flat_"),
    TableRule("QC.FLAT.MASTER.", "muse_lampflat", "flat_"),
    TableRule("QC.TRACE.", "muse_tracetable", "trace_"),
    TableRule("QC.WAVECAL.", "muse_wave"),
    TableRule("QC.LSF.", "muse_lsf"),
    TableRule("QC.GEO.", "muse_geometry", "geo_"),
    TableRule("QC.TWILIGHT.", "muse_skyflat", "skyflat_"),
    TableRule("QC.STANDARD.", "muse_std"),
    TableRule("QC.ASTRO.", "muse_astrometry", "astro_"),
    TableRule("QC.AMPL.", "muse_throughput"),
)


@dataclass(frozen=True)
class Parameter:
    """One QC1 parameter.

    Attributes
    ----------
    table, column : str
        Where it is found: ``muse_bias``, ``master_median``.
    keyword : str
        Dot notation with the indices in braces: ``QC.BIAS.MASTER{quadrant}.MEDIAN``.
    unit, type, klass, description : str
        From the declaration; ``klass`` is KPI, HC, CAL or ENG.
    axes : tuple of str
        What it is split by, always with ``unit`` first.
    recipe : str
        Who measures it.
    products : tuple of str
        Tags of the products whose headers carry it; empty means any.
    """

    table: str
    column: str
    keyword: str
    unit: str
    type: str
    klass: str
    description: str
    axes: tuple[str, ...]
    recipe: str
    products: tuple[str, ...]

    @property
    def name(self) -> str:
        """``table..column``, the notation of the QC1 database."""
        return f"{self.table}..{self.column}"

    @property
    def shown_keyword(self) -> str:
        """The keyword with ``n`` for the running numbers: ``QC.BIAS.MASTERn.MEDIAN``."""
        return re.sub(r"{\w+}", "n", self.keyword)

    def flat_column(self, **indices: int) -> str:
        """Column name with the running numbers, as in the QC1 database: ``master1_median``."""
        return _column(self.keyword, indices)


class Definitions:
    """All parameters, found by name or by the keyword of a header.

    Parameters
    ----------
    parameters : iterable of Parameter

    Raises
    ------
    ValueError
        If two declarations give the same table and column.
    """

    def __init__(self, parameters: Iterable[Parameter]) -> None:
        self.parameters = tuple(parameters)
        self._by_name = {parameter.name: parameter for parameter in self.parameters}
        if len(self._by_name) != len(self.parameters):
            names = [parameter.name for parameter in self.parameters]
            twice = sorted({name for name in names if names.count(name) > 1})
            raise ValueError(f"QC1 parameters declared twice: {', '.join(twice)}")
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
        if key not in self._matches:  # the headers of 24 IFUs repeat the same keywords
            self._matches[key] = self._find(keyword, product_tag)
        return self._matches[key]

    def _find(self, keyword: str, product_tag: str) -> tuple[Parameter, dict[str, int]] | None:
        fits = []
        for parameter, pattern in self._patterns:
            found = pattern.match(keyword)
            if found and (not parameter.products or not product_tag or product_tag in parameter.products):
                fits.append((parameter, {name: int(text) for name, text in found.groupdict().items()}))
        return min(fits, key=lambda fit: len(fit[1])) if fits else None


def define(declarations: Mapping[str, Iterable[QcDeclaration]]) -> Definitions:
    """QC1 definitions of all recipes.

    Parameters
    ----------
    declarations : mapping
        Recipe name to its QC declarations.
    """
    return Definitions(
        Parameter(
            table=_rule(spec.keyword).table,
            column=_column(spec.keyword, {}),
            keyword=spec.keyword,
            unit=spec.unit,
            type=spec.type,
            klass=spec.klass,
            description=spec.description,
            axes=("unit", *(axis for axis in AXES if f"{{{axis}}}" in spec.keyword and axis != "unit")),
            recipe=recipe,
            products=spec.products,
        )
        for recipe, specs in declarations.items()
        for spec in specs
    )


def _rule(keyword: str) -> TableRule:
    rules = [rule for rule in TABLES if keyword.startswith(rule.keyword)]
    if not rules:
        raise ValueError(f"no QC1 table for {keyword}: add its start to core.qc1.definitions.TABLES")
    return max(rules, key=lambda rule: len(rule.keyword))


def _column(keyword: str, indices: Mapping[str, int]) -> str:
    rule = _rule(keyword)
    rest = re.sub(r"{(\w+)}", lambda found: str(indices.get(found[1], "")), keyword[len(rule.keyword) :])
    return rule.column + rest.lower().replace(".", "_")


def _pattern(keyword: str) -> re.Pattern[str]:
    parts = re.split(r"{(\w+)}", keyword)
    text = "".join(re.escape(part) if i % 2 == 0 else rf"(?P<{part}>\d+)" for i, part in enumerate(parts))
    return re.compile(f"{text}$")
