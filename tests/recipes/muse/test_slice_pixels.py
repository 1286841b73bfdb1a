"""Pixels of an exposure, slice by slice: gathered from rows they are those of the image."""

from __future__ import annotations

import numpy as np

from core.ccd.reduction import MasterRows
from core.fitsfile.header import Header
from core.formats.image import MuseImage
from core.formats.pixtable_slices import SliceRows
from core.recipes.muse.slice_pixels import GatheredPixels, PixelsOfImage
from core.spatial.positions import FieldPlace, SliceMap

SHAPE = (60, 200)
WAVE = np.array([[5000.0, 1.25, 1e-4], [0.03, 1e-6, 0.0]])


def slices() -> list[SliceMap]:
    """Two slices, the second of which leaves the detector."""
    place = FieldPlace(12.5, -40.25, 0.8, 75.3)
    edges = ((3, [20.3, 0.02], [96.8, 0.03]), (4, [100.2, 0.5], [170.0, 0.7]))
    return [SliceMap(number, np.array(left), np.array(right), WAVE, place, SHAPE) for number, left, right in edges]


def an_image() -> MuseImage:
    rng = np.random.default_rng(5)
    data, stat = (rng.normal(size=SHAPE).astype(np.float32) for _ in range(2))
    dq = np.where(rng.random(SHAPE) < 0.1, rng.integers(1, 2**30, SHAPE), 0).astype(np.int32)
    return MuseImage(data, dq, stat, Header(), "count")


def gathered(image: MuseImage) -> GatheredPixels:
    """Rows that come in any order."""
    pixels = GatheredPixels(slices())
    for y0, y1 in ((30, 50), (0, 30), (50, 60)):
        window = slice(y0, y1)
        room = pixels.room(window)
        rows = MasterRows(image.data[window].copy(), image.dq[window].copy(), image.stat[window].copy())
        assert (room.data.shape, room.dq.shape, room.stat.shape) == (rows.data.shape,) * 3
        pixels.take(window, rows)
    return pixels


def test_gathered_pixels_are_those_of_the_image() -> None:
    image = an_image()
    rows = [SliceRows.whole(7, item).within(5010.0, 5050.0) for item in slices()]
    expected, found = (list(pixels.pieces(rows)) for pixels in (PixelsOfImage(image), gathered(image)))
    assert [number for number, _, _ in found] == [0, 1]
    for (_, _, planes), (_, of_slice, others) in zip(expected, found, strict=True):
        assert of_slice.n_rows == others[0].size > 0
        for plane, other in zip(planes, others, strict=True):
            assert plane.dtype == other.dtype
            np.testing.assert_array_equal(plane, other)


def test_some_rows_of_a_slice_are_those_of_the_image() -> None:
    image = an_image()
    both = PixelsOfImage(image), gathered(image)
    for item in slices():
        rows = np.array([5, 6, 40, 900, item.n_rows - 1])
        for plane, other in zip(*(pixels.at(item, rows) for pixels in both), strict=True):
            np.testing.assert_array_equal(plane, other)
