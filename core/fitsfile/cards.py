"""Reading of header cards: their keyword, their value.

`parse_cards` reads the cards of a whole header into plain values, for ingest: some 700 in about a millisecond. Nothing
is kept in order or written back (`core.fitsfile.header` does that); names are in dot notation.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from core.errors import BadFitsError

__all__ = ["BLOCK", "CARD", "COMMENTARY", "CardValue", "card_field", "card_value", "dot_name", "parse_cards"]

CardValue = str | int | float | bool | None

CARD: Final = 80  # bytes of a card
BLOCK: Final = 2880  # a header and a data unit are multiples of it
COMMENTARY: Final = frozenset(("COMMENT", "HISTORY", ""))
_INTEGER = re.compile(r"[+-]?\d+\Z")
_FLOAT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([ED][+-]?\d+)?\Z", re.IGNORECASE)
_STRING = re.compile(r"'((?:[^']|'')*)'")


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

    Raises
    ------
    BadFitsError
        If the header has bytes that FITS does not allow there (``reason=not_fits``).
    """
    if not header_bytes.isascii() or b"\0" in header_bytes:
        raise _bad_byte(header_bytes)
    text = header_bytes.decode("ascii")
    cards: dict[str, CardValue] = {}
    name: str | None = None  # of the card that may be continued
    for start in range(0, len(text), CARD):
        keyword, field = card_field(text, start)
        if field is None:
            if keyword == "CONTINUE":
                before = None if name is None else cards[name]
                if name is not None and isinstance(before, str) and before.endswith("&"):
                    cards[name] = before[:-1] + str(card_value(text[start + 10 : start + CARD]) or "")
            elif keyword == "END":
                break
            continue
        name = dot_name(keyword)
        if name in cards or not (keep is None or keep(name)):
            name = None
        else:
            cards[name] = card_value(text[field : start + CARD])
    return cards


def card_field(text: str, start: int) -> tuple[str, int | None]:
    """Keyword of the card at ``start``, and where its value begins; None for a card without value (COMMENT, ...).

    The keyword comes in capitals, that of a HIERARCH card without that word: ``ESO DET OUT1 GAIN``.
    """
    if text.startswith("HIERARCH ", start):
        sign = text.find("=", start, start + CARD)
        if sign >= 0:
            return _stripped(text[start + 9 : sign]), sign + 1
        return "HIERARCH", None
    keyword = _stripped(text[start : start + 8])
    if text.startswith("= ", start + 8) and keyword not in COMMENTARY:
        return keyword, start + 10
    return keyword, None


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


def _bad_byte(header_bytes: bytes) -> BadFitsError:
    position = next(i for i, byte in enumerate(header_bytes) if byte > 127 or byte == 0)
    card = header_bytes[position - position % CARD :][:CARD].decode("latin-1").split("=", 1)[0].strip()
    return BadFitsError(
        f"the header has a byte that is not ASCII in card {card[:40]!r}: FITS headers are ASCII",
        keyword=card[:40],
        reason="not_fits",
    )
