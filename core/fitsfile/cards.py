"""Reading of header cards: their keyword, their value.

`parse_cards` reads the cards of a whole header into plain values, for ingest: some 700 in about a millisecond. Nothing
is kept in order or written back (`core.fitsfile.header` does that); names are in dot notation.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final

__all__ = [
    "BLOCK",
    "CARD",
    "COMMENTARY",
    "CardValue",
    "card_field",
    "card_value",
    "continuation",
    "dot_name",
    "foreign_cards",
    "goes_on",
    "is_end",
    "is_sound",
    "joined",
    "parse_cards",
    "printable",
]

CardValue = str | int | float | bool | None

CARD: Final = 80  # bytes of a card
BLOCK: Final = 2880  # a header and a data unit are multiples of it
COMMENTARY: Final = frozenset(("COMMENT", "HISTORY", ""))
_CONTINUE: Final = "CONTINUE  "
_INTEGER = re.compile(r"[+-]?\d+\Z")
_FLOAT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([ED][+-]?\d+)?\Z", re.IGNORECASE)
_FORBIDDEN = re.compile(rb"[^ -~]")
_UNPRINTABLE = re.compile(r"[^ -~]")
_STRING = re.compile(r"'((?:[^']|'')*)'")
# Each character can be matched in one way only: of a pattern with two the time doubles with each letter of a bad card.
_SOUND_NAME = re.compile(r"(?:[A-Z0-9_-]{1,8} *(?<=^.{8})= |HIERARCH [A-Z0-9_-]+(?: [A-Z0-9_-]+)* *= ?)")
_SOUND_VALUE = re.compile(  # text, logical, number, or none
    r" *(?:'(?:[^']|'')*'|[TF]|[+-]?(?:\d+\.?\d*|\.\d+)(?:[ED][+-]?\d+)?)? *(?:/[ -~]*)?\Z"
)


def parse_cards(header_bytes: bytes, keep: Callable[[str], bool] | None = None) -> dict[str, CardValue]:
    """Read the cards of one header.

    Parameters
    ----------
    header_bytes : bytes
        Header blocks, as in `core.fitsfile.scan.HduScan.header_bytes`.
    keep : callable, optional
        Told the name in dot notation; only those for which it is true are read.

    Returns
    -------
    dict
        Name in dot notation (``DET.OUT1.GAIN``, ``EXPTIME``) to value. Of a repeated keyword the first counts.
        Undefined values are None; a value that is neither string, number nor logical is kept as the text it is.
        Bytes that FITS forbids (control characters, letters that are not ASCII) are ``?``; see `foreign_cards`.
    """
    text = printable(header_bytes.decode("ascii", "replace"))
    cards: dict[str, CardValue] = {}
    long_strings: dict[str, list[str]] = {}
    unfinished: list[str] | None = None  # the parts so far of the string that the next card may continue
    for start in range(0, len(text), CARD):
        keyword, field = card_field(text, start)
        if field is None:
            if is_end(text, start):
                break
            part = None if unfinished is None else continuation(text, start)
            if unfinished is not None and part is not None:
                unfinished.append(part)
            if part is None or not goes_on(part):
                unfinished = None
            continue
        name = dot_name(keyword)
        unfinished = None
        if name not in cards and (keep is None or keep(name)):
            value = cards[name] = card_value(text[field : start + CARD])
            if goes_on(value):
                unfinished = long_strings[name] = [str(value)]
    cards.update({name: joined(parts) for name, parts in long_strings.items()})
    return cards


def printable(text: str) -> str:
    """A text with ``?`` for what FITS headers cannot hold: all but printable ASCII."""
    return text if text.isascii() and text.isprintable() else _UNPRINTABLE.sub("?", text)


def card_field(text: str, start: int) -> tuple[str, int | None]:
    """Keyword of the card at ``start``, and where its value begins; None for a card without value (COMMENT, ...).

    The keyword comes in capitals, that of a HIERARCH card without that word: ``ESO DET OUT1 GAIN``.
    """
    if text.startswith("HIERARCH ", start):
        sign = text.find("=", start, start + CARD)
        name = _stripped(text[start + 9 : sign]) if sign >= 0 else ""
        return (name, sign + 1) if name else ("HIERARCH", None)
    keyword = _stripped(text[start : start + 8])
    if text.startswith("= ", start + 8) and keyword not in COMMENTARY:
        return keyword, start + 10
    return keyword, None


def is_end(text: str, start: int) -> bool:
    """Whether the card at ``start`` is the END card."""
    return text.startswith("END", start) and not text[start + 3 : start + CARD].strip()


@lru_cache(maxsize=8192)
def is_sound(image: str) -> bool:
    """Whether every reader of FITS accepts a card, and reads the same value from it.

    Parameters
    ----------
    image : str
        The card as it stands in the file, 80 characters or a multiple of it for a string that is continued.
    """
    if not image.isascii() or not image.isprintable() or len(image) % CARD:
        return False
    if image[:8].rstrip() in COMMENTARY:
        return True
    name = _SOUND_NAME.match(image)
    if name is None or not _SOUND_VALUE.match(image, name.end(), CARD) or not _is_in_range(image[name.end() : CARD]):
        return False
    values = [card_value(image[name.end() : CARD])]
    for start in range(CARD, len(image), CARD):
        if not image.startswith(_CONTINUE, start) or not _SOUND_VALUE.match(
            image, start + len(_CONTINUE), start + CARD
        ):
            return False
        values.append(continuation(image, start))
    return all(goes_on(value) for value in values[:-1])


def _is_in_range(field: str) -> bool:
    """Whether a number can be held by a reader; 64 bits are what all have."""
    value = card_value(field)
    if isinstance(value, int):
        return -(2**63) <= value < 2**63
    return not (isinstance(value, str) and _FLOAT.match(field.partition("/")[0].strip()))


def continuation(text: str, start: int) -> str | None:
    """What the card at ``start`` adds to the string of the card before it; None if it is no CONTINUE card."""
    if not text.startswith(_CONTINUE, start):
        return None
    value = card_value(text[start + len(_CONTINUE) : start + CARD])
    return "" if value is None else str(value)


def goes_on(value: CardValue) -> bool:
    """Whether a value is a string that the next card may continue."""
    return isinstance(value, str) and value.endswith("&")


def joined(parts: Sequence[str]) -> str:
    """The string of a card and of those that continue it: of all but the last without the ampersand."""
    return "".join([part[:-1] for part in parts[:-1]] + [parts[-1]])


@lru_cache(maxsize=8192)
def _stripped(keyword: str) -> str:
    return keyword.strip().upper()


@lru_cache(maxsize=8192)
def dot_name(keyword: str) -> str:
    """Dot notation of a keyword name: ``DET.OUT1.GAIN`` of ``ESO DET OUT1 GAIN``; others stay as they are."""
    return keyword[4:].replace(" ", ".") if keyword.startswith("ESO ") and " " in keyword[4:] else keyword


def card_value(text: str) -> CardValue:
    """Value in the field of a card, which may have a comment.

    Undefined values are None; a value that is neither string, number nor logical is the text it is.
    """
    text = text.strip()
    if text.startswith("'"):
        match = _STRING.match(text)
        return match.group(1).replace("''", "'").rstrip() if match else text[1:].rstrip()
    text = text.partition("/")[0].strip()
    if not text:
        return None
    if text == "T":
        return True
    if text == "F":
        return False
    if _INTEGER.match(text):
        return int(text)
    if _FLOAT.match(text):
        number = float(text.upper().replace("D", "E"))
        return number if math.isfinite(number) else text
    return text


def foreign_cards(header_bytes: bytes) -> list[str]:
    """Names, in dot notation, of the cards of a header that have bytes that FITS forbids."""
    if not _FORBIDDEN.search(header_bytes):
        return []
    cards = (header_bytes[start : start + CARD] for start in range(0, len(header_bytes), CARD))
    foreign = [printable(card.decode("ascii", "replace")) for card in cards if _FORBIDDEN.search(card)]
    return [dot_name(card_field(card, 0)[0]) for card in foreign]
