"""ESO hierarchical keywords in dot notation: ``DET.OUT1.GAIN`` is ``HIERARCH ESO DET OUT1 GAIN``.

A name without a dot (``EXPTIME``) is an ordinary FITS keyword.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any, TypeVar, overload

from core.errors import MissingKeywordError
from core.fitsfile.cards import dot_name
from core.fitsfile.header import Header

__all__ = [
    "del_keys",
    "dot_name",
    "get_key",
    "has_key",
    "hierarch_name",
    "iter_keys",
    "merged_header",
    "set_key",
]

T = TypeVar("T", str, int, float, bool)
_MISSING: Any = object()

# Keywords of the file structure: never copied from one HDU to another.
STRUCTURAL = re.compile(
    r"^(SIMPLE|BITPIX|NAXIS\d*|EXTEND|XTENSION|PCOUNT|GCOUNT|TFIELDS|BSCALE|BZERO|CHECKSUM|DATASUM|"
    r"CONTINUE|Z(IMAGE|TENSION|BITPIX|NAXIS\d*|PCOUNT|GCOUNT|TILE\d+|CMPTYPE|NAME\d+|VAL\d+|QUANTIZ|DITHER0|HECKSUM|DATASUM|"
    r"SIMPLE|EXTEND|BLOCKED|BLANK)|T(TYPE|FORM|UNIT|DISP|NULL|SCAL|ZERO|DIM)\d+|THEAP|INHERIT)$"
)


def hierarch_name(key: str) -> str:
    """Keyword name as `Header` knows it: ``ESO DET OUT1 GAIN`` for ``DET.OUT1.GAIN``."""
    return "ESO " + key.replace(".", " ") if "." in key else key


def has_key(header: Header, key: str) -> bool:
    """Whether a header has a keyword (dot notation)."""
    return hierarch_name(key) in header


@overload
def get_key(header: Header, key: str, kind: type[T]) -> T: ...
@overload
def get_key(header: Header, key: str, kind: type[T], default: T) -> T: ...
@overload
def get_key(header: Header, key: str, kind: type[T], default: None) -> T | None: ...
def get_key(header: Header, key: str, kind: type[T], default: Any = _MISSING) -> Any:
    """Value of a keyword, checked and converted.

    Parameters
    ----------
    header : Header
    key : str
        Keyword in dot notation.
    kind : type
        `str`, `int`, `float` or `bool`. Integers are accepted for floats, 0/1 for booleans.
    default : optional
        Returned if the keyword is missing or undefined.

    Raises
    ------
    MissingKeywordError
        If the keyword is missing without a default, or has a value of another type (or NaN).
    """
    value = header.get(hierarch_name(key))
    if value is None:
        if default is _MISSING:
            raise MissingKeywordError(f"keyword {key} is missing", keyword=key)
        return default
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        if math.isnan(value):
            raise MissingKeywordError(f"keyword {key} is not a number", keyword=key)
        return float(value)
    if kind is int and isinstance(value, int | float) and not isinstance(value, bool) and float(value).is_integer():
        return int(value)
    if kind is bool and isinstance(value, bool | int):
        return bool(value)
    if kind is str and isinstance(value, str):
        return value.strip()
    raise MissingKeywordError(f"keyword {key} has the value {value!r}, not of type {kind.__name__}", keyword=key)


def set_key(header: Header, key: str, value: Any, comment: str = "") -> None:
    """Set a keyword (dot notation).

    A comment that does not fit the card is cut, and characters that FITS does not have become ``?``; float32 values
    are written with 7 significant digits, as the reference pipeline does for float cards; NaN becomes a string.
    """
    if hasattr(value, "dtype") and value.dtype.kind == "f" and value.dtype.itemsize == 4:
        value = float(f"{float(value):.7g}")
    if isinstance(value, float) and not math.isfinite(value):
        value = str(value)
    header[hierarch_name(key)] = (value, comment)


def iter_keys(header: Header, pattern: str) -> Iterable[tuple[str, Any]]:
    """Keywords in dot notation whose name matches a regular expression from its start, with values."""
    compiled = re.compile(pattern)
    for card in header.cards:
        name = dot_name(card.keyword)
        if compiled.match(name):
            yield name, card.value


def del_keys(header: Header, pattern: str) -> None:
    """Remove all keywords whose dot name matches a regular expression from its start (in place)."""
    compiled = re.compile(pattern)
    doomed = {card.keyword for card in header.cards if compiled.match(dot_name(card.keyword))}
    header.remove(*doomed)


def merged_header(primary: Header, extension: Header) -> Header:
    """Primary header with the extension header merged over it (extension values win), structure left out.

    Of a keyword that is repeated within a header the first card counts, as everywhere.
    """
    merged = Header()
    for source in (primary, extension):
        seen: set[str] = set()
        for card in source.cards:
            if card.has_value and card.keyword not in seen and not STRUCTURAL.match(card.keyword):
                seen.add(card.keyword)
                merged.put(card)
    return merged
