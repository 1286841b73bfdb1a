"""Which pixels see a range of wavelengths."""

from __future__ import annotations

import numpy as np
import pytest

from core.spatial.positions import FieldPlace, SliceMap
from core.spatial.rangemask import common_dispersion, find_slices, range_mask, wave_map


def a_slice(number: int, left: float) -> SliceMap:
    wave = np.array([[4000.0 + 10 * number, 50.0, 0.25], [1.0, 0.0, 0.0]])
    edges = (np.array([left, 0.0]), np.array([left + 5.0, 0.0]))
    return SliceMap(number, *edges, wave, FieldPlace.beside_others(number), (40, 30))


def test_pixels_have_their_wavelengths() -> None:
    wave = wave_map([a_slice(1, 3.4), a_slice(2, 12.0)], (40, 30))
    assert wave[9, 5] == 4010 + 500 + 25 + 6
    assert (wave[9] > 0).nonzero()[0].tolist() == [3, 4, 5, 6, 7, 11, 12, 13, 14, 15, 16]


def test_a_binned_pixel_that_is_partly_beside_the_slice_has_less() -> None:
    slices = [a_slice(1, 3.4), a_slice(2, 12.0)]
    full, binned = wave_map(slices, (40, 30)), wave_map(slices, (40, 30), (2, 2))
    assert binned.shape == (20, 15)
    assert binned[4, 2] == full[8:10, 4:6].mean()
    assert binned[4, 1] == full[8:10, 3].sum() / 4  # one column of the two


def test_regions_are_told_from_left_to_right() -> None:
    mask = np.zeros((10, 20), np.bool_)
    mask[5:9, 2:5], mask[0:4, 1:4], mask[2:8, 10:12] = True, True, True
    mask[1, 15:19] = True  # one row
    mask[4:8, 7] = True  # one column
    found = find_slices(mask)
    assert found.boxes.tolist() == [[2, 4, 1, 4], [3, 5, 6, 9], [11, 12, 3, 8]]
    assert found.mask.sum() == mask.sum() - 8


def test_nothing_is_between_limits_that_are_excluded() -> None:
    wave = np.array([[4650.0, 4650.5, 9300.0]], np.float32)
    assert range_mask(wave, 4650.0, 9300.0).tolist() == [[False, True, False]]
    assert not find_slices(range_mask(wave, 0.0, 1.0)).boxes.size


def test_all_slices_have_one_parabola() -> None:
    slices = [a_slice(1, 3.4), a_slice(2, 12.0)]
    found = common_dispersion(slices, [np.array([6.0, 0.0]), np.array([14.5, 0.0])])
    assert (found.linear, found.square) == (pytest.approx(50.0), pytest.approx(0.25))
    assert found.own == pytest.approx([4016.0, 4034.5], abs=1e-6)
