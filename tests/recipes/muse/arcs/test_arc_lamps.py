"""Lamp set-ups of raw headers, and images put aside."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest

from core.ccd.combine import CombineOptions
from core.errors import DataError, ParameterError
from core.fitsfile.header import Header
from core.fitsfile.keywords import set_key
from core.formats.image import MuseImage
from core.recipes.muse.arc_lamps import ImageStore, group_by_lamps, lamp_states
from core.spread import in_turn


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


def image(seed, ny=300, nx=40):
    rng = np.random.default_rng(seed)
    dq = np.where(rng.random((ny, nx)) < 0.1, 4096, 0).astype("i4")
    return MuseImage(rng.random((ny, nx), dtype="f4"), dq, rng.random((ny, nx), dtype="f4"), Header(), "count")


def put_aside(store, image):
    return store.add(image.data, image.stat, image.dq)


def in_threads(function, items):
    with ThreadPoolExecutor(3) as pool:
        return list(pool.map(function, items))


@pytest.mark.parametrize("spread", [in_turn, in_threads])
def test_images_come_back_as_they_went(spread):
    first, second = image(1), image(2)
    with ImageStore((300, 40), spread) as store:
        assert [put_aside(store, first), put_aside(store, second)] == [0, 1]
        assert len(store) == 2
        for index, expected in enumerate((first, second)):
            data, stat, bad = (np.empty((300, 40), kind) for kind in ("f4", "f4", "?"))
            store.read(index, data, stat, bad)
            np.testing.assert_array_equal(data, expected.data)
            np.testing.assert_array_equal(stat, expected.stat)
            np.testing.assert_array_equal(bad, expected.dq != 0)
        with pytest.raises(DataError, match="flags"):
            store.combine(CombineOptions("sum"), Header())
    with pytest.raises(DataError, match="closed"):
        store.read(0, data, stat, bad)


def test_sum_scales_up_for_flagged_pixels():
    first, second = image(1), image(2)
    with ImageStore((300, 40), flags=True) as store:
        put_aside(store, first)
        put_aside(store, second)
        total = store.combine(CombineOptions("sum"), Header())
    good = (first.dq == 0) & (second.dq == 0)
    np.testing.assert_allclose(total.data[good], (first.data + second.data)[good], rtol=1e-6)
    only_first = (first.dq == 0) & (second.dq != 0)
    np.testing.assert_allclose(total.data[only_first], 2 * first.data[only_first], rtol=1e-6)
    np.testing.assert_allclose(total.stat[only_first], 4 * first.stat[only_first], rtol=1e-6)
    assert np.all(total.dq[good | only_first] == 0)
    assert np.all(total.dq[(first.dq != 0) & (second.dq != 0)] == 4096)


def test_a_combination_that_does_not_fit_a_lamp_is_refused_before_any_is_reduced():
    frames = stack(header(3), header(4), header(4))
    assert len(group_by_lamps(frames, CombineOptions("average"))) == 2
    with pytest.raises(ParameterError, match="sigclip needs at least 3 images, there are 2"):
        group_by_lamps(frames, CombineOptions("sigclip"))
