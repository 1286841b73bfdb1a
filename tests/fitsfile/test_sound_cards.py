"""Cards that not every reader accepts are known: what passes is read alike by astropy, by CFITSIO and by us."""

from __future__ import annotations

import warnings
from pathlib import Path

import fitsio
import numpy as np
import pytest
from astropy.io import fits
from astropy.io.fits.verify import VerifyError, VerifyWarning
from hypothesis import given, settings
from hypothesis import strategies as st

from core.fitsfile.cards import is_sound
from core.fitsfile.header import Card, Header
from core.fitsfile.writer import FitsWriter
from core.formats.dicd import Provenance, product_header

SOUND = [
    "EXPTIME =                  3.0 / [s] time", "OBJECT  = 'it''s' / a / b", "UNDEF   =", "KEY     = T / /",
    "HIERARCH ESO DET OUT1 GAIN = 1.1 / g", "HIERARCH ESO A B = 'x'", "TINY    = -1.5E-30",
    "HIERARCH ESO OBS ID = -2147483648", "A_B-C9  = .5 /", "HIERARCH ESO UNDEF =  / nothing", "EMPTY   = ''",
]  # fmt: skip
PRINTED = "".join(map(chr, range(32, 127)))
NAMES = st.sampled_from(["KEY", "EXPTIME", "HIERARCH ESO INS X9", "HIERARCH ESO DET OUT1 GAIN"])
WORDS = st.text("ABCDEFxyz,;:", min_size=2, max_size=12)
DAMAGE = {  # kinds of damage -> cards with it
    "bytes that are not text": st.builds("{}\0= {}".format, st.text("ABC", min_size=1, max_size=7), st.integers()),
    "bytes that are not ASCII": st.builds("{:8s}= 'S\xe9'".format, st.sampled_from(["TELESC\xd6P", "\xc4", "K\xffY"])),
    "no sign of a value after HIERARCH": st.builds("HIERARCH ESO {} {}".format, WORDS.map(str.upper), st.integers()),
    "no name after HIERARCH": st.builds("HIERARCH  = {}".format, st.integers()),
    "letters that keywords do not have": st.builds(
        "{}{} = 1".format, st.sampled_from(["HIERARCH ESO ", "HIERARCH "]), st.text("abc?.,;$", min_size=1, max_size=9)
    ),
    "small letters": st.builds("{:8s}= 1".format, st.text("abcdef", min_size=1, max_size=8)),
    "no end of a text": st.builds("{:8s}= 'text {}".format, NAMES, WORDS),
    "a text that is too long": st.builds("{:8s}= '{}'".format, NAMES, st.text("ABC d", min_size=80, max_size=120)),
    "something after a text": st.builds("{:8s}= 'a' {}".format, NAMES, WORDS),
    "a word for a value": st.builds("{:8s}= {}".format, NAMES, WORDS),
    "no number": st.builds("{:8s}= {}".format, NAMES, st.sampled_from(["NaN", "-Inf", "1.2.3", "0x1F", "1e5", "--1"])),
    "a number that nothing holds": st.builds("{:8s}= {}".format, NAMES, st.sampled_from(["1E999", "9" * 25])),
    "a pair of numbers": st.just("CPLX    = (1.0, -2)"),  # in the standard, but not all read it
    "a comment without a slash": st.builds("{:8s}= 3 {}".format, NAMES, WORDS),
    "a continuation of nothing": st.builds("CONTINUE  '{}'".format, WORDS),
    "a place that is none": st.builds(" {:7s}= 3".format, st.text("ABC", min_size=1, max_size=7)),
}


def card(text: str) -> str:
    return text.ljust(80)[:80]


