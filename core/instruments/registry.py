"""The instruments that are there: the folders of `core.instruments` that declare one."""

from __future__ import annotations

import re
from functools import cache, lru_cache
from pkgutil import iter_modules, resolve_name

import core.instruments
from core.errors import NotFoundError
from core.instruments.declaration import Instrument
from core.instruments.setup import Setup

__all__ = [
    "UnknownInstrumentError",
    "find_instrument",
    "instrument",
    "instrument_of_recipe",
    "instruments",
    "is_kept",
    "setup_of",
]

# Keywords of the primary header that the archive keeps of any instrument; the rest stays in the file.
_KEPT = r"(DPR|TPL|OBS|PRO)\.|[^.]*$"


class UnknownInstrumentError(NotFoundError):
    """No instrument of that name is declared."""

    error_type = "unknown_instrument"


@cache
def instruments() -> tuple[Instrument, ...]:
    """All instruments, by name.

    Raises
    ------
    TypeError
        If a folder of `core.instruments` declares something else.
    """
    found = []
    for module in iter_modules(core.instruments.__path__):
        if not module.ispkg:
            continue
        declared = resolve_name(f"core.instruments.{module.name}.declaration:INSTRUMENT")
        if not isinstance(declared, Instrument):
            raise TypeError(f"core.instruments.{module.name}.declaration.INSTRUMENT is no Instrument")
        found.append(declared)
    return tuple(sorted(found, key=lambda item: item.name))


def find_instrument(name: str) -> Instrument | None:
    """Instrument of a name (``INSTRUME``, case ignored); None if none is declared."""
    return next((item for item in instruments() if item.name == name.strip().upper()), None)


def instrument(name: str) -> Instrument:
    """Instrument of a name.

    Raises
    ------
    UnknownInstrumentError
        If none is declared.
    """
    found = find_instrument(name)
    if found is None:
        known = ", ".join(item.name for item in instruments())
        raise UnknownInstrumentError(f"there is no instrument {name!r}; known are {known}", instrument=name)
    return found


def instrument_of_recipe(recipe: str) -> Instrument:
    """The instrument whose calibration plan runs a recipe.

    Raises
    ------
    NotFoundError
        If none does.
    """
    for item in instruments():
        if any(task.recipe == recipe for task in item.plan.tasks):
            return item
    raise NotFoundError(f"no calibration plan has the recipe {recipe}", recipe=recipe)


@lru_cache(maxsize=8192)
def setup_of(name: str, text: str) -> Setup:
    """The set-up of an instrument that a canonical text says.

    Raises
    ------
    UnknownInstrumentError
        If no instrument of that name is declared.
    DataError
        If the text is none.
    """
    return instrument(name).setup.parse(text)


@lru_cache(maxsize=8192)
def is_kept(key: str) -> bool:
    """Whether the archive keeps a primary keyword (dot notation) of raw frames."""
    return _kept().match(key) is not None


@cache
def _kept() -> re.Pattern[str]:
    # One pattern for all: which instrument a header is of is known only when it is read.
    return re.compile("|".join([_KEPT, *(item.kept for item in instruments() if item.kept)]))
