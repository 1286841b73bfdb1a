from __future__ import annotations

import string
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st

from core.fitsfile.cards import parse_cards, printable
from core.fitsfile.header import Card, Header
from core.fitsfile.keywords import dot_name, merged_header

WORD = st.text(string.ascii_uppercase + string.digits, min_size=1, max_size=8).filter(
    lambda word: word not in ("END", "COMMENT", "HISTORY", "HIERARCH", "CONTINUE")
)
KEYWORDS = WORD | st.lists(WORD, min_size=1, max_size=4).map(lambda words: "ESO " + " ".join(words))
TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=150)
UNQUOTED = TEXT.map(lambda text: text.replace("'", ""))  # astropy may take a quote of the comment for the value's
NUMBERS = st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.none() | st.booleans() | NUMBERS | TEXT.map(str.rstrip)


@given(st.dictionaries(KEYWORDS, st.tuples(VALUES, UNQUOTED), max_size=8))
def test_astropy_reads_what_is_written(cards: dict[str, tuple[Any, str]]) -> None:
    header = Header(Card(keyword, *pair) for keyword, pair in cards.items())
    raw = header.to_bytes()
    assert len(raw) % 2880 == 0
    again = fits.Header.fromstring(raw)
    for keyword, (value, _) in cards.items():
        found = again[keyword]
        assert (None if isinstance(found, fits.card.Undefined) else found) == value
        assert type(value) in (type(found), type(None))


@given(st.dictionaries(KEYWORDS, st.tuples(VALUES, TEXT), max_size=8))
def test_what_is_written_is_read_back(cards: dict[str, tuple[Any, str]]) -> None:
    raw = Header(Card(keyword, *pair) for keyword, pair in cards.items()).to_bytes()
    again = Header.from_text(raw.decode())
    assert list(again) == list(cards)
    assert {keyword: again[keyword] for keyword in again} == {keyword: value for keyword, (value, _) in cards.items()}
    assert all(cards[card.keyword][1].strip().startswith(card.comment) for card in again.cards)
    assert again.to_bytes() == raw
    assert parse_cards(raw) == {dot_name(keyword): value for keyword, (value, _) in cards.items()}


@given(st.dictionaries(WORD | WORD.map("ESO OBS {}".format), st.tuples(VALUES, UNQUOTED), max_size=6))
def test_what_astropy_writes_is_read(cards: dict[str, tuple[Any, str]]) -> None:
    theirs = fits.Header()
    for keyword, (value, comment) in cards.items():
        short = comment.strip()[:15]
        theirs.append(fits.Card("HIERARCH " + keyword if " " in keyword else keyword, value, short), end=True)
    text = theirs.tostring()
    ours = Header.from_text(text)
    expected = {
        card.keyword: None if isinstance(card.value, fits.card.Undefined) else card.value
        for card in fits.Header.fromstring(text).cards
    }
    # astropy itself takes a quote before a slash for the end of the string: of strings that which went in counts.
    expected |= {keyword: value for keyword, (value, _) in cards.items() if isinstance(value, str)}
    assert {keyword: ours[keyword] for keyword in cards} == expected
    assert ours.to_bytes().decode() == text


def test_cards_nobody_changed_stay_as_they_were() -> None:
    odd = [
        "RA      =         148.88822000 / [deg] pointing",
        "HIERARCH ESO TEL ALT=34.500/no blanks anywhere",
        "DEC     = -1.5D+01 / an old exponent",
        "COMMENT   = not a value",
        "        a blank keyword",
        "NOTHING =",
        "BROKEN  = 'no quote at the end",
    ]
    text = "".join(line.ljust(80) for line in [*odd, "END"])
    header = Header.from_text(text)
    assert header.to_bytes().decode() == text.ljust(2880)
    assert header["RA"] == 148.88822
    assert header["ESO TEL ALT"] == 34.5
    assert header.comment("ESO TEL ALT") == "no blanks anywhere"
    assert header["DEC"] == -15.0
    assert header["NOTHING"] is None
    header["RA"] = 10.0
    assert header.comment("RA") == "[deg] pointing"
    assert header.cards[0].image == "RA      =                 10.0 / [deg] pointing".ljust(80)
    assert [card.image for card in header.cards[1:]] == [line.ljust(80) for line in odd[1:]]


def test_cards_are_as_the_standard_fixes_them() -> None:
    assert Card("EXPTIME", 30.0, "[s]").image == "EXPTIME =                 30.0 / [s]".ljust(80)
    assert Card("SIMPLE", True).image == "SIMPLE  =                    T".ljust(80)
    assert Card("NAXIS", 2).image == "NAXIS   =                    2".ljust(80)
    assert Card("OBJECT", "it's", "x").image == "OBJECT  = 'it''s   '           / x".ljust(80)
    assert Card("ESO DET OUT1 GAIN", 1.04).image == "HIERARCH ESO DET OUT1 GAIN = 1.04".ljust(80)
    assert Card("COMMENT", "text").image == "COMMENT text".ljust(80)
    assert Card("ESO DET OUT1 GAIN", 1.04, "c" * 80).image == f"HIERARCH ESO DET OUT1 GAIN = 1.04 / {'c' * 44}"
    assert Card("SCALE", 1e-30).image == "SCALE   =              1.0E-30".ljust(80)


