"""FITS headers: cards in the order of the file, read when asked for and written back as they were.

A raw frame has some 700 cards per channel of which a recipe reads fifty and copies most of the others. `Header` finds
the keywords, and leaves values and comments as text until somebody asks; a card that nobody changed is written byte for
byte as it was read. Keywords of the ``HIERARCH`` convention go by their name without that word: ``ESO DET OUT1 GAIN``.

Source: FITS standard 4.0, section 4; the registered conventions HIERARCH and CONTINUE (long strings).
"""

from __future__ import annotations

import math
import re
from collections.abc import ItemsView, Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import pairwise
from typing import Any

from core.fitsfile.cards import (
    BLOCK,
    CARD,
    COMMENTARY,
    CardValue,
    card_field,
    card_value,
    continuation,
    goes_on,
    is_end,
    is_sound,
    joined,
    printable,
)

__all__ = ["Card", "Header"]

_FIELD = re.compile(r"\s*(?:'(?:[^']|'')*'|[^/']*)\s*(?:/(.*))?\Z", re.DOTALL)
_KEYWORD = re.compile(r"[A-Z0-9_\- ]+\Z")
_TEXT_WIDTH = CARD - 8


class Card:
    """One keyword with value and comment; not to be changed.

    Parameters
    ----------
    keyword : str
        ``EXPTIME``, or without the word HIERARCH ``ESO DET OUT1 GAIN``; ``COMMENT``, ``HISTORY`` or empty for text.
    value : str, int, float, bool, numpy scalar or None
        None is an undefined value.
    comment : str
        Cut to what fits the card.

    Raises
    ------
    ValueError
        If the keyword or the value cannot stand in a header.
    """

    __slots__ = ("_comment", "_image", "_value", "keyword")

    keyword: str
    _value: Any
    _comment: str | None
    _image: str

    def __init__(self, keyword: str, value: Any = None, comment: str = "") -> None:
        self.keyword = _bare(keyword)
        if self.keyword and not _KEYWORD.match(self.keyword):
            raise ValueError(f"{keyword!r} is no FITS keyword")
        self._value = _plain(value)
        self._comment = printable(comment)
        self._image = _image(self.keyword, self._value, self._comment)

    @classmethod
    def from_image(cls, image: str) -> Card:
        """The card of 80 characters, or of a multiple of it for a string that is continued."""
        card = cls.__new__(cls)
        card.keyword, _ = card_field(image, 0)
        card._value = card._comment = None
        card._image = image
        return card

    @property
    def has_value(self) -> bool:
        """Whether the card has a value, be it undefined; COMMENT, HISTORY and cards without ``=`` have none."""
        return card_field(self._image, 0)[1] is not None

    @property
    def value(self) -> CardValue:
        """Value; of COMMENT and HISTORY the text."""
        if self._comment is None:
            self._parse()
        value: CardValue = self._value
        return value

    @property
    def comment(self) -> str:
        """What stands behind the slash."""
        if self._comment is None:
            self._parse()
        return self._comment or ""

    @property
    def image(self) -> str:
        """The card as it stands in the file: 80 characters or a multiple of it."""
        return self._image

    def __repr__(self) -> str:
        return f"Card({self.keyword!r}, {self.value!r}, {self.comment!r})"

    def _parse(self) -> None:
        image = self._image
        _, field = card_field(image, 0)
        if field is None:
            self._value, self._comment = image[8:].rstrip(), ""
            return
        value = card_value(image[field:CARD])
        comments = [_comment_of(image[field:CARD])]
        if len(image) > CARD:
            further = range(CARD, len(image), CARD)
            value = joined([str(value), *(continuation(image, start) or "" for start in further)])
            comments += [_comment_of(image[start + 10 : start + CARD]) for start in further]
        self._value, self._comment = value, " ".join(text for text in comments if text)


@lru_cache(maxsize=8192)
def _shared_card(image: str) -> Card:
    """The frames of a night have most of their cards in common: each is kept and read once."""
    return Card.from_image(image)


