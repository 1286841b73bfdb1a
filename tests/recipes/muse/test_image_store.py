"""Images put aside in a temporary file."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from core.ccd.combine import CombineOptions
from core.errors import DataError
from core.fitsfile.header import Header
from core.formats.image import MuseImage
from core.recipes.muse.image_store import ImageStore
from core.spread import in_turn


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
