"""Combined rows as whole images and as masked ones."""

from __future__ import annotations

import numpy as np

from core.ccd.reduction import MasterRows
from core.recipes.muse.rows import MaskedImage, RowSink, WholeImage

NY, NX = 40, 30


def rows_of(seed: int, height: int) -> MasterRows:
    rng = np.random.default_rng(seed)
    flags = rng.choice(np.array([0, 0, 1, 4096, np.iinfo(np.int32).min], np.int32), (height, NX))
    return MasterRows(rng.random((height, NX), np.float32), flags, rng.random((height, NX), np.float32))


def fill(sink: RowSink) -> MasterRows:
    made = [rows_of(seed, 10) for seed in range(NY // 10)]
    for number, rows in enumerate(made):
        window = slice(10 * number, 10 * number + 10)
        room = sink.room(window)
        room.data[:], room.dq[:], room.stat[:] = rows.data, rows.dq, rows.stat
        sink.take(window, room)
    return MasterRows(*(np.concatenate([getattr(rows, part) for rows in made]) for part in ("data", "dq", "stat")))


def test_a_whole_image_has_all_that_was_written() -> None:
    image = WholeImage.empty((NY, NX))
    expected = fill(image)
    np.testing.assert_array_equal(image.data, expected.data)
    np.testing.assert_array_equal(image.dq, expected.dq)
    np.testing.assert_array_equal(image.stat, expected.stat)


def test_a_masked_image_has_the_mask_and_the_flags_of_some_columns() -> None:
    image = MaskedImage.empty((NY, NX), np.array([20, 21, 3, 4, 20]))
    expected = fill(image)
    np.testing.assert_array_equal(image.data, expected.data)
    np.testing.assert_array_equal(image.stat, expected.stat)
    np.testing.assert_array_equal(image.bad, expected.dq != 0)
    for window in (slice(3, 5), slice(20, 22)):
        whole = WholeImage(expected.data, expected.dq, expected.stat)
        for mine, theirs in zip(image.columns(window), whole.columns(window), strict=True):
            np.testing.assert_array_equal(mine, theirs)
            assert mine.flags.c_contiguous
            assert mine.dtype == theirs.dtype


def test_a_mask_takes_a_quarter_of_the_memory_of_the_flags() -> None:
    image = MaskedImage.empty((NY, NX))
    fill(image)
    assert image.bad.nbytes == NY * NX
    assert image.flags.size == 0