class Header:
    """The cards of one HDU, in order, found by keyword.

    Parameters
    ----------
    cards : iterable of Card, optional

    Examples
    --------
    >>> header = Header([Card("EXPTIME", 30.0, "[s] exposure time")])
    >>> header["ESO DPR TYPE"] = ("BIAS", "type of the exposure")
    >>> header["EXPTIME"], header.comment("ESO DPR TYPE"), "OBJECT" in header
    (30.0, 'type of the exposure', False)
    """

    def __init__(self, cards: Iterable[Card] = ()) -> None:
        self._cards = list(cards)
        self._places: dict[str, int] | None = None  # first card of each keyword, made when asked for

    @classmethod
    def from_text(cls, text: str) -> Header:
        """Read the cards up to END.

        Parameters
        ----------
        text : str
            Header blocks, decoded; bytes that FITS forbids become ``?``, so that the header can be written again.
        """
        text = printable(text).ljust(-(-len(text) // CARD) * CARD)
        end = _end_of(text)
        starts: list[int] = []
        if "CONTINUE" not in text:
            starts = list(range(0, end, CARD))
        else:
            for start in range(0, end, CARD):
                if continuation(text, start) is None or not starts or not _goes_on(text, starts[-1], start - CARD):
                    starts.append(start)
        images = [text[start:stop] for start, stop in pairwise([*starts, end])]
        while images and not images[-1].strip():  # room left by whoever wrote the file
            images.pop()
        return cls(map(_shared_card, images))

    def sound(self) -> Header:
        """A header without the cards that not every reader of FITS accepts (`core.fitsfile.cards.is_sound`)."""
        return Header(card for card in self._cards if is_sound(card.image))

    def unsound(self) -> list[str]:
        """Keywords of the cards that are not `sound`."""
        return [card.keyword for card in self._cards if not is_sound(card.image)]

    @property
    def cards(self) -> list[Card]:
        """The cards; the list is the caller's own."""
        return list(self._cards)

    def to_bytes(self) -> bytes:
        """Blocks of 2880 bytes with the END card."""
        text = "".join([card.image for card in self._cards]) + "END".ljust(CARD)
        return text.ljust(-(-len(text) // BLOCK) * BLOCK).encode("ascii")

    def __len__(self) -> int:
        return len(self._cards)

    def __iter__(self) -> Iterator[str]:
        return (card.keyword for card in self._cards)

    def __contains__(self, keyword: object) -> bool:
        return isinstance(keyword, str) and _bare(keyword) in self._index()

    def __getitem__(self, keyword: str) -> CardValue:
        return self.card(keyword).value

    def __setitem__(self, keyword: str, value: Any) -> None:
        """Change a value, or value and comment if it is a pair; a new keyword goes to the end."""
        if isinstance(value, tuple):
            card = Card(keyword, *value)
        else:
            card = Card(keyword, value, self.comment(keyword) if keyword in self else "")
        self.put(card)

    def get(self, keyword: str, default: Any = None) -> Any:
        """Value of a keyword, or the default."""
        place = self._index().get(_bare(keyword))
        return default if place is None else self._cards[place].value

    def card(self, keyword: str) -> Card:
        """The first card of a keyword.

        Raises
        ------
        KeyError
            If there is none.
        """
        return self._cards[self._index()[_bare(keyword)]]

    def comment(self, keyword: str) -> str:
        """Comment of the first card of a keyword; KeyError if there is none."""
        return self.card(keyword).comment

    def items(self) -> ItemsView[str, CardValue]:
        """Keywords and values; of a repeated keyword the first."""
        return {self._cards[place].keyword: self._cards[place].value for place in self._index().values()}.items()

    def append(self, card: Card) -> None:
        """Add a card at the end, whether or not there is one of its keyword."""
        if self._places is not None:
            self._places.setdefault(card.keyword, len(self._cards))
        self._cards.append(card)

    def put(self, card: Card) -> None:
        """Let a card take the place of the first one of its keyword, or add it at the end."""
        place = self._index().get(card.keyword)
        if place is None:
            self.append(card)
        else:
            self._cards[place] = card

    def extend(self, cards: Iterable[Card]) -> None:
        """Add cards at the end."""
        self._cards.extend(cards)
        self._places = None

    def add_comment(self, text: str) -> None:
        """Add a COMMENT at the end, of several cards if it is long."""
        for start in range(0, max(len(text), 1), _TEXT_WIDTH):
            self.append(Card("COMMENT", text[start : start + _TEXT_WIDTH]))

    def remove(self, *keywords: str) -> None:
        """Remove all cards of these keywords, if there are any."""
        doomed = {_bare(keyword) for keyword in keywords}
        self._cards = [card for card in self._cards if card.keyword not in doomed]
        self._places = None

    def copy(self) -> Header:
        """A header of the same cards."""
        return Header(self._cards)

    def _index(self) -> Mapping[str, int]:
        places = self._places
        if places is None:
            places = {}
            for place, card in enumerate(self._cards):
                places.setdefault(card.keyword, place)
            self._places = places  # at once: other threads may be looking things up
        return places


def _bare(keyword: str) -> str:
    return keyword.upper().removeprefix("HIERARCH ").strip()


def _plain(value: Any) -> CardValue:
    if hasattr(value, "dtype"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} cannot be the value of a FITS keyword")
    if value is not None and not isinstance(value, str | int | float):
        raise ValueError(f"a {type(value).__name__} cannot be the value of a FITS keyword")
    return printable(value) if isinstance(value, str) else value


def _comment_of(field: str) -> str:
    match = _FIELD.match(field)
    return (match.group(1) or "").strip() if match else ""


def _end_of(text: str) -> int:
    """Where the END card begins; the length of the text if there is none."""
    position = text.find("END")
    while position >= 0:
        if position % CARD == 0 and is_end(text, position):
            return position
        position = text.find("END", position + 1)
    return len(text)


def _goes_on(text: str, first: int, last: int) -> bool:
    """Whether the string of a card, from its ``first`` 80 characters to its ``last`` ones, is continued after them."""
    if last > first:
        return goes_on(continuation(text, last))
    _, field = card_field(text, first)
    return field is not None and goes_on(card_value(text[field : first + CARD]))


# -- cards as text -----------------------------------------------------------------------------------------------------
def _image(keyword: str, value: CardValue, comment: str) -> str:
    if keyword in COMMENTARY:
        text = str(value or "")
        if len(text) > _TEXT_WIDTH:
            raise ValueError(f"a {keyword or 'blank'} card has room for {_TEXT_WIDTH} characters, not {len(text)}")
        return f"{keyword:8s}{text}".ljust(CARD)
    hierarch = " " in keyword or len(keyword) > 8
    head = f"HIERARCH {keyword} = " if hierarch else f"{keyword:8s}= "
    shown = _value_text(value)
    line = head + (shown if hierarch or isinstance(value, str) else shown.rjust(20))
    if not isinstance(value, str):
        line = line.ljust(30)
        if len(line.rstrip()) > CARD:
            raise ValueError(f"keyword {keyword} with the value {shown} does not fit a card")
    elif len(line) > CARD:
        return _continued(head, value, comment)
    elif not hierarch:
        line = line.ljust(30)
    return _with_comment(line, comment)


def _value_text(value: CardValue) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "T" if value else "F"
    if isinstance(value, str):
        escaped = value.replace("'", "''")
        return f"'{escaped:8s}'"
    if isinstance(value, float):
        text = repr(value).upper()
        return text if "." in text or "E" not in text else text.replace("E", ".0E")
    return str(value)


def _with_comment(line: str, comment: str) -> str:
    if comment and len(line) + 4 <= CARD:
        line = f"{line} / {comment}"[:CARD]
    return line.ljust(CARD)


def _continued(head: str, value: str, comment: str) -> str:
    """A long string over several cards: each but the last ends with an ampersand."""
    lines = []
    while True:
        room = CARD - len(head) - 3  # quotes and ampersand
        if room < 2:
            raise ValueError(f"keyword {head[:-3].strip()} leaves no room for its value")
        part, length = "", 0
        for char in value:
            length += 1 + (char == "'")
            if length > room:
                break
            part += char
        value = value[len(part) :]
        escaped = part.replace("'", "''")
        if not value:
            last = f"{head}'{escaped}'"
            if comment and len(last) + 4 > CARD:
                lines += [f"{head}'{escaped}&'".ljust(CARD), _with_comment("CONTINUE  ''", comment)]
            else:
                lines.append(_with_comment(last, comment))
            return "".join(lines)
        lines.append(f"{head}'{escaped}&'".ljust(CARD))
        head = "CONTINUE  "
