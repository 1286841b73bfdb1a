"""Headers as any program may write them, read by us, by astropy and by CFITSIO."""

from __future__ import annotations

import math
import string
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fitsio
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import BadFitsError
from core.fitsfile.cards import BLOCK, CARD, parse_cards
from core.fitsfile.header import Card, Header
from core.fitsfile.keywords import dot_name
from core.fitsfile.scan import scan_fits

MANDATORY = ("SIMPLE  =                    T", "BITPIX  =                    8", "NAXIS   =                    0")
RESERVED = ("END", "COMMENT", "HISTORY", "HIERARCH", "CONTINUE", "SIMPLE", "BITPIX", "NAXIS", "XTENSION", "EXTEND")
ODD_LINES = (
    "CONTINUE  'nothing before'",
    "CONTINUE  12",
    "CONTINUE",
    "OPEN    = 'no quote at the end&",
    "TEXT    = 'one&'",
    "TEXT    = '&'",
    "HIERARCH = 'no name'",
    "HIERARCH ESO NO VALUE",
    "HIERARCH  ESO  BLANKS  = 1",
    "= 5",
    "        = 6",
    "END     = 7",
    "END",
    "ENDING",
    "COMPLEX = (1.0, -2.0)",
    "NUMBER  = 1E999",
    "NUMBER  = NaN",
    "NUMBER  = 1 2",
    "NUMBER  = 12" + "3" * 68,
    "number  = 3",
)
NAME = st.text(string.ascii_uppercase + string.digits + "-_", min_size=1, max_size=8).filter(
    lambda name: not any(reserved.startswith(name) for reserved in RESERVED)  # fitsio takes C for CONTINUE
)
WORD = st.text(string.ascii_uppercase + string.digits, min_size=1, max_size=6)
# CFITSIO takes an equality sign in the text of a HIERARCH card, and astropy a quote in its comment, for the card's own.
PRINTABLE = st.characters(min_codepoint=32, max_codepoint=126, exclude_characters="=")
CONTINUED = st.characters(min_codepoint=32, max_codepoint=126, exclude_characters="=/")  # nor '/ for astropy
REMARK = st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters="'="), max_size=30)


@st.composite
def _numbers(draw: st.DrawFn) -> tuple[str, int | float]:
    """The text of a number in one of the forms that FITS knows, and the number."""
    if draw(st.booleans()):
        whole = draw(st.integers(-(2**63), 2**63 - 1))
        return draw(st.sampled_from((f"{whole}", f"{whole:+d}", f"{whole:020d}"))), whole
    number = draw(st.floats(1, 10)) * 10.0 ** draw(st.integers(-290, 290))
    form = draw(
        st.sampled_from(("{:E}", "{:.12e}", "{:+.1E}", "-{:.9E}", *(("{:.3f}", "{:.0f}.") if number < 1e20 else ())))
    )
    text = form.format(number)
    value = float(text)
    return (text.upper().replace("E", "D") if draw(st.booleans()) else text), value


@st.composite
def _values(draw: st.DrawFn) -> tuple[str, Any]:
    """The field of a card up to its comment, and the value in it."""
    text, value = draw(
        _numbers()
        | st.sampled_from((("T", True), ("F", False), ("", None)))
        | st.text(PRINTABLE, max_size=14).map(lambda text: (_quoted(text), text.rstrip(" ")))
    )
    if value is None or isinstance(value, str):
        return text, value
    return (text.rjust(20) if draw(st.booleans()) else " " * draw(st.integers(0, 4)) + text), value


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''").ljust(8) + "'"


@st.composite
def _long_strings(draw: st.DrawFn, start: str) -> tuple[list[str], str]:
    """A string over several cards, cut anywhere."""
    parts = draw(st.lists(st.text(CONTINUED, min_size=1, max_size=12), min_size=2, max_size=5))
    # An ampersand at the end is the sign of continuation; blanks before it belong to the text.
    last = parts[-1].rstrip(" &") + "."
    lines = [f"{start}{_quoted(part + '&')[:-1].rstrip()}'" for part in parts[:1]]
    lines += [f"CONTINUE  '{part.replace(chr(39), chr(39) * 2)}&'" for part in parts[1:-1]]
    lines.append(f"CONTINUE  '{last.replace(chr(39), chr(39) * 2)}'")
    return lines, "".join([*parts[:-1], last])


