"""What an instrument declares about its static calibrations: their names, versions, pairs and spans of validity.

The observatory names its files ``<PREFIX>_<CODE>_<YYMMDD><LETTER>_<rest>``: the date is that of the version, which is
valid from then until a newer one of the same kind and set-up. Files with names of their own are declared one by one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property

__all__ = ["BuiltFile", "DatedName", "DeclaredFile", "NamedSetup", "ProductCode", "StaticRules", "stem_of"]

_SUFFIXES = (".fits", ".fits.fz", ".fits.gz")
_DATED = re.compile(
    r"(?P<prefix>[A-Z0-9]+)_(?P<code>[A-Z]{4})_(?P<date>\d{6})(?P<letter>[A-Z])(?:_(?P<rest>.*))?", re.I
)


@dataclass(frozen=True)
class ProductCode:
    """Four letters in the observatory's file names and the product they stand for.

    ``G...`` is a static calibration ("general"), ``M...`` and ``P...`` are made from the frames of a night.
    """

    code: str
    tag: str

    @property
    def static(self) -> bool:
        """Whether files of this code are static calibrations."""
        return self.code.startswith("G")


@dataclass(frozen=True)
class DatedName:
    """A file name of the observatory, taken apart."""

    code: str
    date: date
    letter: str
    rest: str

    @property
    def version(self) -> str:
        """Date and letter, e.g. ``140101A``."""
        return f"{self.date:%y%m%d}{self.letter}"


@dataclass(frozen=True)
class DeclaredFile:
    """A file without a date in its name: its validity (half-open, UTC) and the pair it belongs to."""

    stem: str
    tag: str
    valid_from: date | None = None
    valid_until: date | None = None
    pair: str = ""


@dataclass(frozen=True)
class BuiltFile:
    """A static calibration that is made from published data where there is none of its tag.

    ``builder`` names what writes it, ``module:function``; it takes the path.
    """

    tag: str
    file_name: str
    builder: str


@dataclass(frozen=True)
class NamedSetup:
    """Word of a file name (between underscores) that says the set-up, for headers that do not say it."""

    word: str
    keywords: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class StaticRules:
    """The tables of one instrument.

    Attributes
    ----------
    prefix : str
        First letters of the observatory's names.
    codes : tuple of ProductCode
    declared : tuple of DeclaredFile
    setups : tuple of NamedSetup
    not_after : tuple of (str, date)
        Tag, first day on which no file of the tag is used any more.
    pairs : tuple of (str, str)
        Tags that must be taken together: the first one is an input of the second.
    only_static : tuple of str
        Tags that no recipe makes for a night.
    built : tuple of BuiltFile
    """

    prefix: str
    codes: tuple[ProductCode, ...]
    declared: tuple[DeclaredFile, ...] = ()
    setups: tuple[NamedSetup, ...] = ()
    not_after: tuple[tuple[str, date], ...] = ()
    pairs: tuple[tuple[str, str], ...] = ()
    only_static: tuple[str, ...] = ()
    built: tuple[BuiltFile, ...] = ()

    @cached_property
    def _declared(self) -> Mapping[str, DeclaredFile]:
        return {entry.stem: entry for entry in self.declared}

    def dated(self, name: str) -> DatedName | None:
        """A file name of the observatory taken apart; None if it is none of this instrument."""
        match = _DATED.fullmatch(stem_of(name))
        if match is None or match["prefix"].upper() != self.prefix:
            return None
        try:
            day = datetime.strptime(match["date"], "%y%m%d").date()
        except ValueError:
            return None
        return DatedName(match["code"].upper(), day, match["letter"].upper(), match["rest"] or "")

    def declaration(self, name: str) -> DeclaredFile | None:
        """What is declared of a file of this name."""
        return self._declared.get(stem_of(name).lower())

    def setup_of_name(self, name: str) -> dict[str, str]:
        """Set-up keywords that a word of a file name stands for; empty if it says none."""
        words = stem_of(name).lower().split("_")
        found = (dict(entry.keywords) for entry in self.setups if entry.word in words)
        return next(found, {})

    def code_of(self, tag: str) -> ProductCode | None:
        """Product code of a tag."""
        return next((entry for entry in self.codes if entry.tag == tag), None)

    def observatory_name(self, code: str, day: date, letter: str, *words: str) -> str:
        """File name in the scheme of the observatory, without ending: what `dated` takes apart."""
        return "_".join((self.prefix, code, f"{day:%y%m%d}{letter}", *filter(None, words)))

    def knows_name(self, name: str) -> bool:
        """Whether a file name is in the scheme of the observatory for this instrument, or declared."""
        return self.dated(name) is not None or self.declaration(name) is not None

    def is_static(self, name: str, tag: str) -> bool:
        """Whether a file is a static calibration by its name or its tag, not the product of a night."""
        dated = self.dated(name)
        if dated is not None:
            return dated.code.startswith("G")
        return tag in self.only_static or self.declaration(name) is not None

    def last_day(self, tag: str) -> date | None:
        """First day on which files of a tag are not used any more."""
        return dict(self.not_after).get(tag)


def stem_of(name: str) -> str:
    """A file name without directory and the endings of FITS files."""
    name = name.rpartition("/")[2]
    lower = name.lower()
    ending = next((suffix for suffix in sorted(_SUFFIXES, key=len, reverse=True) if lower.endswith(suffix)), "")
    return name[: len(name) - len(ending)]
