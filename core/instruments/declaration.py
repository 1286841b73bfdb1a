"""What an instrument is, as a declaration: everything that is true of it alone, for rooms that know none by name.

An instrument is a folder of `core.instruments` whose module ``declaration`` has an ``INSTRUMENT``; the registry finds
it. Code that a declaration needs only now and then (recipes, checks of pixels) is named as ``module:object`` and
imported when asked for, so that reading a declaration stays cheap.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from pkgutil import resolve_name
from typing import Any, Final

from core.instruments.rules import Rules
from core.instruments.setup import SetupSpec, UnitSpec
from core.instruments.statics import StaticRules
from core.qc1.declaration import Qc1Declaration

__all__ = ["PARANAL_NOON_UT", "Instrument", "RawRule", "RuleDifference"]

# A night goes from noon to noon of Paranal's standard time (UT-4), and is named by the date of its evening.
PARANAL_NOON_UT: Final = timedelta(hours=16)


@dataclass(frozen=True)
class RawRule:
    """One row of the classification table of raw frames: the first row that fits gives the tag.

    Attributes
    ----------
    type : str or None
        The whole ``DPR.TYPE``, in capitals; unused if ``having`` is given. None accepts any.
    tech : str or None
        Word that ``DPR.TECH`` must have among others; a frame that has none fits. None accepts any.
    template : str or None
        Regular expression for the whole ``TPL.ID`` (case ignored); None accepts any and none.
    having : tuple of str
        Words that ``DPR.TYPE`` must have among others.
    required : tuple of str
        Keywords without which a frame of this tag cannot be reduced or associated.
    kept_only : bool
        Nothing is ever made of such a frame: it needs nothing but a date, and may have any extensions.
    """

    name: str
    tag: str
    catg: str
    type: str | None
    tech: str | None
    template: str | None = None
    having: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    kept_only: bool = False

    @property
    def type_text(self) -> str:
        """What ``DPR.TYPE`` must be, for people."""
        return " with ".join(self.having) if self.having else self.type or "any"


@dataclass(frozen=True)
class RuleDifference:
    """Where classification or association are not those of the rules that the reference pipeline is shipped with."""

    where: str
    here: str
    reference: str
    why: str


def no_lamps(_: Mapping[str, Any]) -> tuple[str, ...]:
    """Lamps of an instrument whose lamps are no part of a group."""
    return ()


@dataclass(frozen=True)
class Instrument:
    """One instrument.

    Attributes
    ----------
    name : str
        ``INSTRUME``.
    first_light : datetime.datetime
        No frame is older.
    units : UnitSpec
        What each has a detector of its own.
    setup : SetupSpec
        Set-up keys with their words.
    raw_rules : tuple of RawRule
        Classification of raw frames.
    required : tuple of str
        Keywords that each raw frame must have.
    keyword_types : mapping
        Keyword to the type (or types) of a usable value.
    kept : str
        Regular expression for the start of the primary keywords (dot notation) that the archive keeps beside those of
        any instrument (see `core.instruments.registry.is_kept`).
    structure : str
        ``module:function`` that checks the extensions of a raw frame: takes a `core.fitsfile.scan.FitsScan`, returns
        the numbers of its live units, raises `ClassificationError`.
    plan : Rules
        The calibration plan.
    statics : StaticRules
        Names and validity of static calibrations, product codes of the observatory.
    qc1 : Qc1Declaration
        Axes, tables, score rules and key trends of its QC1 parameters.
    recipes : mapping
        Recipe name to its class, ``module:class``, in cascade order.
    procedures : mapping
        Recipe name to the QC procedure that draws its pictures, ``module:object``.
    lamps_of : callable
        Names of the lamps whose light enters, from keywords.
    ambient : str
        Keyword of the ambient temperature [deg C]; empty if there is none.
    chips : str
        Keyword of the number of units that a raw frame should hold; empty if there is none.
    noon_ut : datetime.timedelta
        Time of the day (UT) at which a night ends.
    rule_differences : tuple of RuleDifference
        What a person who knows the reference must know of ``raw_rules`` and ``plan``.
    """

    name: str
    first_light: datetime
    units: UnitSpec
    setup: SetupSpec
    raw_rules: tuple[RawRule, ...]
    required: tuple[str, ...]
    keyword_types: Mapping[str, type | tuple[type, ...]]
    kept: str
    structure: str
    plan: Rules
    statics: StaticRules
    qc1: Qc1Declaration = field(default_factory=Qc1Declaration)
    recipes: Mapping[str, str] = field(default_factory=dict)
    procedures: Mapping[str, str] = field(default_factory=dict)
    lamps_of: Callable[[Mapping[str, Any]], tuple[str, ...]] = no_lamps
    ambient: str = ""
    chips: str = ""
    noon_ut: timedelta = PARANAL_NOON_UT
    rule_differences: tuple[RuleDifference, ...] = ()

    @cached_property
    def raw_rules_version(self) -> str:
        """Hash of the classification table, 12 hex digits; stored with what it decided."""
        return hashlib.sha256(repr((self.raw_rules, self.required)).encode()).hexdigest()[:12]

    @cached_property
    def live_units(self) -> Callable[[Any], tuple[int, ...]]:
        """The function that ``structure`` names."""
        found: Callable[[Any], tuple[int, ...]] = resolve_name(self.structure)
        return found
