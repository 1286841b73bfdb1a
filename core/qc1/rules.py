"""The kinds of score rules: a parameter is compared with fixed or with statistical limits.

Which rules hold is declared by the instrument. Statistical limits follow the present performance: median of the last
days +- ``nsigma`` robust standard deviations of the same setup and position, but at least ``least`` (same unit) or
``least_fraction`` of the median, so that a quiet series does not turn noise into outliers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["FixedRule", "ScoreRule", "StatisticalRule", "rules_version"]


@dataclass(frozen=True)
class FixedRule:
    """Good from ``low`` to ``high`` (both included; None is no limit), in the given mode classes (empty: all)."""

    parameter: str
    low: float | None
    high: float | None
    modes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Kind and version of the rule."""
        return "fixed-1"


@dataclass(frozen=True)
class StatisticalRule:
    """Good within ``nsigma`` around the median of the last ``days``, if there are at least ``minimum`` values."""

    parameter: str
    days: float
    nsigma: float
    minimum: int
    least: float = 0.0
    least_fraction: float = 0.0
    same_mode: bool = False  # history of the same instrument mode only; of the same read-out mode always
    modes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Kind and version of the rule."""
        return "statistical-1"


ScoreRule = FixedRule | StatisticalRule


def rules_version(rules: Iterable[ScoreRule]) -> str:
    """Hash of score rules, 12 hex digits; stored with each score."""
    return hashlib.sha256(repr(tuple(rules)).encode()).hexdigest()[:12]
