"""Lamp set-ups of raw headers."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from core.ccd.combine import CombineOptions
from core.errors import DataError, ParameterError
from core.fitsfile.header import Header
from core.fitsfile.keywords import set_key
from core.recipes.muse.arc_lamps import group_by_lamps, lamp_states


def header(*on, names=("ContB", "ContR", "CU-LAMP3", "CU-LAMP-Xe", "CU-LAMP-HgCd", "Ne"), skip=()):
    result = Header()
    set_key(result, "INS.LAMPNUM", 6)
    for number, name in enumerate(names, start=1):
        set_key(result, f"INS.LAMP{number}.NAME", name)
        set_key(result, f"INS.LAMP{number}.ST", number in on)
        if number not in skip:
            set_key(result, f"INS.SHUT{number}.ST", number in on)
    return result


def stack(*headers):
    frames = [
        SimpleNamespace(header=item, frame=SimpleNamespace(path=SimpleNamespace(name=f"{k}.fits")))
        for k, item in enumerate(headers)
    ]
    return SimpleNamespace(frames=tuple(frames))


def test_frames_are_grouped_by_lamp_in_order_of_appearance():
    groups = group_by_lamps(stack(header(4), header(3), header(4), header(3, 5), header(5)))
    assert [group.frames for group in groups] == [(0, 2), (1,), (3,), (4,)]
    assert [group.numbers for group in groups] == [(4,), (3,), (3, 5), (5,)]
    assert [group.label for group in groups] == ["Xe", "Ne", "Ne,HgCd", "HgCd"]


def test_a_missing_shutter_keyword_does_not_hide_a_difference():
    # the reference stops comparing there and calls the frames equal
    groups = group_by_lamps(stack(header(3, skip=(1,)), header(4, skip=(1,))))
    assert len(groups) == 2


def test_missing_keywords_count_as_off():
    assert lamp_states(Header()) == ((False, False),) * 6
    assert group_by_lamps(stack(Header()))[0].label == "no lamp"


def test_a_lamp_with_two_names_is_an_error():
    with pytest.raises(DataError, match=r"lamp 4 is called Xe in 0.fits and Kr in 1.fits"):
        group_by_lamps(stack(header(3), header(3, names=("ContB", "ContR", "Ne", "Kr", "HgCd", "Ne"))))


def test_a_combination_that_does_not_fit_a_lamp_is_refused_before_any_is_reduced():
    frames = stack(header(3), header(4), header(4))
    assert len(group_by_lamps(frames, CombineOptions("average"))) == 2
    with pytest.raises(ParameterError, match="sigclip needs at least 3 images, there are 2"):
        group_by_lamps(frames, CombineOptions("sigclip"))
