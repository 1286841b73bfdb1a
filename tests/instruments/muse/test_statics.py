"""The names of the observatory's MUSE files, taken apart."""

from __future__ import annotations

from datetime import date
from itertools import pairwise
from string import ascii_letters, ascii_uppercase, digits

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.instruments.muse.statics import MUSE_STATICS


def test_a_name_of_the_observatory_says_code_version_and_rest() -> None:
    dated = MUSE_STATICS.dated("/cal/MU_GSDR_170601B_std_response_wfm-e.fits.fz")
    assert dated is not None
    assert (dated.code, dated.date, dated.letter) == ("GSDR", date(2017, 6, 1), "B")
    assert (dated.version, dated.rest) == ("170601B", "std_response_wfm-e")


@pytest.mark.parametrize(
    "name",
    ["badpix_table.fits", "UV_MBIA_020218A_BLUE_1x1.fits", "MU_GBPT_141301A.fits", "MU_GBPT_14010A_x.fits"],
)
def test_other_names_have_no_version(name: str) -> None:
    assert MUSE_STATICS.dated(name) is None


def test_each_code_and_each_tag_is_there_once() -> None:
    codes = [entry.code for entry in MUSE_STATICS.codes]
    tags = [entry.tag for entry in MUSE_STATICS.codes]
    assert len(set(codes)) == len(codes)
    assert len(set(tags)) == len(tags)
    bias, lsf = MUSE_STATICS.code_of("MASTER_BIAS"), MUSE_STATICS.code_of("LSF_PROFILE")
    assert bias is not None
    assert lsf is not None
    assert (bias.code, bias.static, lsf.static) == ("MBIA", False, True)
    assert MUSE_STATICS.code_of("NOTHING") is None


def test_names_are_put_together_as_they_are_taken_apart() -> None:
    name = MUSE_STATICS.observatory_name("MBIA", date(2026, 11, 1), "A", "WFM-NOAO-N", "", "CHAN07")
    assert name == "MU_MBIA_261101A_WFM-NOAO-N_CHAN07"
    dated = MUSE_STATICS.dated(f"{name}.fits")
    assert dated is not None
    assert (dated.code, dated.version, dated.rest) == ("MBIA", "261101A", "WFM-NOAO-N_CHAN07")


@given(
    code=st.text(ascii_uppercase, min_size=4, max_size=4),
    day=st.dates(date(1970, 1, 1), date(2068, 12, 31)),
    letter=st.sampled_from(ascii_uppercase),
    words=st.lists(st.text(ascii_letters + digits + ".-", min_size=1, max_size=8), max_size=3),
    ending=st.sampled_from([".fits", ".fits.fz", ".FITS"]),
)
def test_every_name_is_taken_apart_into_what_it_was_made_of(
    code: str, day: date, letter: str, words: list[str], ending: str
) -> None:
    dated = MUSE_STATICS.dated(MUSE_STATICS.observatory_name(code, day, letter, *words) + ending)
    assert dated is not None
    assert (dated.code, dated.date, dated.letter, dated.rest) == (code, day, letter, "_".join(words))


@pytest.mark.parametrize(
    ("name", "tag", "static"),
    [
        ("MU_GLSP_150101A_lsf_profile_slow_wfm-n.fits", "LSF_PROFILE", True),
        ("LSF_PROFILE.fits", "LSF_PROFILE", False),
        ("lsf_profile_slow_wfm-n.fits", "LSF_PROFILE", True),
        ("M.MUSE.2017-06-14T11:00:00.000.fits", "MASTER_BIAS", False),
        ("MU_MBIA_170614A.fits", "MASTER_BIAS", False),
        ("whatever.fits", "EXTINCT_TABLE", True),
    ],
)
def test_static_is_what_name_or_tag_say(name: str, tag: str, static: bool) -> None:
    assert MUSE_STATICS.is_static(name, tag) is static


def test_the_declared_spans_of_a_tag_follow_each_other_without_gap() -> None:
    for tag in ("GEOMETRY_TABLE", "ASTROMETRY_WCS"):
        spans = {(entry.valid_from, entry.valid_until) for entry in MUSE_STATICS.declared if entry.tag == tag}
        ordered = sorted(spans, key=lambda span: span[0] or date.min)
        assert ordered[0][0] is None
        assert ordered[-1][1] is None
        assert all(before[1] == after[0] for before, after in pairwise(ordered))