def read_by_astropy(image: str) -> object:
    """The value, or a warning or error as an exception."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", VerifyWarning)
        theirs = fits.Card.fromstring(image.encode("latin-1"))
        theirs.verify("exception")
        value = theirs.value
    return None if isinstance(value, fits.card.Undefined) else value


@pytest.mark.parametrize("text", SOUND)
def test_sound_cards_are_taken(text: str) -> None:
    assert is_sound(card(text))


@pytest.mark.parametrize("value", ["a" * 200, "it's " * 40, 3, 2.5e-8, True, None])
def test_cards_of_ours_are_sound(value: object) -> None:
    for keyword in ("KEY", "ESO INS X9"):
        assert is_sound(Card(keyword, value, "a comment").image)


def test_a_continued_text_without_its_mark_is_not_sound() -> None:
    first, second = card("KEY     = 'one&'"), card("CONTINUE  'two'")
    assert is_sound(first + second)
    assert not is_sound(card("KEY     = 'one'") + second)
    assert not is_sound(first + card("CONTINUE  'two"))


@pytest.mark.parametrize("kind", DAMAGE)
def test_each_kind_of_damage_is_known(kind: str) -> None:
    @settings(max_examples=20, deadline=None)
    @given(DAMAGE[kind])
    def none_is_sound(text: str) -> None:
        assert not is_sound(card(text))

    none_is_sound()


@pytest.mark.parametrize("text", ["HIERARCH ESO " + 60 * "A", "HIERARCH " + 35 * "A ", "KEY     = '" + 34 * "''" + "x"])
def test_a_bad_card_takes_no_longer_than_a_good_one(text: str) -> None:
    assert not is_sound(card(text))  # a pattern that tries all ways to split the letters would not end


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(["KEY     = ", "HIERARCH ESO A = ", "HIERARCH ESO A B9=", "", "HIERARCH ", "K"]),
    st.one_of(st.text(" '/.+-0123456789EDTF(),=&A", max_size=24), st.text(PRINTED, max_size=70)),
)
def test_astropy_reads_the_same_from_whatever_is_sound(head: str, tail: str) -> None:
    image = card(head + tail)
    if not is_sound(image) or image[:8].rstrip() in ("", "COMMENT", "HISTORY", "CONTINUE"):
        return
    ours = Card.from_image(image)
    try:
        theirs = read_by_astropy(image)
    except (VerifyWarning, VerifyError) as error:
        pytest.fail(f"{image!r}: {error}")
    assert theirs == ours.value


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_products_of_damaged_headers_are_whole(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    bad = [data.draw(cards) for cards in DAMAGE.values()]
    mixed = data.draw(st.permutations([*SOUND, *bad]))
    base = Header.from_text("".join(map(card, mixed)))
    path = tmp_path_factory.mktemp("product") / "a.fits"
    with FitsWriter(path) as writer:
        writer.primary(product_header(base, Provenance("MASTER_BIAS", "muse_bias", [], [], [])))
        writer.image(Header(), np.zeros((2, 2), np.float32))
    with fits.open(path, checksum=True) as hdus:  # warnings are errors
        hdus.verify("exception")
        kept = {name: value for name, value in hdus[0].header.items() if name not in ("CHECKSUM", "DATASUM")}
    assert (kept["EXPTIME"], kept["OBJECT"], kept["ESO DET OUT1 GAIN"], kept["TINY"]) == (3.0, "it's", 1.1, -1.5e-30)
    with fitsio.FITS(str(path)) as file:  # CFITSIO
        theirs = file[0].read_header()
    assert theirs["HIERARCH ESO OBS ID"] == kept["ESO OBS ID"] == -2147483648
    assert len(theirs.records()) == len(fits.getheader(path).cards)


def test_what_is_not_copied_is_named() -> None:
    header = Header.from_text(
        "".join(map(card, ["KEY     = 1", "OTHER   = 'a", "HIERARCH ESO NOTHING", "small   = 1"]))
    )
    assert header.unsound() == ["OTHER", "HIERARCH", "SMALL"]
    assert list(header.sound()) == ["KEY"]


def test_the_names_are_those_of_the_file(tmp_path: Path) -> None:
    from core.fitsfile.scan import first_header

    path = tmp_path / "a.fits"
    fits.PrimaryHDU(header=fits.Header([("HIERARCH ESO INS X", 3)])).writeto(path)
    content = path.read_bytes()
    path.write_bytes(content.replace(b"HIERARCH ESO INS X = 3", b"HIERARCH ESO INS X : 3"))
    assert first_header(path).unsound() == ["HIERARCH"]
