"""The set-up of an instrument: what calibrations and data must share, declared key by key with its words.

A `SetupSpec` is part of the declaration of an instrument. It makes a `Setup` from the keywords of a header, or from the
canonical text that the archive stores. All else matches, stores and shows set-ups without knowing what the keys mean.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from core.errors import DataError

__all__ = ["Setup", "SetupKey", "SetupSpec", "UnitSpec"]

_SEPARATORS = re.compile(r"[;=\s]+")


@dataclass(frozen=True)
class SetupKey:
    """One key of a set-up.

    Attributes
    ----------
    name : str
        What rules call it. ``mode`` and ``readout`` are also filters of the archive and stand on its pages.
    title : str
        For people: ``read-out mode``.
    keywords : tuple of str
        Keywords in dot notation that ``read`` looks at.
    read : callable
        Its value from keywords in dot notation; None if they do not say.
    usual : str
        Value if the keywords do not say.
    follows : callable, optional
        The value that follows from the keys before it: taken if the keywords do not say, and not repeated in names.
    label : str
        How the value stands in the label of a set-up and in names, with ``{}`` for it.
    differs : tuple of (str, str)
        Value of the calibration, and what a refusal says if that of the data is another; for the other values it is
        ``<title> <value> differs from <value of the data>``.
    """

    name: str
    title: str
    keywords: tuple[str, ...]
    read: Callable[[Mapping[str, object]], str | None]
    usual: str = ""
    follows: Callable[[Mapping[str, str]], str] | None = None
    label: str = "{}"
    differs: tuple[tuple[str, str], ...] = ()

    def expected(self, values: Mapping[str, str]) -> str:
        """The value if no keyword says it."""
        return self.usual if self.follows is None else self.follows(values)

    def difference(self, made: str, data: str) -> str:
        """What a refusal says of a calibration made with one value for data with another.

        Empty if they agree, or if the calibration does not say (``made`` is empty).
        """
        if made in ("", data):
            return ""
        return dict(self.differs).get(made) or f"{self.title} {made} differs from {data}"


@dataclass(frozen=True, order=True)
class Setup:
    """The setting that a frame was taken with, or a calibration is good for.

    Attributes
    ----------
    instrument : str
        Name, as in ``INSTRUME``.
    values : tuple of (str, str)
        Key and value, in the order of the declaration.
    label : str
        Short text for people, e.g. ``WFM-NOAO-N blue WFM r1 1x1``.
    slug : str
        The same for names of blocks, without what follows from other keys.
    """

    instrument: str
    values: tuple[tuple[str, str], ...]
    label: str = field(default="", compare=False)
    slug: str = field(default="", compare=False)

    def get(self, key: str) -> str:
        """Value of a key; empty if the instrument has no such key."""
        return dict(self.values).get(key, "")

    @property
    def mode(self) -> str:
        """Value of the key ``mode``."""
        return self.get("mode")

    @property
    def readout(self) -> str:
        """Value of the key ``readout``."""
        return self.get("readout")

    @property
    def text(self) -> str:
        """Canonical text, ``mode=WFM-NOAO-N;blue=blue;...``: equal texts of an instrument are equal set-ups."""
        return ";".join(f"{key}={value}" for key, value in self.values)


@dataclass(frozen=True)
class SetupSpec:
    """The set-up keys of an instrument."""

    instrument: str
    keys: tuple[SetupKey, ...]

    def key(self, name: str) -> SetupKey:
        """Key of a name.

        Raises
        ------
        KeyError
            If there is none.
        """
        found = next((key for key in self.keys if key.name == name), None)
        if found is None:
            raise KeyError(f"{self.instrument} has no set-up key {name}; it has {', '.join(self.names)}")
        return found

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the keys."""
        return tuple(key.name for key in self.keys)

    @property
    def keywords(self) -> tuple[str, ...]:
        """Keywords that tell a set-up, each once."""
        return tuple(dict.fromkeys(keyword for key in self.keys for keyword in key.keywords))

    def of_keywords(self, keywords: Mapping[str, object]) -> Setup:
        """The set-up that keywords in dot notation tell; what they do not say is as usual."""
        return self._make(lambda key: key.read(keywords))

    def told_by(self, keywords: Mapping[str, object]) -> Setup:
        """The part of the set-up that keywords in dot notation tell: calibrations that do not say serve any data."""
        whole = self.of_keywords(keywords)
        told = [key for key in self.keys if any(keywords.get(name) is not None for name in key.keywords)]
        values = tuple((key.name, whole.get(key.name)) for key in told)
        label = " ".join(key.label.format(whole.get(key.name)) for key in told)
        return Setup(self.instrument, values, label, label.replace(" ", "-"))

    def of_values(self, values: Mapping[str, str]) -> Setup:
        """The set-up with some values; the others are as usual."""
        return self._make(lambda key: values.get(key.name))

    def parse(self, text: str) -> Setup:
        """The set-up of a canonical text (`Setup.text`).

        Raises
        ------
        DataError
            If it is none.
        """
        pairs = [part.partition("=") for part in text.split(";") if part]
        if not all(separator for _, separator, _ in pairs):
            raise DataError(f"{text!r} is no set-up", instrument=self.instrument)
        return self.of_values({name: value for name, _, value in pairs})

    def _make(self, given: Callable[[SetupKey], str | None]) -> Setup:
        values: dict[str, str] = {}
        label, slug = [], []
        for key in self.keys:
            expected = key.expected(values)
            value = _SEPARATORS.sub("_", given(key) or "") or expected
            values[key.name] = value
            label.append(key.label.format(value) if value else "")
            if key.follows is None or value != expected:
                slug.append(label[-1])
        return Setup(
            self.instrument, tuple(values.items()), " ".join(filter(None, label)), "-".join(filter(None, slug))
        )


@dataclass(frozen=True)
class UnitSpec:
    """The units that an instrument consists of, each with a detector of its own: IFUs, chips.

    Attributes
    ----------
    number : int
        They are numbered from 1.
    word, words : str
        For one and for several: ``IFU``, ``IFUs``.
    extension : str
        Regular expression for the whole ``EXTNAME`` of an extension of a raw frame; its group is the number.
    template : str
        An ``EXTNAME`` with ``{}`` for the number.
    parameter : str
        Parameter of recipes that chooses a single unit by its number, or all by -1; empty if they have none.
    """

    number: int
    word: str
    words: str
    extension: str
    template: str
    parameter: str = ""

    def of_extension(self, name: str) -> int | None:
        """Number of the unit whose data an extension holds; None if it is none of a unit."""
        found = re.fullmatch(self.extension, name.strip())
        return int(found[1]) if found and 1 <= int(found[1]) <= self.number else None

    def extension_name(self, unit: int) -> str:
        """Name of the extension of a unit in raw frames."""
        return self.template.format(unit)

    @property
    def all(self) -> tuple[int, ...]:
        """All numbers."""
        return tuple(range(1, self.number + 1))

    def counted(self, number: int) -> str:
        """So many units: ``1 IFU``, ``24 IFUs``."""
        return f"{number} {self.word if number == 1 else self.words}"

    def named(self, units: Iterable[int]) -> str:
        """Units by number: ``IFU 3, 4``."""
        return f"{self.word} " + ", ".join(str(unit) for unit in sorted(units))