def test_keywords_are_found_with_and_without_hierarch_in_any_case() -> None:
    header = Header([Card("HIERARCH ESO DPR TYPE", "BIAS")])
    assert "ESO DPR TYPE" in header
    assert header["hierarch eso dpr type"] == header["ESO DPR TYPE"] == "BIAS"
    assert header.get("ESO DPR TECH", "none") == "none"
    with pytest.raises(KeyError):
        header["ESO DPR TECH"]


def test_keywords_in_small_letters_are_found_and_kept() -> None:
    text = "HIERARCH ESO det chip name = 'x'".ljust(80) + "END".ljust(80)
    header = Header.from_text(text)
    assert header["ESO DET CHIP NAME"] == "x"
    assert header.to_bytes().decode() == text.ljust(2880)
    header.remove("ESO DET CHIP NAME")
    assert len(header) == 0


def test_a_header_is_looked_up_by_several_threads_at_once() -> None:
    cards = [Card(f"ESO INS TEMP{number} VAL", number) for number in range(900)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(2) as pool:
            for _ in range(40):
                header = Header(cards)
                found = pool.map(header.get, ["ESO INS TEMP899 VAL", "ESO INS TEMP899 VAL"])
                assert list(found) == [899, 899]
    finally:
        sys.setswitchinterval(interval)


def test_a_quote_in_the_comment_is_none_of_the_value() -> None:
    header = Header.from_text(
        "".join(line.ljust(80) for line in ("A       = '' / '", "B       = 'it''s' / 'so'", "END"))
    )
    assert [(card.value, card.comment) for card in header.cards] == [("", "'"), ("it's", "'so'")]


def test_merged_headers_take_cards_as_they_are() -> None:
    odd = "HIERARCH ESO DET TEMP(1) = 1.50"
    primary = Header.from_text("".join(line.ljust(80) for line in (odd, "RA      = 1", "ESO-LOG something", "END")))
    channel = Header.from_text("".join(line.ljust(80) for line in (odd + "0", "HIERARCH nothing", "END")))
    merged = merged_header(primary, channel)
    assert [card.image.rstrip() for card in merged.cards] == [odd + "0", "RA      = 1"]


def test_of_a_repeated_keyword_the_first_card_counts_for_every_reader() -> None:
    lines = (
        "RON     = 3.1",
        "RON     = 9.9",
        "TEXT    = 'one&'",
        "CONTINUE  'two'",
        "TEXT    = 'x&'",
        "CONTINUE  'y'",
        "END",
    )
    header = Header.from_text("".join(line.ljust(80) for line in lines))
    assert (header["RON"], header["TEXT"]) == (3.1, "onetwo")
    assert dict(merged_header(header, Header()).items()) == {"RON": 3.1, "TEXT": "onetwo"}
    assert dict(merged_header(Header(), header).items()) == {"RON": 3.1, "TEXT": "onetwo"}
    assert parse_cards(header.to_bytes()) == {"RON": 3.1, "TEXT": "onetwo"}


def test_removed_and_repeated_keywords() -> None:
    header = Header([Card("A", 1), Card("B", 2), Card("A", 3)])
    assert header["A"] == 1
    assert dict(header.items()) == {"A": 1, "B": 2}
    copy = header.copy()
    header.remove("A", "MISSING")
    assert list(header) == ["B"]
    assert list(copy) == ["A", "B", "A"]
    header["A"] = (4, "again")
    assert header["A"] == 4
    assert list(header) == ["B", "A"]


def test_long_comments_take_several_cards() -> None:
    header = Header()
    header.add_comment("x" * 100)
    assert [card.value for card in header.cards] == ["x" * 72, "x" * 28]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), np.float32("nan"), [1], b"bytes", 1j])
def test_values_that_no_card_can_hold_are_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="value of a FITS keyword"):
        Card("KEY", value)


@pytest.mark.parametrize("keyword", ["LOWER_é", "A=B", "TA\tB"])
def test_names_that_are_no_keywords_are_refused(keyword: str) -> None:
    with pytest.raises(ValueError, match="no FITS keyword"):
        Card(keyword, 1)


def test_a_number_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        Card("ESO " + "LONG " * 12, 1.2345678901234567)
    with pytest.raises(ValueError, match="no room"):
        Card("ESO " + "LONG " * 14, "text")
    with pytest.raises(ValueError, match="room for 72"):
        Card("COMMENT", "x" * 73)


def test_numpy_scalars_become_plain_values() -> None:
    header = Header()
    for key, value in {"A": np.int32(5), "B": np.bool_(True), "C": np.float64(0.1), "D": np.str_("s")}.items():
        header[key] = value
    assert [type(header[key]) for key in header] == [int, bool, float, str]


def test_bytes_that_fits_forbids_become_question_marks() -> None:
    header = Header.from_text("OBSERVER= 'Jos\xe9\x00'".ljust(80) + "END".ljust(80))
    assert header["OBSERVER"] == "Jos??"
    assert header.to_bytes().isascii()
    assert printable("Grüße\n") == "Gr??e?"
