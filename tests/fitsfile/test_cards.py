from __future__ import annotations

from typing import Any

import pytest
from astropy.io import fits

from core.fitsfile.cards import foreign_cards, parse_cards
from core.fitsfile.header import Header
from core.fitsfile.keywords import dot_name, set_key

VALUES: dict[str, Any] = {
    "EXPTIME": 8.64,
    "OBJECT": "it's a 'star'",
    "EMPTY": "",
    "NEGATIVE": -12,
    "TINY": 1.5e-30,
    "DET.OUT1.GAIN": 1.04,
    "DPR.TYPE": "FLAT,LAMP",
    "INS.SHUT3.ST": True,
    "INS.SHUT4.ST": False,
    "OBS.ID": -2147483648,
    "INS.TEMP101.VAL": 162.99,
}


def _raw() -> bytes:
    header = Header()
    for key, value in VALUES.items():
        set_key(header, key, value, "a comment with = and / in it")
    return header.to_bytes()


def test_values_are_those_that_astropy_reads() -> None:
    raw = _raw()
    parsed = parse_cards(raw)
    again = fits.Header.fromstring(raw)
    assert parsed == {dot_name(card.keyword): card.value for card in again.cards}
    assert parsed == VALUES


def test_long_strings_are_put_together() -> None:
    header = fits.Header()
    header["LONG"] = "word " * 40 + "end"
    assert parse_cards(header.tostring().encode())["LONG"] == "word " * 40 + "end"


def test_comments_history_and_what_follows_the_end_are_left_out() -> None:
    header = fits.Header.fromstring(_raw())
    header.add_history("EXPTIME = 5")
    header.add_comment("HIERARCH ESO DPR TYPE = 'BIAS'")
    header["COMMENT"] = "= 12"
    raw = header.tostring().encode() + b"EXPTIME =                  1.0".ljust(2880)
    assert parse_cards(raw) == VALUES


def test_only_what_is_asked_for_is_read() -> None:
    raw = _raw()
    assert parse_cards(raw, keep=lambda name: name.startswith("DPR.")) == {"DPR.TYPE": "FLAT,LAMP"}


@pytest.mark.parametrize(
    ("text", "value"),
    [("", None), ("NaN", "NaN"), ("1.5D3", 1500.0), ("1E999", "1E999"), ("12 / twelve", 12), ("'open", "open")],
)
def test_odd_values(text: str, value: Any) -> None:
    raw = (f"KEY     = {text}".ljust(80) + "END".ljust(80)).encode()
    assert parse_cards(raw)["KEY"] == value


@pytest.mark.parametrize("byte", [b"\xc3", b"\0"])
def test_bytes_that_fits_forbids_are_question_marks_and_told_with_their_card(byte: bytes) -> None:
    raw = _raw().replace(b"'FLAT,LAMP'", b"'FLAT" + byte + b"LAMP'")
    assert parse_cards(raw)["DPR.TYPE"] == "FLAT?LAMP"
    assert foreign_cards(raw) == ["DPR.TYPE"]
    assert foreign_cards(_raw()) == []
