"""What an instrument declares for QC1: its tables, its axes, its score rules and the trends looked at daily."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from core.errors import DeclarationError
from core.qc1.axes import Axis
from core.qc1.rules import ScoreRule, rules_version

if TYPE_CHECKING:
    from core.qc1.definitions import Definitions

__all__ = ["KeyTrend", "Qc1Declaration", "TableRule"]


@dataclass(frozen=True)
class TableRule:
    """Declared keywords that start with ``keyword`` go to ``table``; the rest of the name follows ``column``.

    The longest start wins. Indices in braces that stand in the start are left to the rows of the table.
    """

    keyword: str
    table: str
    column: str = ""


@dataclass(frozen=True)
class KeyTrend:
    """A parameter (``table..column``) whose trend is looked at every morning, and its name for people."""

    parameter: str
    label: str

    @property
    def table(self) -> str:
        """Table of the parameter."""
        return self.parameter.partition("..")[0]

    @property
    def column(self) -> str:
        """Column of the parameter."""
        return self.parameter.partition("..")[2]


@dataclass(frozen=True)
class Qc1Declaration:
    """QC1 of one instrument.

    Attributes
    ----------
    axes : tuple of Axis
        In the order in which they are shown.
    tables : tuple of TableRule
    score_rules : tuple of ScoreRule
    key_trends : tuple of KeyTrend
    """

    axes: tuple[Axis, ...] = ()
    tables: tuple[TableRule, ...] = ()
    score_rules: tuple[ScoreRule, ...] = ()
    key_trends: tuple[KeyTrend, ...] = ()

    @cached_property
    def rules_version(self) -> str:
        """Hash of the score rules, stored with each score."""
        return rules_version(self.score_rules)

    def axis(self, name: str) -> Axis:
        """The axis of a name.

        Raises
        ------
        DeclarationError
            If the instrument declares none.
        """
        for axis in self.axes:
            if axis.name == name:
                return axis
        raise DeclarationError(f"the instrument declares no QC1 axis {name}")

    def table_rule(self, keyword: str) -> TableRule:
        """Where a declared keyword goes.

        Raises
        ------
        DeclarationError
            If no start fits.
        """
        fits = [rule for rule in self.tables if keyword.startswith(rule.keyword)]
        if not fits:
            raise DeclarationError(f"no QC1 table is declared for {keyword}", keyword=keyword)
        return max(fits, key=lambda rule: len(rule.keyword))

    def check(self, definitions: Definitions) -> None:
        """Check that score rules and key trends are of declared parameters that are numbers.

        Raises
        ------
        DeclarationError
            Naming the rule or trend and the parameter.
        """
        _check_names("score rule", (rule.parameter for rule in self.score_rules), definitions)
        _check_names("key trend", (trend.parameter for trend in self.key_trends), definitions)


def _check_names(kind: str, names: Iterable[str], definitions: Definitions) -> None:
    numbers = {parameter.name: parameter.is_number for parameter in definitions}
    for name in names:
        if name not in numbers:
            raise DeclarationError(f"a {kind} is of {name}, which no recipe declares", rule=name)
        if not numbers[name]:
            raise DeclarationError(f"a {kind} is of {name}, which is a text", rule=name)