@st.composite
def _cards(draw: st.DrawFn) -> tuple[list[str], dict[str, Any]]:
    """Lines of a header, and what stands in them."""
    names = draw(
        st.lists(
            NAME | st.lists(WORD, min_size=2, max_size=4).map(lambda words: "ESO " + " ".join(words)),
            max_size=6,
            unique=True,
        )
    )
    lines, wanted = [*MANDATORY], {}
    for name in names:
        start = f"HIERARCH {name} = " if name.startswith("ESO ") else f"{name:8s}= "
        if draw(st.integers(0, 4)) == 0:
            more, wanted[name] = draw(_long_strings(start))
            lines += more
        else:
            text, wanted[name] = draw(_values())
            remark = draw(REMARK)
            lines.append((start + text + (f" / {remark}" if remark else ""))[:CARD])
        if draw(st.integers(0, 3)) == 0:
            kind, text = draw(st.sampled_from(("COMMENT", "HISTORY", " " * 7))), draw(st.text(PRINTABLE, max_size=70))
            lines.append(f"{kind} {text}.")
    return lines, wanted


def _bytes(lines: list[str]) -> bytes:
    text = "".join(line.ljust(CARD) for line in [*lines, "END"])
    return text.ljust(-(-len(text) // BLOCK) * BLOCK).encode("ascii")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("headers") / "header.fits"


def _of_astropy(path: Path) -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cards = fits.getheader(path).cards
        return {
            card.keyword: None if isinstance(card.value, fits.card.Undefined) else card.value
            for card in cards
            if card.keyword not in ("COMMENT", "HISTORY", "")
        }


def _of_cfitsio(path: Path) -> dict[str, Any]:
    records = fitsio.read_header(str(path)).records()
    return {
        record["name"]: record["value"] for record in records if record["name"] not in ("COMMENT", "HISTORY", "", None)
    }


@settings(max_examples=150, deadline=None, derandomize=True)
@given(_cards())
def test_headers_are_read_alike(path: Path, header: tuple[list[str], dict[str, Any]]) -> None:
    lines, wanted = header
    raw = _bytes(lines)
    path.write_bytes(raw)
    ours = scan_fits(path).primary
    mandatory = {"SIMPLE": True, "BITPIX": 8, "NAXIS": 0}
    found = {card.keyword: card.value for card in ours.cards if card.has_value}
    assert _typed(found) == _typed(mandatory | wanted)
    assert _typed(parse_cards(raw)) == _typed({dot_name(name): value for name, value in (mandatory | wanted).items()})
    assert _typed(_of_astropy(path)) == _typed(found)
    assert _typed(_of_cfitsio(path)) == _typed(found)
    assert ours.to_bytes() == raw


def _typed(values: dict[str, Any]) -> dict[str, tuple[type, Any]]:
    return {name: (type(value), value.rstrip() if isinstance(value, str) else value) for name, value in values.items()}


@st.composite
def _damaged(draw: st.DrawFn) -> bytes:
    """A header with cards exchanged, repeated or left out, bits turned and the end cut off."""
    lines, _ = draw(_cards())
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(3, len(lines)))
        lines[place:place] = draw(st.lists(st.sampled_from([*lines, *ODD_LINES]), max_size=2))
        if len(lines) > 4 and draw(st.booleans()):
            del lines[draw(st.integers(3, len(lines) - 1))]
    raw = bytearray(_bytes(lines))
    for _ in range(draw(st.integers(0, 4))):
        raw[draw(st.integers(0, min(len(raw), CARD * (len(lines) + 1)) - 1))] ^= 1 << draw(st.integers(0, 7))
    return bytes(raw[: draw(st.integers(0, len(raw)))] if draw(st.integers(0, 9)) == 0 else raw)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(_damaged())
def test_damaged_headers_are_read_alike_or_refused(path: Path, bounded: Callable[..., Any], raw: bytes) -> None:
    path.write_bytes(raw)
    with bounded():
        try:
            ours = scan_fits(path).primary
            cards = ours.cards
            found = {card.keyword: card.value for card in reversed(cards) if card.has_value}
            parsed = parse_cards(raw)
        except BadFitsError:
            return
    assert _typed(parsed) == _typed({dot_name(name): value for name, value in found.items()})
    again = Header.from_text(ours.to_bytes().decode())
    assert [(card.keyword, card.value, card.comment) for card in again.cards] == [
        (card.keyword, card.value, card.comment) for card in cards
    ]
    for card in cards:
        if card.has_value and _comparable(card):
            theirs = _verified(card.image)
            assert theirs is None or _typed({"": card.value}) == _typed({"": theirs[0]}), card.image


def _comparable(card: Card) -> bool:
    """Whether astropy keeps to the standard in a card: not for END with a value, for quotes behind a string, nor for
    an ampersand that nothing follows, which it takes off the second card of a string, but not off the first."""
    stray_quotes = card.image.count("'") > 2 * (len(card.image) // CARD)
    return card.keyword != "END" and not stray_quotes and not str(card.value).endswith("&")


def _verified(image: str) -> tuple[Any] | None:
    """What astropy reads in a card that is as the standard says; what no float holds is text for us."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            card = fits.Card.fromstring(image)
            card.verify("exception")
            value = card.value
        except (fits.VerifyError, ValueError, Warning):
            return None
    if isinstance(value, complex) or value in (math.inf, -math.inf):
        return None
    return (None if isinstance(value, fits.card.Undefined) else value,)


def test_a_string_is_continued_by_the_next_card_only(path: Path) -> None:
    lines = [
        *MANDATORY,
        "TEXT    = 'one&'",
        "COMMENT   in between",
        "CONTINUE  'two'",
        "MORE    = 'three&&'",
        "CONTINUE  ''",
        "CONTINUE  'four'",
    ]
    path.write_bytes(_bytes(lines))
    header = scan_fits(path).primary
    assert (header["TEXT"], header["MORE"]) == ("one&", "three&")
    parsed = parse_cards(_bytes(lines))
    assert (parsed["TEXT"], parsed["MORE"]) == ("one&", "three&")


def test_a_header_of_one_long_string_takes_no_longer_than_one_of_many_strings() -> None:
    count = 40_000
    long = _bytes([*MANDATORY, f"TEXT    = '{'x' * 60}&'", *[f"CONTINUE  '{'y' * 60}&'"] * count, "CONTINUE  'z'"])
    many = _bytes([*MANDATORY, *[f"T{number:<7d}= '{'y' * 60}&'" for number in range(count)]])
    text = "x" * 60 + "y" * 60 * count + "z"

    def seconds(raw: bytes, keyword: str, value: str) -> float:
        before = time.process_time()
        assert parse_cards(raw)[keyword] == Header.from_text(raw.decode())[keyword] == value
        return time.process_time() - before

    usual = seconds(many, "T1", "y" * 60 + "&")
    assert seconds(long, "TEXT", text) < 6 * usual  # some 30 times as long if every card copied those before it


@pytest.mark.parametrize(("keyword", "value"), [("PCOUNT", -2880), ("PCOUNT", -(10**15)), ("GCOUNT", -1)])
def test_data_units_do_not_go_backward(path: Path, bounded: Callable[..., Any], keyword: str, value: int) -> None:
    cards = {"XTENSION": "'IMAGE   '", "BITPIX": 8, "NAXIS": 1, "NAXIS1": 0, "PCOUNT": 0, "GCOUNT": 1, keyword: value}
    path.write_bytes(_bytes([*MANDATORY]) + _bytes([f"{name:8s}= {value!s:>20}" for name, value in cards.items()]))
    with bounded(), pytest.raises(BadFitsError, match=f"HDU 1: {keyword} is {value}"):
        scan_fits(path)
